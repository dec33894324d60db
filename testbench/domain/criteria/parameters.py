"""The types of a criterion's parameters: what a form draws, the API checks and JSONB stores."""

import math
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

VARIABLE = r"^\{\{[^{}\x00-\x1f\x7f-\x9f]{1,200}\}\}$"
MAX_SECONDS = 1_000_000_000  # 31 years: far above any test, far below what overflows a time
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def variable_of(value: object) -> str | None:
    """`{{ name }}` → name; None if `value` names no variable of the environment."""
    if isinstance(value, str) and re.fullmatch(VARIABLE, value):
        return value[2:-2].strip() or None
    return None


def _parse(value: object) -> float | str | None:
    """Only JSON's numbers are numbers: neither "30" nor true is taken for one."""
    if value is None or (isinstance(value, str) and variable_of(value)):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a number or a {{variable}} of the environment")
    return finite_number(value)


def _one_line(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def finite_number(value: float) -> float:
    """`value` as float; ValueError for NaN, Infinity and what a double cannot hold."""
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("must be a finite number") from error
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _seconds(value: float | str) -> float | str:
    if isinstance(value, float) and not 0 < value <= MAX_SECONDS:
        raise ValueError(f"must be above 0 and at most {MAX_SECONDS} seconds")
    return value


def _not_negative(value: float | str) -> float | str:
    if isinstance(value, float) and value < 0:
        raise ValueError("must not be negative")
    return value


def _whole(value: float | str) -> float | str:
    if isinstance(value, float) and (value < 0 or not value.is_integer()):
        raise ValueError("must be a whole number, not negative")
    return value


def _above_zero(value: float | str) -> float | str:
    if isinstance(value, float) and value <= 0:
        raise ValueError("must be above 0")
    return value


def _schema(number: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": VARIABLE}]})


_Number = Annotated[float | str, BeforeValidator(_parse)]

Limit = Annotated[_Number, _schema({"type": "number"})]
NotNegative = Annotated[
    _Number, AfterValidator(_not_negative), _schema({"type": "number", "minimum": 0})
]
Span = Annotated[
    _Number,
    AfterValidator(_seconds),
    _schema({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS}),
]
Count = Annotated[_Number, AfterValidator(_whole), _schema({"type": "integer", "minimum": 0})]
SampleCount = Annotated[
    _Number,
    AfterValidator(_whole),
    AfterValidator(_above_zero),
    _schema({"type": "integer", "minimum": 1}),
]

Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
MetricName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
Unit = Annotated[str, Field(max_length=50), AfterValidator(_one_line)]
Tag = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


def number(value: float | str | None) -> float | None:
    """A parameter's number, once its variable is resolved; ValueError before that."""
    if isinstance(value, str):
        raise ValueError(f"{value} is not resolved yet")
    return value
