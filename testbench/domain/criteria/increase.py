"""How far a counter rose, across restarts of the device."""

from typing import ClassVar, Literal

import numpy as np

from testbench.domain.criteria.figure import OneFigure
from testbench.domain.criteria.series import Series, Values, Window


class Increase(OneFigure, frozen=True):
    """The rise of a counter within limits.

    As Prometheus's `increase()` adds it up: last − first, plus the value before each drop (a
    reset), but never extrapolated to the window's ends. It takes two readings.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ("low", "high")

    kind: Literal["increase"] = "increase"

    def sentence(self) -> str:
        return f"{self.metric} rises by {self.band()}"

    def title(self) -> str:
        return f"the rise of {self.metric}"

    def figure(self, samples: Series, window: Window) -> float | None:
        return float(rise(samples.values)[-1]) if len(samples) > 1 else None

    def crossing(self, samples: Series) -> int | None:
        beyond = rise(samples.values)[1:] > self.bounds().high
        return int(beyond.argmax()) + 1 if beyond.any() else None

    def still_open(self, value: float) -> bool:
        return value < self.bounds().low


def rise(values: Values) -> Values:
    """The rise from the first reading up to each one."""
    if not len(values):
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        drops = np.where(values[1:] < values[:-1], values[:-1], 0.0)
        return np.concatenate(([0.0], values[1:] - values[0] + np.cumsum(drops)))
