"""Managed hardware, when it was last heard of, and which run holds it."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Computed, Index, event, text
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns

_LIVE = text("removed_at IS NULL")
# As PostgreSQL writes it down.
_MODEL = "COALESCE((info ->> 'deviceModel'::text), (info ->> 'ASICModel'::text))"


class Device(SQLModel, table=True):
    """A device; removal keeps the row. `token_hash` is SHA-256 of its credential."""

    __tablename__ = "devices"
    __table_args__ = (
        Index("devices_name", "name", unique=True, postgresql_where=_LIVE),
        Index("devices_mac", "mac", unique=True, postgresql_where=_LIVE),
        Index("devices_tags", "tags", postgresql_using="gin"),
    )

    id: uuid.UUID = columns.key()
    name: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    mac: str | None = Field(default=None, sa_column=Column(Text))
    ip: str | None = Field(default=None, sa_column=Column(Text))
    hostname: str | None = Field(default=None, sa_column=Column(Text))
    tags: list[str] = columns.words()
    offline_after_s: int
    maintenance: bool = False
    maintenance_reason: str | None = Field(default=None, sa_column=Column(Text))
    token_hash: str | None = Field(default=None, sa_column=Column(Text, unique=True))
    info: dict[str, Any] = columns.document()
    info_at: datetime | None = columns.moment(null=True)
    """When `info` was last written; set with it."""
    firmware: str | None = Field(
        default=None, sa_column=Column(Text, Computed("(info ->> 'version'::text)", persisted=True))
    )
    """As `info` names it; a column of its own, so that ten thousand rows are sorted at once."""
    model: str | None = Field(
        default=None, sa_column=Column(Text, Computed(_MODEL, persisted=True))
    )
    desired: dict[str, Any] = columns.document()
    """Settings a person or preset wanted, secrets sealed; what is in force is in `info`."""
    tracing: bool = False
    """Whether the bench asks it for its state; that it does not answer says `poll_error`."""
    trace_logs: bool = False
    log_listening: bool = False
    """Whether its log lines are told to whoever follows the fleet's events."""
    poll_interval_s: float | None = None
    """None: as the settings say."""
    poll_error: str | None = Field(default=None, sa_column=Column(Text))
    demo: bool = False
    removed_at: datetime | None = columns.moment(null=True)
    forget_before: datetime | None = columns.moment(null=True)
    """Removed with its data: all up to then is still to be deleted, however often it returns."""
    created_at: datetime = columns.moment()


def _written(device: Device, _info: object, _before: object, _by: object) -> None:
    """A fresher copy of `info` may be in the cache: which one counts tells this time."""
    device.info_at = datetime.now(UTC)


event.listen(Device.info, "set", _written)


class DiscoveredDevice(SQLModel, table=True):
    """What the last search of the network found, managed or not; secrets removed."""

    __tablename__ = "discovered_devices"

    mac: str = Field(sa_column=Column(Text, primary_key=True))
    ip: str = Field(sa_column=Column(Text, nullable=False))
    hostname: str | None = Field(default=None, sa_column=Column(Text))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    info: dict[str, Any] = columns.document()
    found_at: datetime = columns.moment()


class Collector(SQLModel, table=True):
    """A collector that lives: devices are shared out among those whose lease has not run out."""

    __tablename__ = "collectors"

    name: str = Field(sa_column=Column(Text, primary_key=True))
    lease_until: datetime = columns.moment()


class Presence(SQLModel, table=True):
    """When a device was last heard of; apart from `devices` because it changes every second."""

    __tablename__ = "presence"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    device_id: uuid.UUID = columns.ref("devices.id", primary=True, cascade=True)
    last_seen: datetime = columns.moment()
    online: bool = True
    """What the bench last told its listeners; the truth is `last_seen` against now."""
    seq: int | None = Field(default=None, sa_column=Column(BigInteger))
    missing: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    gaps: list[list[int]] = columns.document(default=list)
    """Holes in the sequence that a late message may still fill, as [first, last]."""
    clock_off_ms: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))


class Reservation(SQLModel, table=True):
    """A run's exclusive hold: the primary key is what makes it exclusive (I1)."""

    __tablename__ = "reservations"

    device_id: uuid.UUID = columns.ref("devices.id", primary=True)
    run_id: uuid.UUID = columns.ref("runs.id")
