"""One statistic of all readings, within limits."""

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np

from testbench.domain.criteria.figure import OneFigure
from testbench.domain.criteria.series import Mask, Series, Values, Window

Statistic = Literal[
    "mean",
    "min",
    "max",
    "median",
    "p05",
    "p95",
    "p99",
    "stddev",
    "first",
    "last",
    "sum",
    "count",
    "time_weighted_mean",
]
RISING = ("max", "sum", "count")
FALLING = ("min",)


class Aggregate(OneFigure, frozen=True):
    """A statistic of the window's readings. `count` counts readings of any type; in all others a
    reading that is no number violates."""

    PARAMETERS: ClassVar[tuple[str, ...]] = ("low", "high")

    kind: Literal["aggregate"] = "aggregate"
    statistic: Statistic

    def sentence(self) -> str:
        return f"{self.title()} is {self.band()}"

    def title(self) -> str:
        return f"{self.statistic.replace('_', ' ')} of {self.metric}"

    def usable(self, samples: Series) -> Series:
        return samples if self.statistic == "count" else samples.numbers()

    def figure(self, samples: Series, window: Window) -> float | None:
        if self.statistic == "time_weighted_mean":
            return _time_weighted_mean(samples, window) if len(samples) else None
        needed = 2 if self.statistic == "stddev" else 1
        return float(STATISTICS[self.statistic](samples.values)) if len(samples) >= needed else None

    def crossing(self, samples: Series) -> int | None:
        if not len(samples):
            return None
        beyond = self._beyond(samples.values)
        return int(beyond.argmax()) if beyond.any() else None

    def _beyond(self, values: Values) -> Mask:
        bounds = self.bounds()
        if self.statistic == "max":
            return values > bounds.high
        if self.statistic == "min":
            return values < bounds.low
        if self.statistic == "count":
            return np.arange(1, len(values) + 1) > bounds.high
        if self.statistic == "first":
            return ~bounds.inside(values[:1])
        return np.zeros(1, np.bool_)

    def still_open(self, value: float) -> bool:
        if self.statistic in RISING:
            return value < self.bounds().low
        return self.statistic in FALLING and value > self.bounds().high


def _sum(values: Values) -> float:
    """Correctly rounded (Shewchuk), so that neither order nor machine shows in a verdict."""
    try:
        return math.fsum(np.ascontiguousarray(values).data)
    except (OverflowError, ValueError):  # a part of the sum is beyond a double
        with np.errstate(over="ignore", invalid="ignore"):
            return float(values.sum())


def _between(value: float, values: Values) -> float:
    """No mean lies outside its values: rounding must not push a constant over a limit."""
    return min(max(value, float(values.min())), float(values.max()))


def _mean(values: Values) -> float:
    return _between(_sum(values) / len(values), values)


def _stddev(values: Values) -> float:
    """Of the sample, n − 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(_sum((values - _mean(values)) ** 2) / (len(values) - 1))


def _time_weighted_mean(samples: Series, window: Window) -> float:
    """Each value weighs as long as it held: until the next, the last until the window's end."""
    held = np.diff(samples.ts, append=window.end).astype(np.float64)
    total = float(held.sum())
    if not total:  # one reading, at the very end: it held for no time, but nothing else did
        return float(samples.values[-1])
    with np.errstate(over="ignore"):
        return _between(_sum(samples.values * held) / total, samples.values)


def _percentile(percent: int) -> Callable[[Values], float]:
    return lambda values: float(np.percentile(values, percent))


STATISTICS: dict[str, Callable[[Values], float]] = {
    "mean": _mean,
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "median": _percentile(50),
    "p05": _percentile(5),
    "p95": _percentile(95),
    "p99": _percentile(99),
    "stddev": _stddev,
    "first": lambda values: float(values[0]),
    "last": lambda values: float(values[-1]),
    "sum": _sum,
    "count": lambda values: float(len(values)),
}
