"""Emulated AxeOS devices: real sockets, each firmware's ways, and faults to switch on."""

import asyncio
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress

from testbench.launcher.emulator.device import Device
from testbench.launcher.emulator.faults import Faults
from testbench.launcher.emulator.firmware import ALL, firmware
from testbench.launcher.emulator.fleet import Fleet, Plan, emulate
from testbench.launcher.emulator.server import DeviceServer

__all__ = [
    "ALL",
    "Device",
    "DeviceServer",
    "Faults",
    "Fleet",
    "Plan",
    "emulate",
    "firmware",
    "main",
]

PORT = 9800
CONTROL_PORT = 9799


def main(
    devices: int,
    *,
    versions: Sequence[str] = ALL,
    host: str = "127.0.0.1",
    port: int = PORT,
    network: str | None = None,
    control_port: int | None = CONTROL_PORT,
    seed: int = 0,
    speed: float = 1.0,
    mdns: bool = False,
    seconds: float | None = None,
) -> int:
    """Serve `devices` until Ctrl-C, SIGTERM or `seconds`; 1 if an address is taken."""
    plan = Plan(devices, versions, host, port, network, seed, speed, 1.0, 0.5, control_port, mdns)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each device listens, and is asked
    try:
        return asyncio.run(_run(plan, seconds))
    except OSError as error:
        print(f"simulate: {error}", flush=True)
        return 1


async def _run(plan: Plan, seconds: float | None) -> int:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with Fleet(plan) as fleet:
        first, last = fleet.addresses[0], fleet.addresses[-1]
        print(f"{plan.count} AxeOS devices at {first} to {last}.", flush=True)
        if fleet.control_url:
            print(
                f"Faults are switched at {fleet.control_url}/devices. Ctrl-C ends it.", flush=True
            )
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    return 0
