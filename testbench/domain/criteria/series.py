"""What is judged: the readings of one metric as arrays, and the window they are taken from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from testbench.domain.errors import Invalid

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Value = float | str | bool

MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in ms since the epoch; both ends belong to it. Invalid if inverted."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise Invalid("The window ends before it starts.", errors=[("end", "before start")])

    @property
    def seconds(self) -> float:
        """Its length in s."""
        return (self.end - self.start) / MS_PER_S


@dataclass(frozen=True, slots=True)
class Series:
    """One metric's readings.

    `ts`: ms since the epoch, strictly ascending. `values`: the same length, NaN where the reading
    is no plain number; `other` then has the string or bool under the reading's index.
    """

    ts: Times
    values: Values
    other: dict[int, str | bool] = field(default_factory=dict[int, str | bool])

    @classmethod
    def empty(cls) -> Self:
        """No readings."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float64))

    @classmethod
    def from_points(cls, points: Iterable[tuple[int, float | str | bool]]) -> Self:
        """Any order; of several readings at one time the last in the list wins."""
        latest = dict(points)
        times = sorted(latest)
        kept = [latest[ts] for ts in times]
        other = {i: v for i, v in enumerate(kept) if isinstance(v, (str, bool))}
        numbers = [np.nan if isinstance(v, (str, bool)) else float(v) for v in kept]
        return cls(np.array(times, np.int64), np.array(numbers, np.float64), other)

    def __len__(self) -> int:
        return len(self.ts)

    def within(self, window: Window) -> "Series":
        """The readings of `window`, both ends included: views, nothing is copied."""
        first = int(np.searchsorted(self.ts, window.start, side="left"))
        stop = int(np.searchsorted(self.ts, window.end, side="right"))
        if first == 0 and stop == len(self):
            return self
        other = {i - first: v for i, v in self.other.items() if first <= i < stop}
        return Series(self.ts[first:stop], self.values[first:stop], other)

    def value_at(self, index: int) -> Value | None:
        """The reading as it was sent; None for a number that JSON has no word for."""
        if index in self.other:
            return self.other[index]
        return finite(float(self.values[index]))

    def numbers(self) -> "Series":
        """Only the readings that are finite numbers."""
        plain = np.isfinite(self.values)
        return self if plain.all() else Series(self.ts[plain], self.values[plain])

    def not_numbers(self) -> Mask:
        """True where a reading is no finite number, and so can satisfy no limit."""
        return ~np.isfinite(self.values)


def whole_ms(seconds: float) -> int:
    """The most whole ms that are not longer than `seconds`, as seconds compare: 4.1 → 4100."""
    ms = int(seconds * MS_PER_S) + 1
    while ms / MS_PER_S > seconds:
        ms -= 1
    return ms


def finite(value: float) -> float | None:
    """JSON has no NaN and no Infinity: None instead."""
    return value if np.isfinite(value) else None
