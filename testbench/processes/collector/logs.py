"""Reads the logs of devices over their WebSockets, a task each, in the poller's event loop."""

import asyncio
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing

import structlog

from testbench.adapters import device_logs
from testbench.adapters.device_logs import Reading
from testbench.adapters.drivers.axeos import Axeos
from testbench.domain.errors import BenchError
from testbench.services.monitoring import Polled

log = structlog.get_logger()

ATTEMPTS = 5
"""To connect again; then the device is polled alone, until somebody or the device itself asks."""
FIRST_PAUSE_S = 1.0
STEADY_S = 10.0
"""A connection that held so long was a good one: the attempts are counted anew after it."""
FLUSH_S = 0.25
LINES_A_FLUSH = 250
"""Kept of one device; what is beyond is counted, and said in its place."""
FLOOD = 4 * LINES_A_FLUSH
"""After so many lines a device is not read on before the next flush: the others have their turn."""
LINES_AT_ONCE = 2000
REPEAT_S = device_logs.STATUS_S / 3
RETRIES_S = 1.0
STARTS_A_SECOND = 200
LOST = "[testbench] {} lines are missing here: more came than could be kept."


class Pending:
    """Lines that wait to be stored, within bounds; those that were not kept are counted."""

    def __init__(self) -> None:
        self._lines: dict[uuid.UUID, list[str]] = {}
        self._lost: dict[uuid.UUID, int] = {}

    def add(self, device_id: uuid.UUID, line: str) -> bool:
        """False: the device floods, and should not be read on before the next `take`."""
        lines = self._lines.setdefault(device_id, [])
        if len(lines) < LINES_A_FLUSH:
            lines.append(line)
            return True
        lost = self._lost[device_id] = self._lost.get(device_id, 0) + 1
        return lost % FLOOD != 0

    def take(self) -> dict[uuid.UUID, list[str]]:
        """All of it; where lines were lost, a line says so."""
        taken, self._lines = self._lines, {}
        for device_id, count in self._lost.items():
            taken.setdefault(device_id, []).append(LOST.format(f"{count:,}"))
        self._lost = {}
        return taken

    def lose(self, lines: Mapping[uuid.UUID, list[str]]) -> None:
        """These could not be stored."""
        for device_id, some in lines.items():
            self._lost[device_id] = self._lost.get(device_id, 0) + len(some)


class LogReaders:
    """The readers of this collector's devices; all of it on one event loop."""

    def __init__(self, *, first_pause_s: float = FIRST_PAUSE_S, steady_s: float = STEADY_S) -> None:
        self.first_pause_s = first_pause_s
        self.steady_s = steady_s
        self.pending = Pending()
        self.flushed = asyncio.Event()
        self._readers: dict[uuid.UUID, _Reader] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._changed: set[uuid.UUID] = set()
        self._gone: set[uuid.UUID] = set()
        self._flusher: asyncio.Task[None] | None = None
        self._repeat_at = self._retries_at = 0.0

    def follow(self, devices: Sequence[Polled]) -> None:
        """Read the logs of those that are traced, and of no others; in the running loop."""
        traced = {device.id: device for device in devices if device.trace_logs}
        for id, reader in list(self._readers.items()):
            if id not in traced or traced[id].ip != reader.address:
                self._end(id)
        new = 0
        for id, device in traced.items():
            if reader := self._readers.get(id):
                reader.hear(device.error is None)
            else:
                # A fleet is not called all at once.
                self._start(device, delay_s=new / STARTS_A_SECOND)
                new += 1
        if self._readers and self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_on())

    async def close(self) -> None:
        """Let go of every device, and store what was read."""
        self.follow([])
        tasks = {*self._ending, *([self._flusher] if self._flusher else [])}
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        if tasks:
            await asyncio.wait(tasks)

    def changed(self, device_id: uuid.UUID) -> None:
        """How this device's reading goes is to be told."""
        self._changed.add(device_id)

    def _start(self, device: Polled, delay_s: float) -> None:
        self._gone.discard(device.id)
        self._readers[device.id] = _Reader(self, device, delay_s)

    def _end(self, id: uuid.UUID) -> None:
        task = self._readers.pop(id).task
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self._changed.discard(id)
        self._gone.add(id)

    async def _flush_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self._flush()
        finally:
            await self._flush()

    async def _flush(self) -> None:
        """Store what came, tell how it goes, ask who is to be tried again."""
        now = time.monotonic()
        lines, gone, changed = self.pending.take(), self._gone, self._changed
        self._gone, self._changed = set(), set()
        self.flushed.set()
        self.flushed = asyncio.Event()
        told = changed
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S
            told = set(self._readers)
        readings = {id: self._readers[id].reading for id in told if id in self._readers}
        stopped = self._stopped() if now >= self._retries_at else []
        if not (lines or gone or readings or stopped):
            return
        self._retries_at = now + RETRIES_S if stopped else self._retries_at
        # In one go: a thread that has begun ends its work, also where this task is cancelled.
        lost, wanted = await asyncio.to_thread(_write, lines, readings, changed, gone, stopped)
        self.pending.lose(lost)
        for id in wanted:
            if reader := self._readers.get(id):
                reader.revive()

    def _stopped(self) -> list[uuid.UUID]:
        return [id for id, one in self._readers.items() if one.reading.state == "stopped"]


