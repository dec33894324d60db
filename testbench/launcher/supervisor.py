"""Keeps processes running: starts them, reads their output, restarts what dies, stops all."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process as Child
from collections.abc import Callable
from pathlib import Path

from testbench.launcher.instance import Refused
from testbench.launcher.journal import Journal, signal_group
from testbench.launcher.logs import Log
from testbench.launcher.process import Process, spawn

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A process that ran this long is started again at the shortest pause."""


class Supervisor:
    """Runs processes until `stop`; what was started last is stopped first, tier by tier."""

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._journal = Journal(folder)
        self._changed = changed
        self._tiers: list[list[Process]] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._children: dict[str, Child] = {}
        self._stopping: set[str] = set()

    def start(self, *processes: Process) -> None:
        """Starts a tier: processes that are stopped together, before those started earlier."""
        self._tiers.append(list(processes))
        for process in processes:
            self._keepers[process.name] = asyncio.create_task(self._keep(process))

    def pids(self) -> dict[str, int]:
        """The pid of each process that is running now."""
        return {name: child.pid for name, child in self._children.items()}

    async def stop(self) -> None:
        """Stops every tier, the last first; within each process's patience, then by force."""
        for tier in reversed(self._tiers):
            await asyncio.gather(*(self._stop(process) for process in tier))
        self._tiers.clear()

    async def once(self, process: Process) -> str:
        """Runs a command to its end; returns what it said, or raises Refused with that's end."""
        log = Log(self._folder / "logs" / f"{process.name}.log", process.name)
        child = await spawn(process, self._journal)
        try:
            said, _ = await child.communicate()
            log.write(said)
        finally:
            await self._clear(child)
            log.close()
        text = said.decode(errors="replace")
        if child.returncode:
            raise Refused(f"`{process.name}` failed:\n" + "\n".join(text.splitlines()[-15:]))
        return text

    async def _stop(self, process: Process) -> None:
        keeper = self._keepers.pop(process.name)
        self._stopping.add(process.name)
        child = self._children.get(process.name)
        if child is None:
            keeper.cancel()  # it is between two lives
        else:
            signal_group(child.pid, process.stop)
        done, _ = await asyncio.wait((keeper,), timeout=process.patience_s)
        if not done:
            keeper.cancel()
            await asyncio.wait((keeper,))

    async def _keep(self, process: Process) -> None:
        """One process for ever, with pauses that double while it keeps dying."""
        log = Log(self._folder / "logs" / f"{process.name}.log", process.name)
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_S
        try:
            while True:
                began = clock()
                code = await self._run(process, log)
                if process.name in self._stopping:
                    return
                if clock() - began > STEADY_S:
                    pause = FIRST_PAUSE_S
                log.tell(f"ended with {_reason(code)}; starting again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
        finally:
            log.close()

    async def _run(self, process: Process, log: Log) -> int:
        """One life of a process; whatever it leaves behind in its group is killed."""
        child = await spawn(process, self._journal)
        self._children[process.name] = child
        self._changed()
        reader = asyncio.create_task(_read(child, log))
        try:
            return await child.wait()
        finally:
            await self._clear(child)
            del self._children[process.name]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader, 1)
            self._changed()

    async def _clear(self, child: Child) -> None:
        """Kills what is left of a child's group: none of its own children outlives it."""
        signal_group(child.pid, signal.SIGKILL)
        await child.wait()
        self._journal.died(child.pid)


async def _read(child: Child, log: Log) -> None:
    while child.stdout and (chunk := await child.stdout.read(65536)):
        log.write(chunk)


def _reason(code: int) -> str:
    return f"code {code}" if code >= 0 else signal.Signals(-code).name
