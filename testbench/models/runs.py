"""A run: a row and a step number, so that any worker can do the next step."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Uuid, text
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns

_ACTIVE = text("status IN ('queued', 'running')")


class Run(SQLModel, table=True):
    """`step` with `claim` is the fencing token; `due_at` makes the row the outbox of its steps."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_due", "due_at", postgresql_where=_ACTIVE),
        Index("runs_status", "status", "id"),
        Index("runs_ended", "ended_at"),
    )

    id: uuid.UUID = columns.key()
    number: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), unique=True)
    )
    name: str = Field(sa_column=Column(Text, nullable=False))
    status: str = Field(default="queued", sa_column=Column(Text, nullable=False))
    outcome: str | None = Field(default=None, sa_column=Column(Text))
    reason: str | None = Field(default=None, sa_column=Column(Text))
    created_by: uuid.UUID | None = columns.ref("users.id", null=True)
    test_case_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False, index=True))
    test_case: dict[str, Any] = columns.document()
    environment_id: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid, index=True))
    environment: dict[str, Any] | None = columns.document(null=True)
    presets: dict[str, Any] | None = columns.document(null=True)
    """What its setup applies, as it was at the start: id → name and configuration, sealed."""
    demo: bool = False

    attempt: int = 1
    phase: str = Field(default="setup", sa_column=Column(Text, nullable=False))
    step: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    due_at: datetime | None = columns.moment(null=True)
    """When the next step is due; null while an external runner has it."""
    stage: int = 0
    """How many parts of the setup, or of the teardown, are done."""
    stage_began: datetime | None = columns.moment(null=True)
    failures: int = 0
    """How often in a row this step failed for a fault of the bench."""
    sent_until: datetime | None = columns.moment(null=True)
    claim: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid))
    lease_until: datetime | None = columns.moment(null=True)
    heartbeat_at: datetime | None = columns.moment(null=True)
    progress: float | None = None
    message: str | None = Field(default=None, sa_column=Column(Text))
    ending: dict[str, Any] | None = columns.document(null=True)
    """The intended end: outcome, reason and the devices' results, kept until finish."""
    answered: str | None = Field(default=None, sa_column=Column(Text))
    """Hash of the callback that ended the run, so that its repeat is known."""

    queued_at: datetime = columns.moment()
    started_at: datetime | None = columns.moment(null=True)
    window_start: datetime | None = columns.moment(null=True)
    window_end: datetime | None = columns.moment(null=True)
    deadline_at: datetime | None = columns.moment(null=True)
    ended_at: datetime | None = columns.moment(null=True)


class RunDevice(SQLModel, table=True):
    """A device's part in a run: provisional verdicts while it goes on, then its own outcome."""

    __tablename__ = "run_devices"
    __table_args__ = (Index("run_devices_device", "device_id", "run_id"),)

    run_id: uuid.UUID = columns.ref("runs.id", primary=True, cascade=True)
    device_id: uuid.UUID = columns.ref("devices.id", primary=True)
    position: int
    name: str = Field(sa_column=Column(Text, nullable=False))
    outcome: str | None = Field(default=None, sa_column=Column(Text))
    criteria: list[dict[str, Any]] = columns.document(default=list)
    stage: int = 0
    """How many parts of the setup are done on it."""
    restore: dict[str, Any] | None = columns.document(null=True)
    """The settings its teardown puts back, secrets sealed; null once they are, or given up."""


class RunEvent(SQLModel, table=True):
    """One line of a run's timeline."""

    __tablename__ = "run_events"

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    run_id: uuid.UUID = columns.ref("runs.id", cascade=True)
    at: datetime = columns.moment()
    event: str = Field(sa_column=Column(Text, nullable=False))
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))
