"""What happened to imprinted devices, as those who follow the whole fleet are told it."""

import uuid
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.devices import POLLED, State
from testbench.domain.identity import Actor, require
from testbench.models import Device
from testbench.services import devices


class StatUpdate(BaseModel):
    """A device after a reading."""

    id: uuid.UUID
    mac: str | None
    ip: str | None
    hostname: str | None
    state: State
    online: bool
    info: dict[str, Any]
    latest: dict[str, dict[str, Any]]


class Named(BaseModel):
    """A device by its names."""

    id: uuid.UUID
    mac: str | None
    ip: str | None


class PollError(Named):
    """A device whose poll failed, and why."""

    error: str


def readings(tx: Tx, actor: Actor, ids: Collection[uuid.UUID]) -> list[StatUpdate]:
    """Those of `ids` that are imprinted, as they are now."""
    require(actor, "viewer")
    rows = tx.session.execute(_imprinted(devices.query(), ids)) if ids else ()
    return [
        StatUpdate.model_validate(view, from_attributes=True) for view in devices.views(list(rows))
    ]


def poll_errors(tx: Tx, actor: Actor, ids: Collection[uuid.UUID]) -> list[PollError]:
    """Those of `ids` whose last poll failed."""
    require(actor, "viewer")
    statement = _imprinted(select(Device), ids).where(col(Device.poll_error).is_not(None))
    return [
        PollError(id=one.id, mac=one.mac, ip=one.ip, error=one.poll_error or "")
        for one in (tx.session.scalars(statement) if ids else ())
    ]


def removed(tx: Tx, actor: Actor, ids: Collection[uuid.UUID]) -> list[Named]:
    """The names of devices that are removed, or no longer monitored."""
    require(actor, "viewer")
    statement = select(Device).where(col(Device.id).in_(ids))
    return [_named(one) for one in (tx.session.scalars(statement) if ids else ())]


def listened(tx: Tx, actor: Actor, ids: Collection[uuid.UUID]) -> list[Named]:
    """Those of `ids` whose log's lines are told to whoever follows the fleet."""
    require(actor, "viewer")
    statement = _imprinted(select(Device), ids).where(col(Device.log_listening))
    return [_named(one) for one in (tx.session.scalars(statement) if ids else ())]


def _imprinted(statement: Select[Any], ids: Collection[uuid.UUID]) -> Select[Any]:
    return statement.where(
        col(Device.id).in_(ids),
        col(Device.removed_at).is_(None),
        col(Device.mac).is_not(None),
        col(Device.kind).in_(POLLED),
    )


def _named(device: Device) -> Named:
    return Named(id=device.id, mac=device.mac, ip=device.ip)
