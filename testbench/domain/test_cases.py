"""A test case's document: how long, with what around it, judged by which criteria."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, field_validator

from testbench.domain.criteria import Criterion, Variables, Window, resolve_all
from testbench.domain.criteria.parameters import MAX_SECONDS, Tag
from testbench.domain.criteria.series import MS_PER_S

MARGIN_S = 60  # what a run may take above its own parts before it counts as timed out


def _whole_ms(value: float) -> float:
    """Windows are whole ms; what is shorter than one would be no window."""
    return round(value * MS_PER_S) / MS_PER_S


Seconds = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_SECONDS, allow_inf_nan=False),
    AfterValidator(_whole_ms),
]
Duration = Annotated[
    float,
    Field(strict=True, ge=1 / MS_PER_S, le=MAX_SECONDS, allow_inf_nan=False),
    AfterValidator(_whole_ms),
]
Text = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


class ApplyPreset(BaseModel, extra="forbid", frozen=True):
    """The device takes a preset's settings, and reports them, within `timeout_s`."""

    kind: Literal["apply_preset"] = "apply_preset"
    preset_id: uuid.UUID
    timeout_s: Duration = 60.0


class Restart(BaseModel, extra="forbid", frozen=True):
    """The device takes the order to restart within `timeout_s`."""

    kind: Literal["restart"] = "restart"
    timeout_s: Duration = 60.0


class WaitOnline(BaseModel, extra="forbid", frozen=True):
    """The device is online within `timeout_s`; after a change or a restart: heard of anew."""

    kind: Literal["wait_online"] = "wait_online"
    timeout_s: Duration = 60.0


SetupStep = Annotated[ApplyPreset | Restart | WaitOnline, Field(discriminator="kind")]


class TestCaseSpec(BaseModel, frozen=True):
    """What a revision of a test case holds; durations in s, kept to the ms."""

    __test__ = False  # its name is the domain's, pytest must not collect it

    description: Text = ""
    duration_s: Duration
    warmup_s: Seconds = 0.0
    grace_s: Seconds = 5.0
    stop_on_fail: Annotated[bool, Field(strict=True)] = False
    sample_interval_s: Duration | None = None
    timeout_s: Duration | None = None
    required_tags: list[Tag] = Field(default_factory=list[Tag], max_length=100)
    setup: list[SetupStep] = Field(default_factory=list[SetupStep], max_length=100)
    teardown: Literal["restore"] | None = None
    criteria: list[Criterion] = Field(max_length=200)

    @field_validator("criteria", mode="after")
    @classmethod
    def _judges_something(cls, criteria: list[Criterion]) -> list[Criterion]:
        if not any(criterion.severity == "required" for criterion in criteria):
            raise ValueError("at least one criterion must be required")
        repeated = _repeated([criterion.name for criterion in criteria])
        if repeated:
            raise ValueError(f"names must be unique, these are not: {', '.join(repeated)}")
        return criteria

    def variables(self) -> set[str]:
        """The names of the environment's variables that the criteria need."""
        return set[str]().union(*(criterion.variables() for criterion in self.criteria))

    def configures(self) -> bool:
        """Whether its setup speaks to the devices themselves."""
        return any(not isinstance(step, WaitOnline) for step in self.setup)

    def preset_ids(self) -> set[uuid.UUID]:
        """The presets that its setup applies."""
        return {step.preset_id for step in self.setup if isinstance(step, ApplyPreset)}

    def resolve(self, variables: Variables) -> Self:
        """With every variable replaced; Invalid with the path of each field that does not fit."""
        return self.model_copy(update={"criteria": resolve_all(self.criteria, variables)})

    def timeout_total_s(self) -> float:
        """Seconds after which a run of it has timed out."""
        if self.timeout_s is not None:
            return self.timeout_s
        setup = sum(step.timeout_s for step in self.setup)
        return setup + self.warmup_s + self.duration_s + self.grace_s + MARGIN_S

    def window(self, start_ms: int) -> Window:
        """The judged window, from `start_ms` (ms since the epoch, after the warm-up)."""
        return Window(start_ms, start_ms + round(self.duration_s * MS_PER_S))


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
