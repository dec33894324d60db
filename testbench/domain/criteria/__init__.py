"""What a test case demands: eight kinds of criteria, each one class in one file.

A new kind is its class and its line in `Criterion`: the API, the database, the form and the fold
take it from there.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from testbench.domain.criteria.aggregate import Aggregate
from testbench.domain.criteria.base import BaseCriterion, SeriesByMetric, Variables
from testbench.domain.criteria.coverage import Coverage
from testbench.domain.criteria.equals import Equals
from testbench.domain.criteria.increase import Increase
from testbench.domain.criteria.parameters import MetricName, Name, Unit
from testbench.domain.criteria.paths import field_errors, field_path
from testbench.domain.criteria.range import Range
from testbench.domain.criteria.rate_of_change import RateOfChange
from testbench.domain.criteria.ratio import Ratio
from testbench.domain.criteria.series import Series, Window
from testbench.domain.criteria.settle import Settle
from testbench.domain.criteria.verdicts import Finding, FirstViolation, Verdict
from testbench.domain.errors import Invalid

Criterion = Annotated[
    Range
    | Aggregate
    | Increase
    | RateOfChange
    | Settle
    | Coverage
    | Equals
    | Ratio,
    Field(discriminator="kind"),
]  # fmt: skip  # one line for each kind


def resolve_all(criteria: Sequence[Criterion], variables: Variables) -> list[Criterion]:
    """Every criterion with its variables replaced; Invalid names all fields that do not fit."""
    resolved: list[Criterion] = []
    errors: list[tuple[str, str]] = []
    for index, criterion in enumerate(criteria):
        try:
            resolved.append(criterion.resolve(variables, f"criteria.{index}"))
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid("The environment does not fit the test case.", errors)
    return resolved


__all__ = [
    "Aggregate",
    "BaseCriterion",
    "Coverage",
    "Criterion",
    "Equals",
    "Finding",
    "FirstViolation",
    "Increase",
    "MetricName",
    "Name",
    "Range",
    "RateOfChange",
    "Ratio",
    "Series",
    "SeriesByMetric",
    "Settle",
    "Unit",
    "Variables",
    "Verdict",
    "Window",
    "field_errors",
    "field_path",
    "resolve_all",
]