def _write(
    lines: dict[uuid.UUID, list[str]],
    readings: dict[uuid.UUID, Reading],
    changed: set[uuid.UUID],
    gone: set[uuid.UUID],
    stopped: list[uuid.UUID],
) -> tuple[dict[uuid.UUID, list[str]], list[uuid.UUID]]:
    """Store and tell; returns what could not be stored, and who is to be tried again."""
    lost: dict[uuid.UUID, list[str]] = {}
    for some in _portions(lines):
        if not device_logs.append(some):
            lost |= some
    device_logs.put_readings(readings)
    device_logs.tell_readings(changed)
    device_logs.drop_readings(gone)
    return lost, device_logs.taken_retries(stopped)


class _Reader:
    """One device's log, for as long as its task runs."""

    def __init__(self, readers: LogReaders, device: Polled, delay_s: float) -> None:
        self.address = device.ip
        self.reading = Reading("connecting")
        self._readers = readers
        self._id = device.id
        self._answers = device.error is None
        self._opened: float | None = None
        self._revived = asyncio.Event()
        self.task = asyncio.create_task(self._run(delay_s))

    def revive(self) -> None:
        """Try at once, if it is not connected."""
        if self._opened is None:
            self._revived.set()

    def hear(self, answers: bool) -> None:
        """Whether the device answers its polls; once it does so again, its log may be there too."""
        if answers and not self._answers:
            self.revive()
        self._answers = answers

    async def _run(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        attempt = 0
        self._say(Reading("connecting"))
        while True:
            error, held_s = await self._read()
            attempt = 1 if held_s >= self._readers.steady_s else attempt + 1
            if attempt <= ATTEMPTS:
                self._say(Reading("reconnecting", attempt, error))
                wait_s = self._readers.first_pause_s * 2 ** (attempt - 1)
                wait_s *= random.uniform(0.5, 1)  # noqa: S311 (jitter, no secret)
            else:
                log.info("device_log_given_up", device=str(self._id))
                self._say(Reading("stopped", ATTEMPTS, error))
                wait_s = None
            if await self._revived_within(wait_s):
                attempt = 0
                self._say(Reading("connecting"))

    async def _revived_within(self, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._revived.wait()
        except TimeoutError:
            return False
        self._revived.clear()
        return True

    async def _read(self) -> tuple[str, float]:
        """Until it fails: why, and how many seconds it had been connected."""
        self._opened = None
        error = "The device ended its log."
        try:
            async with aclosing(Axeos(self.address).logs(self._connected)) as lines:
                async for line in lines:
                    if not self._readers.pending.add(self._id, line):
                        await self._readers.flushed.wait()
        except BenchError as failed:
            error = failed.detail
        except Exception as failed:  # a door: what one device does ends no reader
            log.exception("device_log_failed", device=str(self._id))
            error = f"Its log cannot be read ({type(failed).__name__})."
        opened, self._opened = self._opened, None
        return error, 0.0 if opened is None else time.monotonic() - opened

    def _connected(self) -> None:
        self._opened = time.monotonic()
        self._revived.clear()
        self._say(Reading("connected"))

    def _say(self, reading: Reading) -> None:
        self.reading = reading
        self._readers.changed(self._id)


def _portions(lines: dict[uuid.UUID, list[str]]) -> Iterator[dict[uuid.UUID, list[str]]]:
    """In parts that Redis takes in a few milliseconds each."""
    part: dict[uuid.UUID, list[str]] = {}
    size = 0
    for id, some in lines.items():
        part[id] = some
        size += len(some)
        if size >= LINES_AT_ONCE:
            yield part
            part, size = {}, 0
    if part:
        yield part
