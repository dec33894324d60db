"""What can be started: a name, a command, its environment and how to stop it."""

import asyncio
import grp
import os
import pwd
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict

from testbench.launcher.journal import Journal, born

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (sys.executable, "-m")


@dataclass(frozen=True)
class Process:
    """One long-lived program. `stop` is the signal it ends at politely."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stop: signal.Signals = signal.SIGTERM
    cwd: Path = ROOT
    user: str | None = None
    """Whom it runs as where the launcher is root; None: as the launcher."""
    patience_s: float = 5.0
    """From the polite signal to SIGKILL; those of all tiers together stay below 15 s."""


@dataclass(frozen=True)
class Child:
    """A process that was started, and what it says, errors included.

    The pipe is our own: asyncio, which makes one with a process, takes the process for alive
    (before Python 3.12.4) as long as one of its children holds that pipe.
    """

    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    pipe: asyncio.ReadTransport

    @property
    def pid(self) -> int:
        return self.process.pid


async def spawn(process: Process, journal: Journal) -> Child:
    """Starts it in a session of its own, written down in the journal."""
    descriptor = journal.open()
    reading, writing = os.pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            *passing(process.cwd, process.user),
            *process.argv,
            stdin=DEVNULL,
            stdout=writing,
            stderr=STDOUT,
            # Whose connection it is, in PostgreSQL's own list of them.
            env={**os.environ, "PGAPPNAME": f"testbench {process.name}", **process.env},
            cwd=process.cwd,
            start_new_session=True,
            preexec_fn=partial(born, descriptor, process.stop),
            **identity(process.user, process.cwd),
        )
    finally:
        os.close(descriptor)
        os.close(writing)
    output = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb", 0)
    )
    return Child(child, output, pipe)


class Identity(TypedDict, total=False):
    """Keyword arguments of subprocess: whom a program runs as."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: str | None, path: Path) -> Identity:
    """Drops root to `user`; empty where there is nothing to drop, or `passing` does it instead."""
    if user is None or os.getuid() != 0 or passing(path, user):
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def passing(path: Path, user: str | None) -> tuple[str, ...]:
    """A prefix to the command where `user` may not walk to `path`, as below root's home.

    The one capability of passing such folders is kept; without it, a clone under /root could
    only run after its parents' modes were changed.
    """
    if user is None or os.getuid() != 0 or (_walkable(path) and _walkable(Path(sys.prefix))):
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SystemExit(f"{user} cannot reach {path}, and setpriv (util-linux) is missing.")
    group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    capability = "dac_override" if _lacks_read_search() else "dac_read_search"
    return (
        *(setpriv, f"--reuid={user}", f"--regid={group}", "--clear-groups"),
        *(f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}"),
        # Else access(2), which initdb asks first, would not count the capability.
        *("--securebits=+no_setuid_fixup", "--"),
    )


def _walkable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _lacks_read_search() -> bool:
    """Containers often have CAP_DAC_OVERRIDE (1) without CAP_DAC_READ_SEARCH (2)."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if "CapEff" in line), 16)
    return not effective & (1 << 2)
