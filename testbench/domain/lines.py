"""Log lines out of chunks that end wherever the device's buffer was full."""

import codecs
import re
import unicodedata

MAX_LINE = 4096

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


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
    return "".join(c for c in shown if unicodedata.category(c) not in ("Cc", "Cs")).rstrip()
