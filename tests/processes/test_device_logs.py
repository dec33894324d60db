"""Reading the logs of real (emulated) devices, whatever they do and whatever is away."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from threading import Event
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import connect

from testbench.adapters import db, device_logs
from testbench.domain.identity import BENCH
from testbench.launcher.emulator import Fleet, emulate
from testbench.processes.collector import logs
from testbench.processes.collector.logs import ATTEMPTS, LogReaders
from testbench.processes.collector.polling import Poller
from testbench.services import device_logs as service
from testbench.services.monitoring import Polled
from tests.processes.polling import LAB, NO_BROKER, register
from tests.services import Env, Servers, wait_until

ONE = uuid.UUID(int=1)
WHOLE = re.compile(
    r"₿ \(\d+\) (power_management: [\d.]+ °C, [\d.]+ GH/s|stratum_task: rx: mining\.notify from \S+"
    r"|asic_result: Nonce [0-9A-F]{8} diff \d+)"
)


@pytest.fixture(autouse=True)
def _lab(bench_env: Env) -> Env:
    bench_env.set(DISCOVERY_NETWORKS=LAB, POLL_INTERVAL_S="1", MQTT_URL=NO_BROKER)
    return bench_env


def polled(ip: str, id: uuid.UUID = ONE, error: str | None = None) -> Polled:
    return Polled(id, ip, None, 5.0, True, error)


def run(
    work: Callable[[LogReaders], Awaitable[None]], first_pause_s: float = 0.02, **options: Any
) -> None:
    """`work` beside readers that have the loop to themselves."""

    async def main() -> None:
        readers = LogReaders(first_pause_s=first_pause_s, **options)
        try:
            await work(readers)
        finally:
            await readers.close()

    asyncio.run(main())


async def until(true: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)


def texts(id: uuid.UUID = ONE) -> list[str]:
    return [line.text for line in device_logs.tail(id, 5000)]


def state(id: uuid.UUID = ONE) -> str:
    reading = device_logs.reading(id)
    return reading.state if reading else ""


def listeners(fleet: Fleet, number: int = 0) -> int:
    return fleet.servers[number]._listeners


def test_chunks_that_end_anywhere_become_whole_lines() -> None:
    with emulate(3, log_every_s=0.02) as fleet:
        ids = [uuid.UUID(int=n) for n in range(1, 4)]

        async def work(readers: LogReaders) -> None:
            readers.follow([polled(a, id) for id, a in zip(ids, fleet.addresses, strict=True)])
            await until(lambda: all(len(texts(id)) > 100 for id in ids))
            assert {state(id) for id in ids} == {"connected"}

        run(work)

    for id in ids:
        odd = [line for line in texts(id) if not WHOLE.fullmatch(line)]
        assert not odd
        assert len(set(texts(id))) == len(texts(id))


def test_who_is_followed_no_more_is_let_go() -> None:
    with emulate(2, log_every_s=0.05) as fleet:

        async def work(readers: LogReaders) -> None:
            first, second = (polled(a, uuid.UUID(int=n)) for n, a in enumerate(fleet.addresses))
            readers.follow([first, second])
            await until(lambda: (state(first.id), state(second.id)) == ("connected", "connected"))
            readers.follow([second, first._replace(trace_logs=False)])
            await until(lambda: (listeners(fleet, 0), listeners(fleet, 1)) == (0, 1))
            await until(lambda: state(first.id) == "")
            assert state(second.id) == "connected"

        run(work)

        wait_until(lambda: listeners(fleet, 1) == 0, 10)


def test_a_device_that_moved_is_read_at_its_new_address() -> None:
    with emulate(2, log_every_s=0.05) as fleet:

        async def work(readers: LogReaders) -> None:
            readers.follow([polled(fleet.addresses[0])])
            await until(lambda: listeners(fleet, 0) == 1)
            readers.follow([polled(fleet.addresses[1])])
            await until(lambda: (listeners(fleet, 0), listeners(fleet, 1)) == (0, 1))

        run(work)


class Refusing:
    """A device that cuts off whoever connects, and counts."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.address = ""

    async def __aenter__(self) -> "Refusing":
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, OSError):
                # Who once polled another device at this port is none of ours.
                if b" /api/ws " in await reader.readuntil(b"\r\n\r\n"):
                    self.calls.append(time.monotonic())
            writer.transport.abort()

        self._server = await asyncio.start_server(cut, "127.0.0.1")
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def test_after_five_attempts_it_is_given_up_and_tried_anew_when_asked() -> None:
    async def work(readers: LogReaders) -> None:
        async with Refusing() as device:
            readers.follow([polled(device.address)])
            await until(lambda: state() == "stopped")
            assert len(device.calls) == 1 + ATTEMPTS
            reading = device_logs.reading(ONE)
            assert reading is not None
            assert reading.attempt == ATTEMPTS
            assert "cut off" in reading.error
            readers.follow([polled(device.address)])
            await asyncio.sleep(1)
            assert len(device.calls) == 1 + ATTEMPTS

            device_logs.retry(ONE)
            await until(lambda: len(device.calls) == 2 * (1 + ATTEMPTS))
            await until(lambda: state() == "stopped")

            # Polls that fail, then one that does not: the device is back.
            readers.follow([polled(device.address, error="The device does not answer.")])
            await asyncio.sleep(0.5)
            assert len(device.calls) == 2 * (1 + ATTEMPTS)
            readers.follow([polled(device.address)])
            await until(lambda: len(device.calls) == 3 * (1 + ATTEMPTS))

    run(work)


