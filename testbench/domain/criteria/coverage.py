"""Whether there is enough data at all to judge by."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import BaseCriterion
from testbench.domain.criteria.bounds import Bounds
from testbench.domain.criteria.parameters import SampleCount, Span, number
from testbench.domain.criteria.series import MS_PER_S, Series, Times, Window, whole_ms
from testbench.domain.criteria.verdicts import Finding


class Coverage(BaseCriterion, frozen=True):
    """Enough readings, of any type, and no silence too long; from the window's start to the first
    and from the last to the window's end count as silence too.

    Without a single reading `on_missing` decides, as for every kind: whoever wants a silent device
    to fail rather than to read `error` says so there.
    """

    PARAMETERS: ClassVar[tuple[str, ...]] = ("min_samples", "max_gap_s")

    kind: Literal["coverage"] = "coverage"
    min_samples: SampleCount | None = None
    max_gap_s: Span | None = Field(default=None, validate_default=True)

    @field_validator("max_gap_s", mode="after")
    @classmethod
    def _demands_something(
        cls, max_gap_s: float | str | None, info: ValidationInfo
    ) -> float | str | None:
        if max_gap_s is None and "min_samples" in info.data and info.data["min_samples"] is None:
            raise ValueError("min_samples or max_gap_s must be given")
        return max_gap_s

    def sentence(self) -> str:
        parts: list[str] = []
        if self.min_samples is not None:
            parts.append(f"at least {texts.plain(self.min_samples)} readings")
        if self.max_gap_s is not None:
            parts.append(f"no gap longer than {texts.plain(self.max_gap_s)} s")
        return f"{self.metric} has " + " and ".join(parts)

    def examine(self, samples: Series, window: Window) -> Finding:
        edges = np.concatenate(([window.start], samples.ts, [window.end]))
        gaps = np.diff(edges) / MS_PER_S
        longest = float(gaps.max())
        limit = number(self.max_gap_s)
        too_long = np.flatnonzero(gaps > limit) if limit is not None else np.empty(0, np.intp)
        few = len(samples) < (number(self.min_samples) or 0)
        passed = not few and not len(too_long)
        first = int(too_long[0]) if len(too_long) else None
        return Finding(
            ruling="pass" if passed else "fail",
            message=self._message(samples, longest, edges, first, window),
            measured=longest if limit is not None else float(len(samples)),
            ts=samples.ts,
            violations=len(too_long) + few,
            first=None if first is None else (int(edges[first]), float(gaps[first])),
            longest_ms=round(longest * MS_PER_S) if first is not None else 0,
            marginal=passed and self._marginal(len(samples), longest),
            failed_at=self._certain(samples, edges, first),
            pending=few and first is None,
        )

    def _certain(self, samples: Series, edges: Times, first: int | None) -> int | None:
        """One ms after the longest silence allowed, but not before there is any reading."""
        if first is None:
            return None
        allowed = whole_ms(number(self.max_gap_s) or 0.0)
        return max(int(edges[first]) + allowed + 1, int(samples.ts[0]))

    def _marginal(self, count: int, longest: float) -> bool:
        least, limit = number(self.min_samples), number(self.max_gap_s)
        fraction = self.marginal_fraction
        return (least is not None and Bounds.of(least, None).marginal(count, fraction)) or (
            limit is not None and Bounds.of(None, limit).marginal(longest, fraction)
        )

    def _message(
        self, samples: Series, longest: float, edges: Times, first: int | None, window: Window
    ) -> str:
        parts: list[str] = []
        if len(samples) < (number(self.min_samples) or 0):
            least = texts.plain(number(self.min_samples) or 0.0)
            parts.append(f"{len(samples)} readings of {self.metric}, at least {least} expected")
        if first is not None:
            since = texts.clock(int(edges[first]), window)
            gap = texts.seconds(int(edges[first + 1] - edges[first]) / MS_PER_S)
            limit = texts.seconds(number(self.max_gap_s) or 0.0)
            parts.append(f"no readings of {self.metric} for {gap} from {since}, limit {limit}")
        passed = f"{len(samples)} readings of {self.metric}, longest gap {texts.seconds(longest)}"
        return "; ".join(parts) or passed
