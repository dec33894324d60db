"""What a device may send, read and judged field by field; the hottest code of the bench."""

import json
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from testbench.domain.errors import BadRequest

Value = float | str | bool

MAX_VALUES = 1000
MAX_STRING_BYTES = 1024
MAX_METRIC_CHARS = 100
MAX_ERRORS = 100
MAX_DEPTH = 32
MAX_PAYLOAD_BYTES = 1024 * 1024
EXCERPT_BYTES = 1024
DAY_MS = 86_400_000
EARLIEST_MS = 946_684_800_000
"""2000-01-01 UTC; a clock before it was never set."""
MAX_SEQ = 2**63 - 1

EXACT_INT = 2**53

_NUMERIC = frozenset({float, int, bool})
_TIMED_KEYS = frozenset({"ts", "values", "seq"})
_KNOWN_NAMES_MAX = 50_000

_decode = msgspec.json.Decoder().decode
_known_names: set[str] = set()


class Sent(NamedTuple):
    """A message as it was understood."""

    points: list[tuple[str, int, Value]]
    """(metric, ts in ms, value); numbers are always float."""
    seqs: list[int]
    """Its sequence numbers, as they came."""
    newest: int | None
    """The latest time the device gave itself, in ms; None if it gave none."""


class Refused(BadRequest):
    """A message that breaks the rules; its sequence numbers still tell what arrived."""

    seqs: Sequence[int] = ()


class _Pairs(dict[str, Any]):
    """An object that still knows the keys it was sent twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def parse(payload: bytes | bytearray, received: int) -> Sent:
    """Read a payload that arrived at `received` (ms); Refused names each bad field's path."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _refusal("", "is larger than 1 MiB")
    try:
        document = _decode(payload)
    except UnicodeDecodeError:
        raise _refusal("", "is not valid UTF-8") from None
    except RecursionError:
        raise _refusal("", f"is nested deeper than {MAX_DEPTH}") from None
    except msgspec.DecodeError as error:
        _explain(payload, received)
        raise _refusal("", f"is not valid JSON: {error}") from None
    quotes = payload.count(b'"')
    plain = _plain(document, received, quotes)
    if plain is not None:
        return plain
    reader = _Reader(received)
    sent = reader.read(document)
    if quotes != 2 * reader.words:
        return _Reader(received).read(json.loads(payload, object_pairs_hook=_Pairs))
    return sent


def check(document: object, received: int) -> Sent:
    """The same for a payload that is already decoded (a poll's answer)."""
    return _Reader(received).read(document)


def excerpt(payload: bytes | bytearray) -> str:
    """The first KiB of a refused payload as text that a database can hold."""
    text = bytes(payload[:EXCERPT_BYTES]).decode("utf-8", "backslashreplace")
    return text.replace("\x00", "\\x00")


def metric_fault(name: object) -> str | None:
    """Why `name` cannot be a metric's; None if it can."""
    if not isinstance(name, str):
        return "must be a string"
    if not 1 <= len(name) <= MAX_METRIC_CHARS:
        return f"must have 1 to {MAX_METRIC_CHARS} characters"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        return "must not have control characters"
    return None


