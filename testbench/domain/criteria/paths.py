"""Where in a document a field is wrong, the way a person and a form would write it."""

from collections.abc import Iterable, Mapping
from typing import Any

PLUGS = frozenset({"criteria", "setup"})
"""Lists of things of several kinds."""


def field_path(loc: Iterable[int | str]) -> str:
    """pydantic's location → `criteria.0.low`: without the kind that it puts after the index."""
    parts = [str(part) for part in loc]
    kinds = [i + 2 for i, part in enumerate(parts[:-2]) if part in PLUGS]
    return ".".join(part for i, part in enumerate(parts) if i not in kinds)


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """pydantic's errors → pairs of (path, message), as the tree of errors carries them."""
    return [
        (field_path(error["loc"]), str(error["msg"]).removeprefix("Value error, "))
        for error in errors
    ]
