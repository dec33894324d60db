"""One metric divided by another: efficiency, utilisation, yield."""

from typing import ClassVar, Literal

import numpy as np

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import SeriesByMetric
from testbench.domain.criteria.every import EveryReading
from testbench.domain.criteria.parameters import MetricName
from testbench.domain.criteria.series import Series, Times, Window


class Ratio(EveryReading, frozen=True):
    """`metric` ÷ `other_metric` wherever both have a reading at the same time.

    A zero denominator violates, and so does a value of the wrong type on either side; without a
    common time there is nothing to judge, and `on_missing` decides.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ("low", "high")

    kind: Literal["ratio"] = "ratio"
    other_metric: MetricName

    def sentence(self) -> str:
        return f"{self.subject()} stays {self.band()}"

    def subject(self) -> str:
        return f"{self.metric} ÷ {self.other_metric}"

    def metrics(self) -> set[str]:
        return {self.metric, self.other_metric}

    def samples(self, series: SeriesByMetric, window: Window) -> Series:
        above = super().samples(series, window)
        below = series.get(self.other_metric, Series.empty()).within(window)
        i, j = _common(above.ts, below.ts)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            quotients = above.values[i] / below.values[j]
        return Series(above.ts[i], np.where(np.isfinite(quotients), quotients, np.nan))

    def wrong_type(self, samples: Series, window: Window) -> str:
        at = texts.clock(int(samples.ts[int(samples.not_numbers().argmax())]), window)
        return (
            f"{self.subject()} has no value at {at}: {self.other_metric} is 0, or one is no number"
        )


def _common(a: Times, b: Times) -> tuple[slice, slice] | tuple[np.ndarray, np.ndarray]:
    """Where both have the same time: indices into `a` and into `b`."""
    if np.array_equal(a, b):
        return slice(None), slice(None)
    if not len(b):
        return slice(0), slice(0)
    found = np.searchsorted(b, a)
    found[found == len(b)] = 0
    same = b[found] == a
    return np.flatnonzero(same), found[same]
