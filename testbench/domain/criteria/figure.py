"""One figure made of all readings, within limits: shared by statistics and counters."""

from abc import ABC, abstractmethod

import numpy as np

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import Banded
from testbench.domain.criteria.series import Series, Value, Window, finite
from testbench.domain.criteria.verdicts import Finding


class OneFigure(Banded, ABC, frozen=True):
    """A figure within limits; readings that are no numbers violate, whatever the figure is."""

    @abstractmethod
    def title(self) -> str:
        """The figure's name in a sentence: "mean of temp"."""

    @abstractmethod
    def figure(self, samples: Series, window: Window) -> float | None:
        """The figure of these numbers; None if they are too few for it."""

    @abstractmethod
    def crossing(self, samples: Series) -> int | None:
        """The index of the reading after which the figure can no longer come back inside."""

    @abstractmethod
    def still_open(self, value: float) -> bool:
        """Whether more readings alone may bring `value` inside: a count below its lower limit."""

    def usable(self, samples: Series) -> Series:
        """The readings that can enter the figure."""
        return samples.numbers()

    def examine(self, samples: Series, window: Window) -> Finding:
        usable = self.usable(samples)
        value = self.figure(usable, window)
        wrong = len(samples) - len(usable)
        if value is None and not wrong:
            message = f"{self.title()} needs more than {_readings(len(samples))}"
            return Finding("unset", message, ts=samples.ts, pending=True)
        outside = value is not None and not self.bounds().holds(value)
        if value is None or wrong or outside:
            return self._failed(samples, value, outside, window)
        return Finding(
            ruling="pass",
            message=f"{self.title()} was {self._amount(value)}",
            measured=value,
            ts=samples.ts,
            marginal=self.bounds().marginal(value, self.marginal_fraction),
        )

    def _failed(
        self, samples: Series, value: float | None, outside: bool, window: Window
    ) -> Finding:
        wrong = len(samples) - len(self.usable(samples))
        first = self._first(samples)
        return Finding(
            ruling="fail",
            message=self._crossed(value, first, window)
            if outside and value is not None
            else self.wrong_type(samples, window),
            measured=None if value is None else finite(value),
            ts=samples.ts,
            violations=wrong + outside,
            first=first,
            failed_at=first[0] if first else None,
            pending=not wrong and value is not None and self.still_open(value),
        )

    def _first(self, samples: Series) -> tuple[int, Value | None] | None:
        """(ms, value) of the reading that made the failure certain."""
        usable = self.usable(samples)
        crossing = self.crossing(usable)
        found: list[tuple[int, Value | None]] = []
        if crossing is not None:
            found.append((int(usable.ts[crossing]), usable.value_at(crossing)))
        if len(usable) < len(samples):
            index = int(samples.not_numbers().argmax())
            found.append((int(samples.ts[index]), samples.value_at(index)))
        return min(found, key=lambda at_value: at_value[0], default=None)

    def _crossed(self, value: float, first: tuple[int, Value | None] | None, window: Window) -> str:
        if not np.isfinite(value):
            return f"{self.title()} is beyond what a number can hold"
        text = (
            f"{self.title()} was {self._amount(value)}, {self.bounds().crossed(value, self.unit)}"
        )
        return f"{text}, first crossed at {texts.clock(first[0], window)}" if first else text

    def _amount(self, value: float) -> str:
        return texts.with_unit(texts.digits(value, self.bounds().nearest(value)), self.unit)


def _readings(count: int) -> str:
    return "one reading" if count == 1 else f"{count} readings"
