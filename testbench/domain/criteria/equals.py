"""A state that must not change: every reading equals one value."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from testbench.domain.criteria import texts
from testbench.domain.criteria.base import BaseCriterion
from testbench.domain.criteria.every import first_of
from testbench.domain.criteria.parameters import finite_number
from testbench.domain.criteria.rows import Rows
from testbench.domain.criteria.series import MS_PER_S, Mask, Series, Value, Window
from testbench.domain.criteria.verdicts import Finding

MAX_BYTES = 1024


def _parse(value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return finite_number(value)
    if not isinstance(value, str) or "\x00" in value or len(value.encode()) > MAX_BYTES:
        raise ValueError("must be a number, a string of at most 1 KiB, or true or false")
    return value


Expected = Annotated[
    bool | float | str,
    BeforeValidator(_parse),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "string", "maxLength": MAX_BYTES},
                {"type": "boolean"},
            ]
        }
    ),
]


class Equals(BaseCriterion, frozen=True):
    """Every reading is `value`, of the same type: neither 1 nor "true" is true."""

    PARAMETERS: ClassVar[tuple[str, ...]] = ("value",)

    kind: Literal["equals"] = "equals"
    value: Expected

    def sentence(self) -> str:
        return f"{self.metric} is always {self._wanted()}"

    def examine(self, samples: Series, window: Window) -> Finding:
        rows = Rows.of(samples.ts, ~self._equal(samples))
        first = first_of(samples, rows)
        return Finding(
            ruling="fail" if first else "pass",
            message=self._failed(first, rows, window) if first else self._passed(),
            measured=first[1] if first else self.value,
            ts=samples.ts,
            violations=rows.count,
            first=first,
            longest_ms=rows.longest_ms,
            failed_at=rows.failed_at(None, None),
        )

    def _equal(self, samples: Series) -> Mask:
        if not isinstance(self.value, (str, bool)):
            return samples.values == self.value
        kind, equal = type(self.value), np.zeros(len(samples), np.bool_)
        equal[[i for i, v in samples.other.items() if type(v) is kind and v == self.value]] = True
        return equal

    def _refuses(self, field: str, value: float | str) -> bool:
        return False

    def _wanted(self) -> str:
        if isinstance(self.value, float):
            return texts.with_unit(texts.plain(self.value), self.unit)
        return texts.quoted(self.value)

    def _passed(self) -> str:
        return f"{self.metric} was always {self._wanted()}"

    def _failed(self, first: tuple[int, Value | None], rows: Rows, window: Window) -> str:
        at, value = texts.clock(first[0], window), texts.quoted(first[1])
        text = f"{self.metric} was {value} at {at}, expected {self._wanted()}"
        if rows.count == 1:
            return text
        longest = texts.seconds(rows.longest_ms / MS_PER_S)
        return f"{text}; {rows.count} readings differed, the longest row {longest}"
