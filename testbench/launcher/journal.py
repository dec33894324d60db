"""Which process groups an instance has started, on disk, so that whoever comes after can end them.

Every child writes itself down between fork and exec, so not even a kill of the launcher at that
moment leaves a process nobody knows. Two readers: the undertaker, when its launcher has died, and
the next start, should both have been killed.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 6.0


class Journal:
    """An append-only file of `+pid signal` (born) and `-pid` (dead, its group too)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "processes"

    def open(self) -> int:
        """A descriptor for `born`, made before the fork."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def died(self, pid: int) -> None:
        """Nothing of this group is left."""
        with self.path.open("a") as file:
            file.write(f"-{pid}\n")

    def alive(self) -> dict[int, int]:
        """Group id to the signal that stops it politely, for groups of this journal that live."""
        groups = {pid: stop for pid, stop in self._born().items() if _group_exists(pid)}
        return {pid: stop for pid, stop in groups.items() if self._is_ours(pid)}

    def bury(self, patience_s: float = PATIENCE_S) -> list[int]:
        """Ends every group still alive, politely first, and empties the journal."""
        groups = self.alive()
        for pid, stop in groups.items():
            signal_group(pid, stop)
        end = time.monotonic() + patience_s
        while time.monotonic() < end and any(_group_exists(pid) for pid in groups):
            time.sleep(0.05)
        for pid in groups:
            signal_group(pid, signal.SIGKILL)
        self.path.unlink(missing_ok=True)
        return list(groups)

    def end(self, pid: int, stop: int, patience_s: float = PATIENCE_S) -> None:
        """Ends one group by the signal given, then by force."""
        signal_group(pid, stop)
        end = time.monotonic() + patience_s
        while time.monotonic() < end and _group_exists(pid):
            time.sleep(0.05)
        signal_group(pid, signal.SIGKILL)
        self.died(pid)

    def _born(self) -> dict[int, int]:
        born: dict[int, int] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            pid, _, stop = line[1:].partition(" ")
            if line.startswith("+"):
                born[int(pid)] = int(stop)
            else:
                born.pop(int(pid), None)
        return born

    def _is_ours(self, pid: int) -> bool:
        """False if the number was given anew: what is ours began before the last entry.

        A group's number is not given again while a member lives, so a group without its leader
        is ours as well.
        """
        try:
            began = started_at(pid)
        except OSError:
            return True
        return began <= self.path.stat().st_mtime + 1


def born(descriptor: int, stop: int) -> None:
    """Writes the calling process down; for `preexec_fn`, after setsid."""
    os.write(descriptor, b"+%d %d\n" % (os.getpid(), stop))


def signal_group(pid: int, number: int) -> None:
    """Signals a whole process group; one that is gone is fine."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def started_at(pid: int) -> float:
    """When a process began, in seconds since the epoch (proc(5), field 22 of stat)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return _boot_time() + ticks / os.sysconf("SC_CLK_TCK")


def _boot_time() -> float:
    stat = Path("/proc/stat").read_text().splitlines()
    return float(next(line.split()[1] for line in stat if line.startswith("btime ")))


def _group_exists(pid: int) -> bool:
    """Zombies aside: they only wait for their parent to look."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_lives_in(entry, pid) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _lives_in(entry: Path, group: int) -> bool:
    try:
        state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(pgrp) == group and state not in "ZX"
