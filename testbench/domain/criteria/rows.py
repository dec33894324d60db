"""Rows of violations: how many, the first, the longest unbroken one, and when each got too much."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from testbench.domain.criteria.series import MS_PER_S, Mask, Times


@dataclass(frozen=True, slots=True)
class Rows:
    """The violating readings of a series: their indices, and since when (ms) each is in its row."""

    ts: Times
    at: npt.NDArray[np.intp]
    dwell: Times

    @classmethod
    def of(cls, ts: Times, violating: Mask) -> "Rows":
        """A row is unbroken while no reading between is a good one; it lasts from its first
        reading to its last, so that a single reading lasts 0 ms."""
        at = np.flatnonzero(violating)
        opens = np.diff(at, prepend=-2) > 1
        row = np.cumsum(opens) - 1
        return cls(ts, at, ts[at] - ts[at[opens]][row])

    @property
    def count(self) -> int:
        """How many readings violate."""
        return len(self.at)

    @property
    def longest_ms(self) -> int:
        """The longest row, first to last reading, in ms; 0 if there is none."""
        return int(self.dwell.max()) if self.count else 0

    def failed_at(self, max_count: float | None, max_dwell_s: float | None) -> int | None:
        """ms at which more violate than `max_count`, or one row lasts longer than `max_dwell_s`.

        Neither given: at the first. None: not at all.
        """
        if max_count is None and max_dwell_s is None:
            max_count = 0
        instants: list[int] = []
        if max_count is not None and self.count > max_count:
            instants.append(int(self.ts[self.at[int(max_count)]]))
        if max_dwell_s is not None:
            too_long = np.flatnonzero(self.dwell / MS_PER_S > max_dwell_s)
            instants += [int(self.ts[self.at[i]]) for i in too_long[:1]]
        return min(instants, default=None)
