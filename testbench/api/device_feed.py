"""What happens to devices, read once for all open streams of this web process.

One subscription to the bus, begun with the first stream and ended with the last. What it names is
gathered for a quarter of a second, the rows are read once, and each stream gets the same bytes.
"""

import asyncio
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

import anyio.to_thread
import msgspec
import structlog
from pydantic import BaseModel

from testbench.adapters import bus, db, device_logs, sessions
from testbench.adapters.bus import EVERYTHING
from testbench.adapters.db import Tx
from testbench.adapters.device_logs import LogLine
from testbench.api.streams import STREAMS, Stream, event
from testbench.domain.errors import BenchError, Unavailable
from testbench.domain.identity import BENCH
from testbench.services import device_events
from testbench.services.device_events import Named

log = structlog.get_logger()

COALESCE_S = 0.25
AT_ONCE = 500
"""Devices read in one pass; the others are read in the next."""
LINES_AT_ONCE = 5000
LEAST_LINES = 20
"""So many of each device, even if that makes more in all."""
READY_S = 2.0
LISTEN_EVERY_S = 5.0
TOPICS = ("telemetry", "poll_errors", "removed", device_logs.TOPIC)


class Feed:
    """The streams of one event loop, and what they are told."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._fleet: set[Stream] = set()
        self._logs: dict[uuid.UUID, dict[Stream, str]] = {}
        """Who follows which device's log, and the last line each was sent."""
        self._told: dict[uuid.UUID, str] = {}
        """The last line of each device that those who follow the fleet were sent."""
        self._changed: dict[str, set[str]] = {}
        self._since = device_logs.START
        self._news = asyncio.Event()
        self._joined = asyncio.Event()
        self._connected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def follow_fleet(self, stream: Stream) -> None:
        """Send what happens to any imprinted device; Unavailable while the bus is away."""
        if not self._fleet:
            self._since = await anyio.to_thread.run_sync(device_logs.now)
        self._fleet.add(stream)
        await self._ready()

    async def follow_log(self, stream: Stream, device_id: uuid.UUID, after: str) -> None:
        """Send the lines of a device's log that come after `after`; Unavailable as above."""
        self._logs.setdefault(device_id, {})[stream] = after
        await self._ready()

    async def _ready(self) -> None:
        """Returns once nothing is missed any more."""
        self._joined.set()
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(bus.listen(self._hear)),
                asyncio.create_task(self._tell_on()),
                asyncio.create_task(self._listen_on()),
            ]
        try:
            async with asyncio.timeout(READY_S):
                await self._connected.wait()
        except TimeoutError as error:
            raise Unavailable("The bench's bus does not answer.", retry_after=5) from error

    def leave(self, stream: Stream) -> None:
        """Send it nothing more."""
        self._fleet.discard(stream)
        for device_id in [id for id, some in self._logs.items() if stream in some]:
            del self._logs[device_id][stream]
            if not self._logs[device_id]:
                del self._logs[device_id]
        if not self._fleet:
            self._told.clear()
        self._rest()

    def _rest(self) -> None:
        if self._fleet or self._logs:
            return
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._connected.clear()
        self._changed.clear()

    def _hear(self, events: Iterable[bus.Event]) -> None:
        for topic, id in events:
            if topic == EVERYTHING:
                self._connected.set()
                self._changed.setdefault(device_logs.TOPIC, set()).update(map(str, self._logs))
            elif topic == sessions.TOPIC:
                STREAMS.doubt(id)
            elif topic in TOPICS:
                self._changed.setdefault(topic, set()).add(id)
        if self._changed:
            self._news.set()

    async def _tell_on(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._tell()
            except BenchError as error:
                log.warning("device_feed_behind", error=error.detail)
            except Exception:  # a door: the next pass may be better
                log.exception("device_feed_failed")
            await asyncio.sleep(COALESCE_S)

    async def _listen_on(self) -> None:
        """Collectors tell of lines only where somebody listens."""
        while True:
            self._joined.clear()
            wanted: list[uuid.UUID | str] = [*self._logs]
            if self._fleet:
                wanted.append(device_logs.EVERYBODY)
            await anyio.to_thread.run_sync(device_logs.listen, wanted, 3 * LISTEN_EVERY_S)
            # What came before anybody was known to listen, and what the bus may have lost.
            self._again(*self._logs)
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_EVERY_S):
                    await self._joined.wait()

    async def _tell(self) -> None:
        changed = {topic: self._taken(topic) for topic in TOPICS}
        if self._fleet:
            fleet = set(self._fleet)
            data = await anyio.to_thread.run_sync(self._read_fleet, changed)
            for stream in fleet & self._fleet:
                stream.put(data)
        await self._tell_logs(changed[device_logs.TOPIC])

    def _taken(self, topic: str) -> set[uuid.UUID]:
        waiting = self._changed.get(topic, set())
        some = [waiting.pop() for _ in range(min(len(waiting), AT_ONCE))]
        if waiting:
            self._news.set()
        return {id for text in some if (id := _id(text)) is not None}

    async def _tell_logs(self, changed: Collection[uuid.UUID]) -> None:
        after = {id: min(self._logs[id].values(), key=place) for id in changed if id in self._logs}
        for id, lines in (await anyio.to_thread.run_sync(device_logs.follow, after)).items():
            for stream, last in self._logs.get(id, {}).items():
                stream.put(log_events(line for line in lines if place(line.id) > place(last)))
                self._logs[id][stream] = max(last, lines[-1].id, key=place)
            if len(lines) >= device_logs.READ_AT_ONCE:
                self._again(id)

    def _again(self, *ids: uuid.UUID) -> None:
        """There may be lines that were not sent yet."""
        self._hear(bus.Event(device_logs.TOPIC, str(id)) for id in ids)

    # --- on a thread ----------------------------------------------------------------------------

    def _read_fleet(self, changed: Mapping[str, set[uuid.UUID]]) -> bytes:
        """All that is told about these devices, what comes seldom first."""

        def read(tx: Tx) -> tuple[list[bytes], list[Named]]:
            parts = [
                *_events("device_removed", device_events.removed(tx, BENCH, changed["removed"])),
                *_events("error", device_events.poll_errors(tx, BENCH, changed["poll_errors"])),
                *_events("stat_update", device_events.readings(tx, BENCH, changed["telemetry"])),
            ]
            return parts, device_events.listened(tx, BENCH, changed[device_logs.TOPIC])

        parts, listened = db.run(read)
        names = {one.id: one for one in listened}
        return b"".join(parts) + self._read_lines(changed[device_logs.TOPIC] - names.keys(), names)

    def _read_lines(
        self, unheard: Collection[uuid.UUID], names: Mapping[uuid.UUID, Named]
    ) -> bytes:
        if unheard:
            # Lines from before somebody listened are not told later.
            self._told |= dict.fromkeys(unheard, device_logs.now())
        after = {id: self._told.get(id, self._since) for id in names}
        parts: list[bytes] = []
        count = max(LEAST_LINES, LINES_AT_ONCE // max(1, len(after)))
        for id, lines in device_logs.follow(after, count).items():
            self._told[id] = lines[-1].id
            parts += [event("logs_update", _update(names[id], line)) for line in lines]
            if len(lines) >= count:
                self.loop.call_soon_threadsafe(self._again, id)
        return b"".join(parts)


_feeds: list[Feed] = []


def feed() -> Feed:
    """The feed of the running event loop."""
    loop = asyncio.get_running_loop()
    if not _feeds or _feeds[0].loop is not loop:
        _feeds[:] = [Feed()]
    return _feeds[0]


def log_events(lines: Iterable[LogLine]) -> bytes:
    """Lines as events `log`, each with its place for `Last-Event-ID`."""
    return b"".join(event("log", line.text, line.id) for line in lines)


def place(id: str) -> tuple[int, int]:
    """A line's place in its stream, to be compared."""
    ms, _, number = id.partition("-")
    return int(ms), int(number or 0)


def _update(device: Named, line: LogLine) -> str:
    told = {"mac": device.mac, "ip": device.ip, "info": line.text}
    return msgspec.json.encode(told).decode()


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _events(name: str, rows: Iterable[BaseModel]) -> list[bytes]:
    return [event(name, row.model_dump_json()) for row in rows]
