"""Every reading within limits, with as many and as long exceptions as are tolerated."""

from typing import ClassVar, Literal

from testbench.domain.criteria import texts
from testbench.domain.criteria.every import EveryReading
from testbench.domain.criteria.parameters import Count, NotNegative, number


class Range(EveryReading, frozen=True):
    """Fails at the first reading outside, or once more than `max_violations` readings are, or one
    unbroken row of them lasts longer than `max_violation_s`; with both given, both must hold."""

    PARAMETERS: ClassVar[tuple[str, ...]] = ("low", "high", "max_violations", "max_violation_s")

    kind: Literal["range"] = "range"
    max_violations: Count | None = None
    max_violation_s: NotNegative | None = None

    def sentence(self) -> str:
        text = f"{self.metric} stays {self.band()}"
        if self.max_violations is not None:
            text += f", with at most {texts.plain(self.max_violations)} readings outside"
        if self.max_violation_s is not None:
            text += f", never outside for longer than {texts.plain(self.max_violation_s)} s"
        return text

    def tolerance(self) -> tuple[float | None, float | None]:
        return number(self.max_violations), number(self.max_violation_s)