def test_the_pauses_between_attempts_double() -> None:
    async def work(readers: LogReaders) -> None:
        async with Refusing() as device:
            readers.follow([polled(device.address)])
            await until(lambda: state() == "stopped")
            pauses = [b - a for a, b in zip(device.calls, device.calls[1:], strict=False)]
            # Each is half to all of its doubled measure; the machine may only make it longer.
            assert all(pause >= 0.1 * 2**n / 2 for n, pause in enumerate(pauses))

    run(work, first_pause_s=0.1)


def test_attempts_are_shown_while_they_last() -> None:
    seen: set[tuple[str, int]] = set()

    async def work(readers: LogReaders) -> None:
        async with Refusing() as device:
            readers.follow([polled(device.address)])

            def given_up() -> bool:
                reading = device_logs.reading(ONE)
                if reading is not None:
                    seen.add((reading.state, reading.attempt))
                return ("stopped", ATTEMPTS) in seen

            await until(given_up, 40)

    run(work, first_pause_s=0.6)

    assert {("reconnecting", n) for n in range(1, 1 + ATTEMPTS)} <= seen


def test_a_connection_that_held_makes_the_attempts_count_anew() -> None:
    calls = 0

    async def talk(connection: ServerConnection) -> None:
        nonlocal calls
        calls += 1
        await connection.send(f"call {calls}\n")
        await asyncio.sleep(0.2)

    async def work(readers: LogReaders) -> None:
        async with serve(talk, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            readers.follow([polled(f"127.0.0.1:{port}")])
            await until(lambda: calls > 2 * ATTEMPTS)
            assert state() != "stopped"

    run(work, steady_s=0.1)

    assert texts()[:3] == ["call 1", "call 2", "call 3"]


def test_a_device_that_restarts_is_read_on() -> None:
    with emulate(1, log_every_s=0.05, restart_s=0.5) as fleet:

        async def work(readers: LogReaders) -> None:
            readers.follow([polled(fleet.addresses[0])])
            await until(lambda: len(texts()) > 5)
            fleet.restart(0)
            await until(lambda: state() == "reconnecting")
            before = len(texts())
            await until(lambda: state() == "connected" and len(texts()) > before + 5)

        run(work, first_pause_s=0.3)

        assert fleet.devices[0].restarts == 1


def test_the_eleventh_client_is_refused_and_waits_for_a_place() -> None:
    with emulate(1, log_every_s=0.05) as fleet, ExitStack() as stack:
        url = f"ws://{fleet.addresses[0]}/api/ws"
        others = [stack.enter_context(connect(url)) for _ in range(10)]

        async def work(readers: LogReaders) -> None:
            readers.follow([polled(fleet.addresses[0])])
            await until(lambda: state() == "reconnecting")
            reading = device_logs.reading(ONE)
            assert reading is not None
            assert "429" in reading.error
            assert "Max WebSocket clients reached" in reading.error
            await asyncio.to_thread(others.pop().close)
            await until(lambda: state() == "connected")

        run(work, first_pause_s=1.0)


def test_addresses_outside_the_lab_are_not_called(bench_env: Env) -> None:
    bench_env.set(DISCOVERY_NETWORKS="10.0.0.0/8")

    async def work(readers: LogReaders) -> None:
        async with Refusing() as device:
            readers.follow([polled(device.address)])
            await until(lambda: state() == "stopped")
            assert device.calls == []

    run(work)


def missing(kept: list[str]) -> int:
    """How many lines are said to be missing."""
    marks = [re.fullmatch(r"\[testbench\] ([\d,]+) lines are missing here.*", t) for t in kept]
    return sum(int(mark[1].replace(",", "")) for mark in marks if mark)


def test_a_device_that_floods_is_kept_in_bounds_and_what_is_missing_is_counted() -> None:
    sent = 6_000
    quiet = uuid.UUID(int=2)

    async def flood(connection: ServerConnection) -> None:
        for start in range(0, sent, 500):
            lines = (f"I ({n}) flood: {n}\n" for n in range(start, start + 500))
            await connection.send("".join(lines))
        await connection.wait_closed()

    def all_is_accounted_for() -> bool:
        kept = texts()
        return sum(1 for text in kept if "flood" in text) + missing(kept) == sent

    async def work(readers: LogReaders) -> None:
        async with serve(flood, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            readers.follow([polled(f"127.0.0.1:{port}"), polled(address, quiet)])
            await until(all_is_accounted_for, 60)
            await until(lambda: len(texts(quiet)) > 20)

    with emulate(1, log_every_s=0.05) as fleet:
        address = fleet.addresses[0]
        run(work)

    assert missing(texts()) > sent / 3
    assert len(texts()) < device_logs.MAX_LINES


def test_a_redis_that_is_away_costs_lines_and_says_so(servers: Servers) -> None:
    with emulate(1, log_every_s=0.05) as fleet:

        async def work(readers: LogReaders) -> None:
            readers.follow([polled(fleet.addresses[0])])
            await until(lambda: len(texts()) > 5)
            await asyncio.to_thread(servers.kill, "redis")
            await asyncio.sleep(1)
            assert listeners(fleet) == 1
            await asyncio.to_thread(servers.start, "redis")
            await until(lambda: any("missing" in text for text in texts()), 30)
            await until(lambda: state() == "connected", 2 * logs.REPEAT_S)

        run(work)

        assert fleet.servers[0].device.restarts == 0


def test_the_collector_reads_whom_somebody_listens_to() -> None:
    stopping = Event()
    poller = Poller("one", stopping, [LogReaders().follow])
    with emulate(2, log_every_s=0.05) as fleet:
        traced, other = register(fleet)
        poller.start()
        try:
            db.run(lambda tx: service.listen(tx, BENCH, str(traced.id), True))
            wait_until(lambda: len(texts(traced.id)) > 5, 20)
            view = db.run(lambda tx: service.view(tx, BENCH, str(traced.id)))
            assert (view.state, view.traced, view.listening) == ("connected", True, True)
            assert db.run(lambda tx: service.view(tx, BENCH, str(other.id))).state == "off"
            assert (listeners(fleet, 0), listeners(fleet, 1)) == (1, 0)

            db.run(lambda tx: service.listen(tx, BENCH, str(traced.id), False))
            wait_until(lambda: listeners(fleet, 0) == 0, 20)
            wait_until(lambda: state(traced.id) == "", 20)

            db.run(lambda tx: service.trace(tx, BENCH, str(traced.id), True))
            wait_until(lambda: listeners(fleet, 0) == 1, 20)
        finally:
            stopping.set()
            poller.join()
        # The last lines are stored, and nobody is said to read on.
        assert listeners(fleet, 0) == 0
        assert state(traced.id) == ""
