"""Named configurations, what was sent to which device by whom, and presets rolled out to many."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Integer, Uuid, text
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class Preset(SQLModel, table=True):
    """Settings under a name; secrets are sealed in `configuration`."""

    __tablename__ = "presets"

    id: uuid.UUID = columns.key()
    name: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    description: str = Field(default="", sa_column=Column(Text, nullable=False))
    configuration: dict[str, Any] = columns.document()
    demo: bool = False
    created_at: datetime = columns.moment()
    updated_at: datetime = columns.moment()


class ConfigurationChange(SQLModel, table=True):
    """One change of one device's settings, written before it is sent: who, what, what came of it.

    `changes` and `before` hold secrets sealed; what a device never reports is not in `before`
    unless the bench itself had set it.
    """

    __tablename__ = "configuration_changes"
    __table_args__ = (Index("configuration_changes_device", "device_id", "id"),)

    id: uuid.UUID = columns.key()
    device_id: uuid.UUID = columns.ref("devices.id", cascade=True)
    at: datetime = columns.moment()
    username: str = Field(sa_column=Column(Text, nullable=False))
    """Who it was, as they were called then; for a roll-out who began it, `testbench` for a run."""
    preset_name: str | None = Field(default=None, sa_column=Column(Text))
    run_id: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid))
    reverts: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid))
    """The change that this one takes back."""
    changes: dict[str, Any] = columns.document()
    before: dict[str, Any] = columns.document()
    status: str = Field(default="pending", sa_column=Column(Text, nullable=False))
    """`pending`, `applied`, `failed`."""
    differences: list[dict[str, Any]] = columns.document(default=list)
    """What was read back: key, desired, reported, standing; secrets left out."""
    restarted: bool = False
    error: str | None = Field(default=None, sa_column=Column(Text))


class Rollout(SQLModel, table=True):
    """A preset on its way to many devices: one canary, then the rest; a row and a step number."""

    __tablename__ = "rollouts"
    __table_args__ = (Index("rollouts_due", "due_at", postgresql_where=text("status = 'running'")),)

    id: uuid.UUID = columns.key()
    preset_id: uuid.UUID = Field(sa_column=Column(Uuid, nullable=False))
    preset_name: str = Field(sa_column=Column(Text, nullable=False))
    configuration: dict[str, Any] = columns.document()
    """As the preset was when it began, secrets sealed."""
    username: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = columns.moment()
    ended_at: datetime | None = columns.moment(null=True)
    status: str = Field(default="running", sa_column=Column(Text, nullable=False))
    """`running`, `stopped` (by a person or by failures; it can be resumed), `completed`."""
    reason: str | None = Field(default=None, sa_column=Column(Text))
    max_failures: int = Field(default=1, sa_column=Column(Integer, nullable=False))
    step: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    due_at: datetime | None = columns.moment(null=True)
    sent_until: datetime | None = columns.moment(null=True)
    claim: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid))
    lease_until: datetime | None = columns.moment(null=True)


class RolloutDevice(SQLModel, table=True):
    """A device's part in a roll-out."""

    __tablename__ = "rollout_devices"
    __table_args__ = (Index("rollout_devices_device", "device_id", "rollout_id"),)

    rollout_id: uuid.UUID = columns.ref("rollouts.id", primary=True, cascade=True)
    device_id: uuid.UUID = columns.ref("devices.id", primary=True, cascade=True)
    position: int
    """0 is the canary."""
    name: str = Field(sa_column=Column(Text, nullable=False))
    status: str = Field(default="pending", sa_column=Column(Text, nullable=False))
    """`pending`, `applied`, `failed`, `reverted`."""
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))
    change_id: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid))
    before: dict[str, Any] = columns.document()
    """What it had before the first try, secrets sealed: what a revert sends."""
