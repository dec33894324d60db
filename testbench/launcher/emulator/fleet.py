"""Many emulated devices in one process, and the door through which their faults are switched."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from threading import Thread
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from testbench.launcher.emulator.device import Answer, Device
from testbench.launcher.emulator.faults import Faults
from testbench.launcher.emulator.firmware import ALL, firmware
from testbench.launcher.emulator.server import DeviceServer

if TYPE_CHECKING:
    from testbench.launcher.emulator.mdns import Announcer

WAIT_S = 30.0


@dataclass(frozen=True)
class Plan:
    """What a fleet is made of."""

    count: int
    versions: Sequence[str] = ALL
    """Firmware, one device after the other, again from the start."""
    host: str = "127.0.0.1"
    port: int = 0
    """The first device's port, the next ones follow; 0: any that are free."""
    network: str | None = None
    """Devices at this network's addresses, one each, all at `port`; `host` is not used then."""
    seed: int = 0
    speed: float = 1.0
    """How much faster than the world's the devices' clocks run."""
    restart_s: float = 1.0
    log_every_s: float = 0.5
    control_port: int | None = None
    """Where faults are switched over HTTP; None: nowhere, 0: any free port."""
    mdns: bool = False
    """Whether firmware that announces itself does so."""

    def places(self) -> Iterator[tuple[str, int]]:
        """Where each device listens."""
        if self.network is None:
            for number in range(self.count):
                yield self.host, self.port + number if self.port else 0
            return
        hosts = ip_network(self.network, strict=False).hosts()
        for _, host in zip(range(self.count), hosts, strict=False):
            yield str(host), self.port


class Fleet:
    """Emulated devices that run; `emulate` starts one from synchronous code."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.servers: list[DeviceServer] = []
        self.control_url = ""
        self._control: DeviceServer | None = None
        self._announcer: Announcer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def devices(self) -> list[Device]:
        """The devices, in order."""
        return [server.device for server in self.servers]

    @property
    def addresses(self) -> list[str]:
        """`host:port` of each."""
        return [server.address for server in self.servers]

    async def __aenter__(self) -> "Fleet":
        """Open every socket; OSError if one is taken."""
        self._loop = asyncio.get_running_loop()
        plan = self.plan
        began = time.monotonic()
        for number, (host, port) in enumerate(plan.places()):
            version = firmware(plan.versions[number % len(plan.versions)])
            device = Device(version, plan.seed + number, _clock(plan.speed, began))
            server = DeviceServer(device, plan.restart_s, plan.log_every_s)
            self.servers.append(server)
            await server.open(host, port)
        if plan.control_port is not None:
            await self._open_control(plan.control_port)
        if plan.mdns:
            from testbench.launcher.emulator.mdns import Announcer  # with zeroconf, which is large

            self._announcer = Announcer(self.servers)
            await self._announcer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them all."""
        if self._announcer is not None:
            await self._announcer.stop()
        for server in [*self.servers, *([self._control] if self._control else [])]:
            await server.close()

    def switch(self, numbers: Sequence[int] | None = None, **faults: Any) -> None:
        """Switch faults of some devices (None: of all); what is not named stays as it is.

        Raises pydantic's ValidationError for a fault that there is not.
        """
        for number in range(len(self.servers)) if numbers is None else numbers:
            device = self.servers[number].device
            device.faults = Faults.model_validate(device.faults.model_dump() | faults)

    def heal(self) -> None:
        """Switch all faults off."""
        for device in self.devices:
            device.faults = Faults()

    def restart(self, number: int) -> None:
        """As if its power had failed; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.servers[number].restart)

    def shown(self) -> list[dict[str, Any]]:
        """What runs where, for people and tests in another process."""
        return [
            {
                "number": number,
                "address": server.address,
                "mac": server.device.mac,
                "version": server.device.firmware.name,
                "faults": server.device.faults.model_dump(),
                "patches": server.device.patches[-10:],
                "restarts": server.device.restarts,
                "polls": server.device.polls,
            }
            for number, server in enumerate(self.servers)
        ]

    async def _open_control(self, port: int) -> None:
        self._control = _Control(self)
        await self._control.open(self.plan.host, port)
        self.control_url = f"http://{self._control.address}"


class _Control(DeviceServer):
    """`GET /devices` · `PATCH /devices` · `PATCH /devices/{n}` with faults · `POST …/restart`."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(Device(firmware("2.15.0")))
        self._fleet = fleet

    async def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The fleet as it stands after the call; 404 and 422 as everywhere."""
        parts = path.strip("/").split("/")
        known = parts[0] == "devices" and len(parts) <= 3
        numbers = self._numbers(parts[1]) if len(parts) > 1 else None
        if not known or numbers == []:
            return Answer(404, b'{"detail":"unknown"}', "application/json")
        if method == "POST" and parts[2:] == ["restart"] and numbers:
            self._fleet.restart(numbers[0])
        elif method == "PATCH" and len(parts) < 3:
            try:
                self._fleet.switch(numbers, **json.loads(body))
            except (ValidationError, ValueError, TypeError) as error:
                text = json.dumps({"detail": str(error)}).encode()
                return Answer(422, text, "application/json")
        elif method != "GET":
            return Answer(405, b'{"detail":"method"}', "application/json")
        return Answer(200, json.dumps(self._fleet.shown()).encode(), "application/json")

    def _numbers(self, text: str) -> list[int]:
        number = int(text) if text.isdecimal() else -1
        return [number] if 0 <= number < len(self._fleet.servers) else []


def _clock(speed: float, began: float) -> Callable[[], float]:
    return lambda: (time.monotonic() - began) * speed


@contextmanager
def emulate(count: int, versions: Sequence[str] = ALL, **options: Any) -> Iterator[Fleet]:
    """Emulated devices on a thread of their own; the options are those of `Plan`."""
    fleet = Fleet(Plan(count, versions, **options))
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="emulator", daemon=True)
    thread.start()
    try:
        _on(loop, fleet.__aenter__())
        try:
            yield fleet
        finally:
            _on(loop, fleet.__aexit__())
            _on(loop, _ended())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


def _on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, object]) -> object:
    return asyncio.run_coroutine_threadsafe(work, loop).result(WAIT_S)


async def _ended() -> None:
    """Connections that were cut end before their loop does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
