"""Names people give: the same rule for devices, tests, environments, presets and channels."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _plain(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not contain control characters")
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _bounded(value: str) -> str:
    if _CONTROL.search(value.replace("\n", "").replace("\t", "").replace("\r", "")):
        raise ValueError("must not contain control characters")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
"""1–200 characters, no control characters, not blank."""

Tag = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]
Text = Annotated[str, Field(max_length=10_000), AfterValidator(_bounded)]
"""A description: lines allowed."""


def each_once(values: list[str]) -> list[str]:
    """The same values in the same order, repeats left out."""
    return list(dict.fromkeys(values))
