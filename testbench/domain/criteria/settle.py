"""A metric that must reach its band in time, and stay there."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import Banded
from testbench.domain.criteria.bounds import Bounds
from testbench.domain.criteria.every import first_of
from testbench.domain.criteria.parameters import Span, number
from testbench.domain.criteria.rows import Rows
from testbench.domain.criteria.series import MS_PER_S, Mask, Series, Window, whole_ms
from testbench.domain.criteria.verdicts import Finding


class Settle(Banded, frozen=True):
    """Within `within_s` of the window's start a reading is inside, and so are all that follow it
    for `hold_s`, by default to the window's end. Before that, readings outside are no violation.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ("low", "high", "within_s", "hold_s")

    kind: Literal["settle"] = "settle"
    within_s: Span
    hold_s: Span | None = None

    def sentence(self) -> str:
        stay = "stays" if self.hold_s is None else f"stays for {texts.plain(self.hold_s)} s"
        return f"{self.metric} settles {self.band()} in {texts.plain(self.within_s)} s and {stay}"

    def examine(self, samples: Series, window: Window) -> Finding:
        within = number(self.within_s) or 0.0
        inside = self.bounds().inside(samples.values)
        settled = _Entries.of(samples, inside).first_held(number(self.hold_s), window)
        after = None if settled is None else (int(samples.ts[settled]) - window.start) / MS_PER_S
        if after is None or after > within:
            return self._failed(samples, inside, after, window)
        return Finding(
            ruling="pass",
            message=f"{self.metric} settled {self.band()} after {texts.seconds(after)}",
            measured=after,
            ts=samples.ts,
            marginal=Bounds.of(None, within).marginal(after, self.marginal_fraction),
        )

    def _failed(
        self, samples: Series, inside: Mask, after: float | None, window: Window
    ) -> Finding:
        deadline = window.start + whole_ms(number(self.within_s) or 0.0)
        by_then = int(np.searchsorted(samples.ts, deadline, side="right"))
        judged = samples.within(Window(int(samples.ts[max(by_then - 1, 0)]), window.end))
        rows = Rows.of(judged.ts, ~inside[max(by_then - 1, 0) :])
        failed_at = self._certain(rows, by_then, deadline, window)
        return Finding(
            ruling="fail",
            message=self._message(judged, rows, after, window),
            measured=after,
            ts=samples.ts,
            violations=rows.count,
            first=first_of(judged, rows),
            longest_ms=rows.longest_ms,
            failed_at=failed_at,
            pending=failed_at is None,
        )

    def _certain(self, rows: Rows, by_then: int, deadline: int, window: Window) -> int | None:
        """When it was lost: at the deadline if it was outside then (or with the first reading, if
        that came later), else with the first reading outside after it."""
        if by_then == 0:
            return int(rows.ts[0])
        if rows.count and rows.at[0] > 0:
            return int(rows.ts[rows.at[0]])
        return deadline if rows.count and deadline <= window.end else None

    def _message(self, judged: Series, rows: Rows, after: float | None, window: Window) -> str:
        limit = texts.plain(self.within_s)
        if after is not None:
            return (
                f"{self.metric} settled {self.band()} only after {texts.seconds(after)}, "
                f"limit {limit} s"
            )
        if not rows.count or self.hold_s is not None:
            stay = "" if self.hold_s is None else f" and stay for {texts.plain(self.hold_s)} s"
            return f"{self.metric} did not settle {self.band()} in {limit} s{stay}"
        last = int(rows.at[-1])
        value, at = texts.quoted(judged.value_at(last)), texts.clock(int(judged.ts[last]), window)
        figure = texts.with_unit(value, self.unit)
        return f"{self.metric} did not settle {self.band()} in {limit} s: {figure} at {at}"


@dataclass(frozen=True, slots=True)
class _Entries:
    """The indices at which the metric enters its band and leaves it again (or the length)."""

    ts: npt.NDArray[np.int64]
    enter: npt.NDArray[np.intp]
    leave: npt.NDArray[np.intp]

    @classmethod
    def of(cls, samples: Series, inside: Mask) -> "_Entries":
        edges = np.diff(inside.astype(np.int8), prepend=0, append=0)
        return cls(samples.ts, np.flatnonzero(edges == 1), np.flatnonzero(edges == -1))

    def first_held(self, hold_s: float | None, window: Window) -> int | None:
        """The index of the first entry that lasted; a reading at its very last ms counts."""
        to_the_end = self.leave == len(self.ts)
        left_at = np.append(self.ts, window.end)[self.leave]
        stayed = (left_at - self.ts[self.enter]) / MS_PER_S
        held = to_the_end if hold_s is None else _long_enough(stayed, to_the_end, hold_s)
        return int(self.enter[held][0]) if held.any() else None


def _long_enough(stayed: npt.NDArray[np.float64], to_the_end: Mask, hold_s: float) -> Mask:
    return np.where(to_the_end, stayed >= hold_s, stayed > hold_s)
