"""One data folder, one running bench: its lock, its secrets, its ports and what is known of it."""

import fcntl
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCK_PATIENCE_S = 15.0
PORTS = range(20_000, 32_000)
"""Below the range the kernel takes outgoing connections' ports from."""


class Refused(Exception):
    """The launcher cannot do this, in words for the operator."""


@dataclass(frozen=True)
class Instance:
    """A bench's folder; secrets and state in it are readable by its owner alone."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> "Instance":
        """Makes the folder where needed; others may pass through it (PostgreSQL), not look in."""
        folder = folder.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711 if os.getuid() == 0 else 0o700)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        return cls(folder)

    @contextmanager
    def lock(self) -> Generator[int]:
        """Holds the folder for this launcher; yields the lock's descriptor.

        A launcher that was killed leaves the lock to its undertaker for some seconds: waits for
        that one, but refuses at once where the launcher itself lives.
        """
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + LOCK_PATIENCE_S
        try:
            while not _try_lock(descriptor):
                holder = os.pread(descriptor, 20, 0).decode().strip()
                if _is_launcher(holder) or time.monotonic() > end:
                    raise Refused(
                        f"{self.folder} is in use by a running bench (pid {holder}). Stop it, or "
                        "start this one with another --data."
                    )
                time.sleep(0.1)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def secret(self, name: str) -> str:
        """A secret of this instance, made at its first use and kept."""
        kept = self._read("secrets.json")
        if name not in kept:
            kept[name] = secrets.token_urlsafe(24)
            self._write("secrets.json", kept)
        return str(kept[name])

    def keep(self, name: str, value: str) -> None:
        """Keeps a secret made elsewhere, to be told once."""
        fresh = {name: value, f"tell_{name}": True}
        self._write("secrets.json", self._read("secrets.json") | fresh)

    def hand_over(self, name: str, content: dict[str, Any]) -> None:
        """Leaves secrets for a process of this instance, in a file of its own."""
        self._write(f"{name}.json", content)

    def handed_over(self, name: str) -> dict[str, Any]:
        """What `hand_over` left; empty where nothing was."""
        return self._read(f"{name}.json")

    def to_tell(self, name: str) -> str | None:
        """A secret that was kept and never told: it is from now on."""
        kept = self._read("secrets.json")
        if not kept.pop(f"tell_{name}", False):
            return None
        self._write("secrets.json", kept)
        return str(kept[name])

    def port(self, name: str) -> int:
        """The port a service had last time, where it is still free; else another free one."""
        kept = self._read("ports.json")
        port = kept.get(name)
        if port is None or not is_free(port):
            free = (p for p in random.sample(PORTS, 500) if p not in kept.values() and is_free(p))
            port = kept[name] = next(free)
            self._write("ports.json", kept)
        return int(port)

    def ports(self, name: str, count: int) -> range:
        """Consecutive ports, the same as last time where all of them are still free."""
        kept = self._read("ports.json")
        first = kept.get(name)
        if first is None or not _are_free(range(first, first + count)):
            starts = random.sample(PORTS[:-count], 500)
            first = next(p for p in starts if _are_free(range(p, p + count)))
            self._write("ports.json", kept | {name: first})
        return range(first, first + count)

    def has_ports(self, name: str, ports: Sequence[int]) -> bool:
        """Whether `ports` begin where those of `name` were kept."""
        return bool(ports) and ports[0] == self._read("ports.json").get(name)

    def state(self) -> dict[str, Any]:
        """What the running launcher last told of itself; empty where none runs."""
        return self._read("state.json") if self._is_held() else {}

    def tell(self, state: dict[str, Any]) -> None:
        """Leaves word for `status`, `doctor` and `create-user`."""
        self._write("state.json", state)

    def _is_held(self) -> bool:
        path = self.folder / "lock"
        if not path.exists():
            return False
        with path.open() as file:
            return not _try_lock(file.fileno())

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Whole or not at all, and never readable by others, not even for a moment."""
        fresh = self.folder / f".{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=1)
        fresh.replace(self.folder / name)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True if a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _are_free(ports: range) -> bool:
    return all(is_free(port) for port in ports)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_launcher(pid: str) -> bool:
    """True if a process of this pid lives and runs Python (numbers are given anew)."""
    try:
        stat = Path(f"/proc/{int(pid)}/stat").read_text()
        command = Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX" and b"testbench" in command
