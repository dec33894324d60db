"""Log lines out of chunks that end wherever the device's buffer was full."""

import codecs
import re
import unicodedata

MAX_LINE = 4096

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Control characters, halves of pairs, and what ends a line to some readers.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of writing: a line could then read as something else."""


class LineJoiner:
    """Feed it chunks, it gives whole lines: plain text, without colours, never without bounds."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._max = max_line
        self._rest = ""

    def feed(self, chunk: bytes | str) -> list[str]:
        """The lines that this chunk ended; one that grows past the bound is cut there."""
        text = chunk if isinstance(chunk, str) else self._decoder.decode(chunk)
        *lines, self._rest = (self._rest + text).split("\n")
        while len(self._rest) > self._max:
            lines.append(self._rest[: self._max])
            self._rest = self._rest[self._max :]
        return [clean for line in lines for clean in self._cut(line) if clean]

    def end(self) -> list[str]:
        """What was left without a line's end when the connection closed."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        self._decoder.reset()
        return [clean] if (clean := plain(rest)) else []

    def _cut(self, line: str) -> list[str]:
        return [plain(line[at : at + self._max]) for at in range(0, len(line), self._max)]


def plain(line: str) -> str:
    """One line of text: no escape sequences, no control characters, nothing a database refuses."""
    shown = _COLOUR.sub("", line).replace("\t", " ")
    if shown.isprintable():
        return shown.rstrip()
    return "".join(c for c in shown if _is_fit(c)).rstrip()


def _is_fit(character: str) -> bool:
    return unicodedata.category(character) not in _UNFIT and character not in _TURNS
