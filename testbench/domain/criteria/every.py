"""Limits that each single reading must keep: shared by the kinds that judge one by one."""

from abc import ABC

import numpy as np

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import Banded
from testbench.domain.criteria.rows import Rows
from testbench.domain.criteria.series import MS_PER_S, Series, Value, Window
from testbench.domain.criteria.verdicts import Finding


class EveryReading(Banded, ABC, frozen=True):
    """Each reading is within the limits, but for what `tolerance` allows."""

    def tolerance(self) -> tuple[float | None, float | None]:
        """How many may be outside, and for how many s in one row; both None: none at all."""
        return None, None

    def examine(self, samples: Series, window: Window) -> Finding:
        rows = Rows.of(samples.ts, ~self.bounds().inside(samples.values))
        failed_at = rows.failed_at(*self.tolerance())
        worst = self._worst(samples)
        value = None if worst is None else float(samples.values[worst])
        passed = failed_at is None
        return Finding(
            ruling="pass" if passed else "fail",
            message=self._passed(rows, value) if passed else self._failed(samples, rows, window),
            measured=value,
            ts=samples.ts,
            violations=rows.count,
            first=first_of(samples, rows),
            longest_ms=rows.longest_ms,
            marginal=passed
            and value is not None
            and self.bounds().marginal(value, self.marginal_fraction),
            failed_at=failed_at,
        )

    def _worst(self, samples: Series) -> int | None:
        """The index of the number nearest to a limit or farthest beyond one."""
        wrong = samples.not_numbers()
        if wrong.all():
            return None
        values = np.where(wrong, np.nan, samples.values) if wrong.any() else samples.values
        ends = (int(np.nanargmin(values)), int(np.nanargmax(values)))
        return min(ends, key=lambda i: self.bounds().margin(float(samples.values[i])))

    def _passed(self, rows: Rows, value: float | None) -> str:
        text = f"{self.subject()} stayed {self.band()}"
        if rows.count:
            text += f" but for {rows.count} tolerated readings"
        if value is None:
            return text
        return f"{text}, nearest to a limit: {texts.with_unit(texts.digits(value), self.unit)}"

    def _failed(self, samples: Series, rows: Rows, window: Window) -> str:
        worst = self._worst(samples)
        if worst is None or self.bounds().holds(float(samples.values[worst])):
            return self.wrong_type(samples, window) + self._extent(samples, rows, window)
        value, at = float(samples.values[worst]), texts.clock(int(samples.ts[worst]), window)
        verb = "reached" if value > self.bounds().high else "fell to"
        limit = self.bounds().nearest(value)
        figure = texts.with_unit(texts.digits(value, limit), self.unit)
        crossed = self.bounds().crossed(value, self.unit)
        return f"{self.subject()} {verb} {figure} at {at}, {crossed}" + self._extent(
            samples, rows, window
        )

    def _extent(self, samples: Series, rows: Rows, window: Window) -> str:
        if rows.count == 1:
            return ""
        first = texts.clock(int(samples.ts[rows.at[0]]), window)
        longest = texts.seconds(rows.longest_ms / MS_PER_S)
        return (
            f"; {rows.count} of {len(samples)} readings outside, the first at {first}, "
            f"the longest row {longest}"
        )


def first_of(samples: Series, rows: Rows) -> tuple[int, Value | None] | None:
    """(ms, value) of the first violating reading, as it was sent."""
    if not rows.count:
        return None
    index = int(rows.at[0])
    return int(samples.ts[index]), samples.value_at(index)
