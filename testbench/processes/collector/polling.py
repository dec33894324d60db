"""Asks each device for its state when its turn has come; who hangs holds up nobody else."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from resource import RLIMIT_NOFILE, getrlimit
from threading import Event, Thread

import structlog

from testbench.adapters.drivers.axeos import Axeos
from testbench.domain import axeos
from testbench.domain.errors import BenchError
from testbench.domain.sharing import wait_s
from testbench.processes.collector.recording import Recorder
from testbench.processes.collector.sharing import Sharing
from testbench.services.monitoring import Poll, Polled

log = structlog.get_logger()

MAX_OPEN = 1000
"""Polls under way at once in each lane."""
FIRST_RATE = 400.0
"""New devices a second that are polled ahead of their turn."""
LATE_S = 0.5
TELL_S = 60.0
STOP_S = 5.0
UNEXPECTED = "The poll failed for a reason that is in the collector's log."

Follower = Callable[[Sequence[Polled]], None]


@dataclass(slots=True)
class Figures:
    """How well the polling keeps time, since it was last told."""

    polls: int = 0
    failed: int = 0
    late: int = 0
    """Begun more than half a second after their time."""
    missed: int = 0
    """Turns left out, because the poll before was still under way."""

    def on_time(self) -> float:
        """Share of all turns, 0..1."""
        turns = self.polls + self.missed
        return 1.0 if not turns else (self.polls - self.late) / turns


class Target:
    """One device that is polled here, and its next turn."""

    __slots__ = ("device", "driver", "due", "suspect", "task", "timer")

    def __init__(self, device: Polled) -> None:
        self.device = device
        self.driver = Axeos(device.ip)
        self.due = 0.0
        """In the event loop's time."""
        self.suspect = device.error is not None
        """Its last poll failed, so it is asked in a lane of its own kind."""
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def change(self, device: Polled) -> None:
        """Take over what changed of the device itself."""
        if device.ip != self.device.ip:
            self.driver = Axeos(device.ip)
        self.device = device


class Poller:
    """An event loop on a thread of its own, until `stopping`.

    `followers` are told, in that loop, which devices are this collector's, every two seconds.
    """

    def __init__(self, name: str, stopping: Event, followers: Sequence[Follower] = ()) -> None:
        self.broken = False
        self.figures = Figures()
        self.recorder = Recorder()
        self._name = name
        self._stopping = stopping
        self._followers = followers
        self._targets: dict[uuid.UUID, Target] = {}
        self._thread = Thread(target=self._live, name="poller")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended, after `stopping` was set."""
        self._thread.join()

    def _live(self) -> None:
        """Where it breaks down the whole collector ends, and is started again."""
        self.recorder.start()
        try:
            asyncio.run(self._run())
        except Exception:
            log.exception("polling_broke_down")
            self.broken = True
            self._stopping.set()
        finally:
            self.recorder.close()
            self.recorder.join(STOP_S)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        files = max(64, (getrlimit(RLIMIT_NOFILE)[0] - 256) // 3)
        # Those that answer never wait for a place behind those that do not.
        self._lanes = [asyncio.Semaphore(min(MAX_OPEN, files)) for _ in range(2)]
        with ThreadPoolExecutor(1, "sharing") as executor:
            self._sharing = Sharing(self._name, executor, self._tell_followers)
            sharing = asyncio.create_task(self._sharing.run())
            try:
                await self._until_stopped(sharing)
            finally:
                await self._stop(sharing)

    async def _until_stopped(self, sharing: asyncio.Task[None]) -> None:
        told = self._loop.time()
        while not self._stopping.is_set():
            await asyncio.wait((sharing,), timeout=0.25)
            if sharing.done():
                sharing.result()
            if self._loop.time() - told >= TELL_S:
                told = self._loop.time()
                self.tell("polling")

    async def _stop(self, sharing: asyncio.Task[None]) -> None:
        sharing.cancel()
        tasks = [target.task for target in self._targets.values() if target.task]
        self._tell_followers([])
        await asyncio.gather(sharing, *tasks, return_exceptions=True)
        await self._sharing.leave()
        self.tell("polling_stopped")

    def tell(self, event: str) -> None:
        """The figures since the last time, as a line of the log."""
        figures, self.figures = self.figures, Figures()
        log.info(
            event,
            devices=len(self._targets),
            polls=figures.polls,
            failed=figures.failed,
            late=figures.late,
            missed=figures.missed,
            dropped=self.recorder.dropped,
            on_time=round(figures.on_time(), 4),
        )

    # --- whom ---------------------------------------------------------------------------------

    def _tell_followers(self, devices: Sequence[Polled]) -> None:
        self._follow(devices)
        for follow in self._followers:
            try:
                follow(devices)
            except Exception:
                # Who reads their logs must not end the polls.
                log.exception("follower_failed")

    def _follow(self, devices: Sequence[Polled]) -> None:
        """Poll these and no others."""
        gone = self._targets.keys() - {device.id for device in devices}
        for id in gone:
            self._forget(self._targets.pop(id))
        new = [device for device in devices if device.id not in self._targets]
        for device in devices:
            target = self._targets.get(device.id)
            if target is not None and target.device != device:
                self._change(target, device)
        for place, device in enumerate(new):
            target = self._targets[device.id] = Target(device)
            self._schedule(target, place / FIRST_RATE)

    def _change(self, target: Target, device: Polled) -> None:
        before = target.device
        target.change(device)
        if (device.interval_s, device.ip) != (before.interval_s, before.ip):
            self._schedule(target, 0.0)

    def _forget(self, target: Target) -> None:
        if target.timer is not None:
            target.timer.cancel()
        if target.task is not None:
            target.task.cancel()

    def _schedule(self, target: Target, at_most_s: float) -> None:
        if target.timer is not None:
            target.timer.cancel()
        wait = wait_s(target.device.id, target.device.interval_s, time.time())
        target.due = self._loop.time() + min(wait, at_most_s)
        target.timer = self._loop.call_at(target.due, self._turn, target)

    # --- when ---------------------------------------------------------------------------------

    def _turn(self, target: Target) -> None:
        """Its time has come: begin a poll, unless the last one still lasts."""
        if self._sharing.is_stale:
            target.due = self._loop.time() + 0.25
            target.timer = self._loop.call_at(target.due, self._turn, target)
            return
        due, now = target.due, self._loop.time()
        interval = target.device.interval_s
        wait = wait_s(target.device.id, interval, time.time())
        # Just before its phase the next one is a whole interval away.
        target.due = now + (wait if wait > interval / 2 else wait + interval)
        target.timer = self._loop.call_at(target.due, self._turn, target)
        if target.task is not None:
            self.figures.missed += 1
            return
        target.task = asyncio.create_task(self._poll(target, due))

    async def _poll(self, target: Target, due: float) -> None:
        try:
            async with self._lanes[target.suspect]:
                self.figures.polls += 1
                self.figures.late += self._loop.time() - due > LATE_S
                poll = await _ask(target)
            target.suspect = poll.error is not None
            self.figures.failed += target.suspect
            if self._targets.get(target.device.id) is target:
                self.recorder.put(poll)
        finally:
            target.task = None


async def _ask(target: Target) -> Poll:
    device, driver = target.device, target.driver
    try:
        answer = axeos.reading_of(await driver.info())
    except BenchError as error:
        return Poll(device, _now(), error=error.detail)
    except Exception:
        log.exception("poll_failed", device=str(device.id))
        return Poll(device, _now(), error=UNEXPECTED)
    return Poll(device, _now(), answer)


def _now() -> int:
    return time.time_ns() // 1_000_000
