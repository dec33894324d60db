"""The result of a criterion: as the API gives it, and as the fold needs it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from testbench.domain.criteria.series import Times, Value

Severity = Literal["required", "warning"]
Ruling = Literal["pass", "fail", "unset", "error"]

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Measure = Annotated[bool, Field(strict=True)] | Finite | Annotated[str, Field(max_length=2000)]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(ts: int) -> datetime:
    """ms since the epoch → aware UTC datetime, exact to the ms."""
    return EPOCH + timedelta(milliseconds=ts)


class FirstViolation(BaseModel):
    """Where to look first: the time and the offending value, None if JSON cannot hold it."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    value: Measure | None = None


class Verdict(BaseModel):
    """What became of one criterion on one device. Times in s, `at` UTC, values in `unit`."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=200)
    kind: str = ""
    metric: str = ""
    unit: str | None = None
    severity: Severity = "required"
    verdict: Ruling
    marginal: bool = False
    measured: Measure | None = None
    limits: dict[str, Measure] = Field(default_factory=dict)
    samples: int = Field(default=0, ge=0)
    violations: int = Field(default=0, ge=0)
    first_violation: FirstViolation | None = None
    longest_violation_s: Finite = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a criterion found in a window, with what the fold over all criteria needs.

    `first`: (ms, value) of the first violation. `failed_at`: ms of the earliest instant at which
    the failure was certain, whatever came later. `pending`: a longer window could still decide
    otherwise. `ignored`: no readings, and the criterion asked to be left out then.
    """

    ruling: Ruling
    message: str
    measured: Value | None = None
    ts: Times = field(default_factory=lambda: np.empty(0, np.int64))
    violations: int = 0
    first: tuple[int, Value | None] | None = None
    longest_ms: int = 0
    marginal: bool = False
    failed_at: int | None = None
    pending: bool = False
    ignored: bool = False
