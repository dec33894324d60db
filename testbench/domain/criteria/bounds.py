"""A lower and an upper limit, both inclusive: what most kinds compare with."""

import sys
from dataclasses import dataclass
from typing import Self

from testbench.domain.criteria import texts
from testbench.domain.criteria.series import Mask, Values

UNLIMITED = sys.float_info.max  # every finite number is within it, NaN and Infinity are not


@dataclass(frozen=True, slots=True)
class Bounds:
    """The allowed band; a side that is not limited is at ±UNLIMITED."""

    low: float
    high: float

    @classmethod
    def of(cls, low: float | None, high: float | None) -> Self:
        """None: not limited on that side."""
        return cls(-UNLIMITED if low is None else low, UNLIMITED if high is None else high)

    def inside(self, values: Values) -> Mask:
        """True where a value is allowed."""
        return (values >= self.low) & (values <= self.high)

    def holds(self, value: float) -> bool:
        """`inside` for one value."""
        return self.low <= value <= self.high

    def margin(self, value: float) -> float:
        """How far `value` is from the nearer limit, negative outside the band."""
        return min(value - self.low, self.high - value)

    def nearest(self, value: float) -> float:
        """The limit that `value` is nearer to, or farther beyond."""
        return self.low if value - self.low < self.high - value else self.high

    def marginal(self, value: float, fraction: float | None) -> bool:
        """Nearer than `fraction` × (high − low), one-sided × |limit|; never without a fraction."""
        if fraction is None:
            return False
        if self.low == -UNLIMITED or self.high == UNLIMITED:
            return self.margin(value) < fraction * abs(self.nearest(value))
        return self.margin(value) < fraction * (self.high - self.low)

    def crossed(self, value: float, unit: str | None) -> str:
        """The limit in words, as the end of a message: "limit 30 °C"."""
        return f"limit {texts.with_unit(texts.plain(self.nearest(value)), unit)}"
