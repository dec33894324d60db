"""Ids as they arrive from outside."""

import uuid

from testbench.domain.errors import NotFound


def as_id(value: str | uuid.UUID, noun: str = "item") -> uuid.UUID:
    """A UUID; what is none names nothing: NotFound."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(value)
    except ValueError as error:
        raise NotFound(f"There is no {noun} {value[:64]!r}.") from error