def _explain(payload: bytes | bytearray, received: int) -> None:
    """Name the field, where the lenient reader can see what the strict one refused."""
    try:
        document = json.loads(payload.decode(), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        raise _refusal("", "is not valid UTF-8") from None
    except (ValueError, RecursionError):
        return
    _Reader(received).read(document)


def _refusal(loc: str, msg: str) -> Refused:
    return Refused(f"The message {msg}.", errors=[(loc, msg)])


def _plain(document: object, received: int, quotes: int) -> Sent | None:
    """The usual message in one pass: known metrics, plain numbers. None: let the reader look."""
    if type(document) is not dict or not _TIMED_KEYS.issuperset(document):
        return None
    ts, values, seq = document.get("ts"), document.get("values"), document.get("seq", 0)
    if type(ts) is not int or not EARLIEST_MS <= ts <= received + DAY_MS:
        return None
    if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
        return None
    if type(values) is not dict or quotes != 2 * (len(document) + len(values)):
        return None
    points = _numbers(values, ts)
    if not points or len(points) > MAX_VALUES:
        return None
    return Sent(points, [seq] if "seq" in document else [], ts)


def _numbers(values: dict[str, Any], ts: int) -> list[tuple[str, int, Value]] | None:
    points: list[tuple[str, int, Value]] = []
    for metric, value in values.items():
        kind = type(value)
        if metric not in _known_names or kind not in _NUMERIC:
            return None
        if kind is int:
            if not -EXACT_INT <= value <= EXACT_INT:
                return None
            value = float(value)  # noqa: PLW2901 (the same number)
        points.append((metric, ts, value))
    return points


class _Reader:
    """One message being read: what was found, and what is wrong with it."""

    def __init__(self, received: int) -> None:
        self.received = received
        self.points: list[tuple[str, int, Value]] = []
        self.seqs: list[int] = []
        self.newest: int | None = None
        self.errors: list[tuple[str, str]] = []
        self.words = 0
        """Strings the payload must have: keys and string values."""

    def read(self, document: object) -> Sent:
        """Raises Refused with all faults, at most 100."""
        if isinstance(document, dict):
            self._entry(document, "")
        elif isinstance(document, list):
            for index, entry in enumerate(document):
                if isinstance(entry, dict):
                    self._entry(entry, f"{index}.")
                else:
                    self._fault(str(index), "must be an object")
                if len(self.points) > MAX_VALUES or len(self.errors) > MAX_ERRORS:
                    break
        else:
            self._fault("", "must be an object or a list of objects")
        self._finish()
        return Sent(self.points, self.seqs, self.newest)

    def _finish(self) -> None:
        if len(self.points) > MAX_VALUES:
            self._fault("", f"more than {MAX_VALUES} values")
        elif not self.points and not self.errors:
            self._fault("", "holds no values")
        if self.errors:
            shown = self.errors[:MAX_ERRORS]
            loc, msg = shown[0]
            refused = Refused(f"The message was refused: {loc or 'payload'} {msg}.", errors=shown)
            refused.seqs = self.seqs
            raise refused

    def _fault(self, loc: str, msg: str) -> None:
        self.errors.append((loc, msg))

    def _entry(self, entry: dict[str, Any], prefix: str) -> None:
        self.words += len(entry)
        seq = entry.get("seq")
        if seq is not None or "seq" in entry:
            self._seq(seq, prefix)
        values = entry.get("values")
        if isinstance(values, dict) or ("values" in entry and "ts" in entry):
            self._timed(entry, values, prefix)
        elif "ts" in entry:
            self._fault(f"{prefix}ts", "needs `values` beside it")
        else:
            self._values(entry, self.received, prefix, flat=True)

    def _timed(self, entry: dict[str, Any], values: object, prefix: str) -> None:
        for key in entry.keys() - _TIMED_KEYS:
            self._fault(f"{prefix}{_shown(key)}", "is no field of a message with `values`")
        ts = self._time(entry["ts"], prefix) if "ts" in entry else self.received
        if not isinstance(values, dict):
            self._fault(f"{prefix}values", "must be an object")
            return
        self.words += len(values)
        self._values(values, ts, f"{prefix}values.", flat=False)

    def _time(self, ts: object, prefix: str) -> int:
        if type(ts) is not int:
            self._fault(f"{prefix}ts", "must be an integer of milliseconds")
        elif ts < EARLIEST_MS:
            self._fault(f"{prefix}ts", "is before the year 2000")
        elif ts > self.received + DAY_MS:
            self._fault(f"{prefix}ts", "is more than a day ahead")
        else:
            if self.newest is None or ts > self.newest:
                self.newest = ts
            return ts
        return self.received

    def _seq(self, seq: object, prefix: str) -> None:
        if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
            self._fault(f"{prefix}seq", "must be an integer from 0 to 2^63-1")
        else:
            self.seqs.append(seq)

    def _values(self, values: dict[str, Any], ts: int, prefix: str, *, flat: bool) -> None:
        points = self.points
        pairs = values.pairs if type(values) is _Pairs else values.items()
        for metric, value in pairs:
            if flat and metric == "seq":
                continue
            if metric not in _known_names and not self._name(metric, prefix):
                continue
            kind = type(value)
            if (kind is float and math.isfinite(value)) or kind is bool:
                points.append((metric, ts, value))
            elif kind is str:
                self.words += 1
                self._string(metric, ts, value, prefix)
            else:
                self._number(metric, ts, value, prefix)

    def _name(self, metric: str, prefix: str) -> bool:
        fault = metric_fault(metric)
        if fault is not None:
            self._fault(f"{prefix}{_shown(metric)}", f"metric name {fault}")
            return False
        if len(_known_names) >= _KNOWN_NAMES_MAX:
            _known_names.clear()
        _known_names.add(metric)
        return True

    def _string(self, metric: str, ts: int, value: str, prefix: str) -> None:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return self._fault(prefix + metric, "holds half a surrogate pair")
        if size > MAX_STRING_BYTES:
            return self._fault(prefix + metric, "is longer than 1 KiB")
        if "\x00" in value:
            return self._fault(prefix + metric, "holds a NUL character")
        self.points.append((metric, ts, value))

    def _number(self, metric: str, ts: int, value: object, prefix: str) -> None:
        if not isinstance(value, int | float):
            return self._fault(prefix + metric, "must be a number, a string or a bool")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            return self._fault(prefix + metric, "is no finite number of double precision")
        self.points.append((metric, ts, number))


def _shown(key: str) -> str:
    """A sender's key inside a path: short, and printable."""
    short = key if len(key) <= MAX_METRIC_CHARS else key[: MAX_METRIC_CHARS - 1] + "…"
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cs") else f"\\u{ord(char):04x}"
        for char in short
    )


