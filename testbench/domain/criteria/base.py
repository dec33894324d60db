"""What all criteria share: their fields, their variables, and the one verb `judge`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator

from testbench.domain.criteria import texts
from testbench.domain.criteria.bounds import Bounds
from testbench.domain.criteria.parameters import (
    Fraction,
    Limit,
    MetricName,
    Name,
    Unit,
    number,
    variable_of,
)
from testbench.domain.criteria.paths import field_errors
from testbench.domain.criteria.series import MS_PER_S, Series, Window
from testbench.domain.criteria.verdicts import (
    Finding,
    FirstViolation,
    Measure,
    Ruling,
    Severity,
    Verdict,
    moment,
)
from testbench.domain.errors import Invalid

OnMissing = Literal["error", "fail", "ignore"]
Variables = Mapping[str, float | str]
SeriesByMetric = Mapping[str, Series]

RULING_ON_MISSING: dict[OnMissing, Ruling] = {"error": "error", "fail": "fail", "ignore": "unset"}


class BaseCriterion(BaseModel, ABC, extra="forbid", frozen=True):
    """One thing that must hold for one metric of a device, over one window."""

    PARAMETERS: ClassVar[tuple[str, ...]]
    """The fields that limit something: shown in the verdict, and open to variables."""

    kind: str
    name: Name
    metric: MetricName
    unit: Unit | None = None
    severity: Severity = "required"
    on_missing: OnMissing = "error"
    marginal_fraction: Fraction | None = None

    @abstractmethod
    def sentence(self) -> str:
        """What it demands, as a person would say it."""

    @abstractmethod
    def examine(self, samples: Series, window: Window) -> Finding:
        """Judges the readings of `window`; there is at least one."""

    def metrics(self) -> set[str]:
        """The metrics whose series `judge` asks for."""
        return {self.metric}

    def samples(self, series: SeriesByMetric, window: Window) -> Series:
        """The readings that are judged."""
        return series.get(self.metric, Series.empty()).within(window)

    def find(self, series: SeriesByMetric, window: Window) -> Finding:
        """Judges `window`; without readings, `on_missing` decides, for every kind alike."""
        samples = self.samples(series, window)
        return self.examine(samples, window) if len(samples) else self._missing(window)

    def judge(self, series: SeriesByMetric, window: Window) -> Verdict:
        """The verdict over `window` alone. ValueError while a variable is unresolved."""
        return self.verdict(self.find(series, window))

    def verdict(self, finding: Finding) -> Verdict:
        """A finding as the API gives it."""
        first = finding.first
        return Verdict(
            name=self.name,
            kind=self.kind,
            metric=self.metric,
            unit=self.unit,
            severity=self.severity,
            verdict=finding.ruling,
            marginal=finding.marginal,
            measured=finding.measured,
            limits=self.limits(),
            samples=len(finding.ts),
            violations=finding.violations,
            first_violation=first and FirstViolation(at=moment(first[0]), value=first[1]),
            longest_violation_s=finding.longest_ms / MS_PER_S,
            message=finding.message,
        )

    def limits(self) -> dict[str, Measure]:
        """The parameters that are set, by name."""
        values = {name: getattr(self, name) for name in self.PARAMETERS}
        return {name: value for name, value in values.items() if value is not None}

    def variables(self) -> set[str]:
        """The names of the environment's variables that it needs."""
        return set(self._placeholders().values())

    def resolve(self, variables: Variables, at: str = "criteria") -> Self:
        """Every variable replaced by its value; `at` is where the criterion stands in its document.

        Invalid, with a path for each field: unknown variable, text where a number is needed,
        limits inverted or out of range now.
        """
        found: dict[str, float | str] = {}
        errors: list[tuple[str, str]] = []
        for field, name in self._placeholders().items():
            if name not in variables:
                errors.append((f"{at}.{field}", f"the environment has no variable {name}"))
            elif self._refuses(field, variables[name]):
                errors.append((f"{at}.{field}", f"the variable {name} is not a number"))
            else:
                found[field] = variables[name]
        if errors:
            raise Invalid("The environment does not fit the criterion.", errors)
        return self._with(found, at) if found else self

    def _refuses(self, field: str, value: float | str) -> bool:
        return isinstance(value, (str, bool))

    def _with(self, found: dict[str, float | str], at: str) -> Self:
        try:
            return type(self).model_validate({**self.model_dump(), **found})
        except ValidationError as error:
            errors = [(f"{at}.{path}", message) for path, message in field_errors(error.errors())]
            raise Invalid("The environment does not fit the criterion.", errors) from error

    def _placeholders(self) -> dict[str, str]:
        named = {field: variable_of(getattr(self, field)) for field in self.PARAMETERS}
        return {field: name for field, name in named.items() if name}

    def _missing(self, window: Window) -> Finding:
        start, end = texts.clock(window.start, window), texts.clock(window.end, window)
        ignored = self.on_missing == "ignore"
        return Finding(
            ruling=RULING_ON_MISSING[self.on_missing],
            message=f"no readings of {self.subject()} from {start} to {end}"
            + (", left out" if ignored else ""),
            pending=True,
            ignored=ignored,
        )

    def subject(self) -> str:
        """What the readings are of, in a sentence."""
        return self.metric

    def wrong_type(self, samples: Series, window: Window) -> str:
        """The message for the first reading that is no number."""
        index = int(samples.not_numbers().argmax())
        at, value = texts.clock(int(samples.ts[index]), window), samples.value_at(index)
        return f"{self.subject()} was {texts.quoted(value)} at {at}, a number was expected"


class Banded(BaseCriterion, ABC, frozen=True):
    """A criterion with a lower and an upper limit, at least one of them given."""

    low: Limit | None = None
    high: Limit | None = Field(default=None, validate_default=True)

    @field_validator("high", mode="after")
    @classmethod
    def _limits_fit(cls, high: float | str | None, info: ValidationInfo) -> float | str | None:
        if "low" not in info.data:
            return high  # it has an error of its own
        low: float | str | None = info.data["low"]
        if low is None and high is None:
            raise ValueError("low or high must be given")
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ValueError("must not be below low")
        return high

    def bounds(self) -> Bounds:
        """The limits as numbers; ValueError while one is an unresolved variable."""
        return Bounds.of(number(self.low), number(self.high))

    def band(self) -> str:
        """The limits in words."""
        return texts.band(self.low, self.high, self.unit)
