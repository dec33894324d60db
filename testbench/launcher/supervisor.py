"""Keeps processes running: starts them, reads their output, restarts what dies, stops all."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbench.launcher.instance import Refused
from testbench.launcher.journal import Journal, signal_group
from testbench.launcher.logs import Log
from testbench.launcher.process import Child, Process, spawn

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 5.0
"""A process that ran this long did start: it is started again at the shortest pause."""


@dataclass(frozen=True)
class Kept:
    """A process that is kept running, until it is asked to stop."""

    asked_to_stop: asyncio.Event
    keeper: asyncio.Task[None]


class Supervisor:
    """Runs processes until `stop`; what was started last is stopped first, tier by tier."""

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._journal = Journal(folder)
        self._changed = changed
        self._tiers: list[list[Kept]] = []
        self._children: dict[str, Child] = {}

    def start(self, *processes: Process) -> None:
        """Starts a tier: processes that are stopped together, before those started earlier."""
        tier: list[Kept] = []
        for process in processes:
            asked = asyncio.Event()
            tier.append(Kept(asked, asyncio.create_task(self._keep(process, asked))))
        self._tiers.append(tier)

    def pids(self) -> dict[str, int]:
        """The pid of each process that is running now."""
        return {name: child.pid for name, child in self._children.items()}

    async def stop(self) -> None:
        """Stops every tier, the last first; within each process's patience, then by force."""
        while self._tiers:
            tier = self._tiers.pop()
            for kept in tier:
                kept.asked_to_stop.set()
            await asyncio.gather(*(kept.keeper for kept in tier), return_exceptions=True)

    async def once(self, process: Process) -> None:
        """Runs a command to its end; Refused with the end of what it said where it fails."""
        with closing(self._log(process)) as log:
            if await self._live(process, log, asyncio.Event()):
                raise Refused(f"`{process.name}` failed:\n" + "\n".join(log.tail(15)))

    async def _keep(self, process: Process, stop: asyncio.Event) -> None:
        """One process until it is to stop, with pauses that double while it keeps dying."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_S
        with closing(self._log(process)) as log:
            while not stop.is_set():
                began = clock()
                code = await self._live(process, log, stop)
                if stop.is_set():
                    return
                if clock() - began > STEADY_S:
                    pause = FIRST_PAUSE_S
                log.tell(f"ended with {_reason(code)}; starting again in {pause:g} s")
                await _first_of(stop.wait(), asyncio.sleep(pause))
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _live(self, process: Process, log: Log, stop: asyncio.Event) -> int:
        """One life, up to the exit code; what it leaves behind in its group is killed."""
        child = await spawn(process, self._journal)
        self._children[process.name] = child
        self._changed()
        reader = asyncio.create_task(_read(child, log))
        try:
            await _first_of(child.process.wait(), stop.wait())
            if child.process.returncode is None:
                signal_group(child.pid, process.stop)
                await _first_of(child.process.wait(), asyncio.sleep(process.patience_s))
        finally:
            signal_group(child.pid, signal.SIGKILL)
            code = await child.process.wait()
            self._journal.died(child.pid)
            del self._children[process.name]
            await asyncio.wait((reader,), timeout=1)
            child.pipe.close()
            self._changed()
        return code

    def _log(self, process: Process) -> Log:
        return Log(self._folder / "logs" / f"{process.name}.log", process.name)


async def _read(child: Child, log: Log) -> None:
    while chunk := await child.output.read(65536):
        log.write(chunk)


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns when one of them does; the others are given up."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _reason(code: int) -> str:
    return f"code {code}" if code >= 0 else signal.Signals(-code).name
