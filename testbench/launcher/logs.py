"""A process's output: all of it into a file rotated by size, its errors to the console as well."""

import re
import sys
from pathlib import Path

MAX_BYTES = 5_000_000
KEPT = 3
ERROR = re.compile(
    rb"\b(ERROR|CRITICAL|FATAL|PANIC)\b|\[(error|critical) *\]|\"level\": ?\"(error|critical)\""
)


class Log:
    """`write` takes chunks as they come; a line is judged when it is whole."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        """Keeps the chunk, and shows the lines in it that tell of an error."""
        if self._file.tell() + len(chunk) > MAX_BYTES:
            self._rotate()
        self._file.write(chunk)
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-4096:]
        for line in lines:
            if ERROR.search(line):
                self.tell(line.decode(errors="replace"))

    def tell(self, text: str) -> None:
        """One line to the console, with the process's name."""
        print(f"[{self.name}] {text}", file=sys.stderr, flush=True)

    def tail(self, lines: int = 5) -> list[str]:
        """The last lines written."""
        return self.path.read_bytes()[-8192:].decode(errors="replace").splitlines()[-lines:]

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for number in range(KEPT - 1, 0, -1):
            older = self.path.with_suffix(f".log.{number}")
            if older.exists():
                older.replace(self.path.with_suffix(f".log.{number + 1}"))
        self.path.replace(self.path.with_suffix(".log.1"))
        self._file = self.path.open("ab", buffering=0)
