"""Which series exist, and what was refused; readings themselves live behind adapters.stores."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Identity, Integer, UniqueConstraint
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class Series(SQLModel, table=True):
    """One metric of one device; the small key keeps the readings' index narrow."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("device_id", "metric"),)

    id: int | None = Field(
        default=None, sa_column=Column(Integer, Identity(always=True), primary_key=True)
    )
    device_id: uuid.UUID = columns.ref("devices.id", cascade=True)
    metric: str = Field(sa_column=Column(Text, nullable=False))
    unit: str | None = Field(default=None, sa_column=Column(Text))


class ValidationError(SQLModel, table=True):
    """A refused message: which door, why, and its first bytes."""

    __tablename__ = "validation_errors"

    id: uuid.UUID = columns.key()
    device_id: uuid.UUID | None = columns.ref("devices.id", null=True, cascade=True)
    at: datetime = columns.moment(index=True)
    door: str = Field(sa_column=Column(Text, nullable=False))
    errors: list[dict[str, Any]] = columns.document(default=list)
    payload: str = Field(sa_column=Column(Text, nullable=False))