# --- what was lost upstream ---------------------------------------------------------------------

REORDER_SPAN = 10_000
"""A number that far below the highest is a restarted counter, not a late message."""
MAX_GAPS = 1000


class Heard(NamedTuple):
    """How far a device's sequence was followed."""

    seq: int | None = None
    """The highest number since the counter last began."""
    missing: int = 0
    """Messages that never came; a late one is taken off again."""
    gaps: tuple[tuple[int, int], ...] = ()
    """The newest holes as [first, last], ascending; older holes stay counted in `missing`."""


def follow(heard: Heard, seqs: Iterable[int]) -> Heard:
    """Take in the sequence numbers of one batch, as they came.

    A hole counts as missing until its messages come late. A repeat changes nothing. A number
    10,000 or more below the highest is a counter that began anew.
    """
    for seq in seqs:
        heard = _follow_one(heard, seq)
    return heard


def _follow_one(heard: Heard, seq: int) -> Heard:
    highest = heard.seq
    if highest is None or highest - seq >= REORDER_SPAN:
        return Heard(seq, heard.missing)
    if seq == highest + 1:
        return heard._replace(seq=seq)
    if seq > highest:
        gaps = (*heard.gaps, (highest + 1, seq - 1))[-MAX_GAPS:]
        return Heard(seq, heard.missing + seq - highest - 1, gaps)
    left = _fill(heard.gaps, seq)
    if left == heard.gaps:
        return heard
    return Heard(highest, heard.missing - 1, left)


def _fill(gaps: Sequence[tuple[int, int]], seq: int) -> tuple[tuple[int, int], ...]:
    left: list[tuple[int, int]] = []
    for first, last in gaps:
        if first <= seq <= last:
            left += [(a, b) for a, b in ((first, seq - 1), (seq + 1, last)) if a <= b]
        else:
            left.append((first, last))
    return tuple(left)
