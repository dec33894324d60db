"""How steeply a metric changes between one reading and the next."""

from typing import ClassVar, Literal

import numpy as np

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import BaseCriterion
from testbench.domain.criteria.bounds import Bounds
from testbench.domain.criteria.parameters import NotNegative, number
from testbench.domain.criteria.rows import Rows
from testbench.domain.criteria.series import MS_PER_S, Series, Value, Values, Window, finite
from testbench.domain.criteria.verdicts import Finding


class RateOfChange(BaseCriterion, frozen=True):
    """The steepest |slope| between neighbouring readings, in units per s, is at most `max_per_s`.

    A violation stands at the later of its two readings, and its value is the slope there.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ("max_per_s",)

    kind: Literal["rate_of_change"] = "rate_of_change"
    max_per_s: NotNegative

    def sentence(self) -> str:
        return f"{self.metric} changes by at most {self._rate(texts.plain(self.max_per_s))}"

    def examine(self, samples: Series, window: Window) -> Finding:
        bounds = Bounds.of(None, number(self.max_per_s))
        slopes, steepest = slopes_of(samples)
        rows = Rows.of(samples.ts, ~bounds.inside(slopes))
        if rows.count:
            return self._failed(samples, slopes, steepest, rows, window)
        if steepest is None:
            message = f"{self.metric} has one reading, a slope needs two"
            return Finding("unset", message, ts=samples.ts, pending=True)
        return Finding(
            ruling="pass",
            message=f"{self.metric} changed by at most {self._rate(texts.digits(steepest))}",
            measured=steepest,
            ts=samples.ts,
            marginal=bounds.marginal(steepest, self.marginal_fraction),
        )

    def _failed(
        self, samples: Series, slopes: Values, steepest: float | None, rows: Rows, window: Window
    ) -> Finding:
        first = int(rows.at[0])
        value: Value | None = finite(float(slopes[first]))
        message = self._too_steep(samples, slopes, window)
        if np.isnan(slopes[first]):
            value, message = samples.value_at(first), self.wrong_type(samples, window)
        return Finding(
            ruling="fail",
            message=message if rows.count == 1 else f"{message}; {rows.count} violations in all",
            measured=None if steepest is None else finite(steepest),
            ts=samples.ts,
            violations=rows.count,
            first=(int(samples.ts[first]), value),
            longest_ms=rows.longest_ms,
            failed_at=rows.failed_at(None, None),
        )

    def _too_steep(self, samples: Series, slopes: Values, window: Window) -> str:
        index = 0 if np.isnan(slopes).all() else int(np.nanargmax(slopes))
        at = texts.clock(int(samples.ts[index]), window)
        slope = self._rate(texts.digits(float(slopes[index]), number(self.max_per_s)))
        limit = self._rate(texts.plain(self.max_per_s))
        return f"{self.metric} changed by {slope} at {at}, limit {limit}"

    def _rate(self, figure: str) -> str:
        return f"{figure} {self.unit}/s" if self.unit else f"{figure} per s"


def slopes_of(samples: Series) -> tuple[Values, float | None]:
    """|slope| up to each reading (the first: 0; no number: NaN), and the steepest of them."""
    plain = samples.numbers()
    slopes = np.full(len(samples), np.nan)
    with np.errstate(over="ignore"):
        steps = np.abs(np.diff(plain.values)) / (np.diff(plain.ts) / MS_PER_S)
    slopes[~samples.not_numbers()] = np.concatenate(([0.0], steps))[: len(plain)]
    return slopes, float(steps.max()) if len(steps) else None
