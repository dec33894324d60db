"""Roll-outs as they may be shown, secrets left out."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.axeos import without_secrets
from testbench.domain.errors import NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.presets import secrets_of
from testbench.models import Rollout, RolloutDevice
from testbench.services import lists
from testbench.services.configurations import sendable
from testbench.services.keys import as_id

_COLUMNS: tuple[Any, ...] = (
    RolloutDevice.device_id,
    RolloutDevice.name,
    RolloutDevice.position,
    RolloutDevice.status,
    RolloutDevice.detail,
    RolloutDevice.change_id,
    RolloutDevice.before,
)


class RolloutDeviceView(BaseModel):
    """A device's part in a roll-out."""

    device_id: uuid.UUID
    name: str
    position: int
    """0 is the canary."""
    status: str
    """`pending`, `applied`, `failed`, `reverted`."""
    detail: str
    change_id: uuid.UUID | None
    revertible: bool
    """Whether there is something to put back on it."""


class Counts(BaseModel):
    """Devices by status."""

    pending: int = 0
    applied: int = 0
    failed: int = 0
    reverted: int = 0


class RolloutSummary(BaseModel):
    """A roll-out without its devices."""

    id: uuid.UUID
    preset_id: uuid.UUID
    preset_name: str
    configuration: dict[str, Any]
    """As the preset was when it began, secrets left out."""
    secrets: list[str]
    username: str
    created_at: datetime
    ended_at: datetime | None
    status: str
    """`running`, `stopped` (it can be resumed), `completed`."""
    reason: str | None
    max_failures: int
    counts: Counts


class RolloutView(RolloutSummary):
    """A roll-out with its devices, in the order they are done."""

    devices: list[RolloutDeviceView]


def find(tx: Tx, rollout_id: str | uuid.UUID, *, lock: bool = False) -> Rollout:
    """The row; NotFound if unknown."""
    key = as_id(rollout_id, "roll-out")
    row = tx.session.get(Rollout, key, with_for_update=lock or None, populate_existing=lock)
    if row is None:
        raise NotFound(f"There is no roll-out {str(rollout_id)[:64]!r}.")
    return row


def get(tx: Tx, actor: Actor, rollout_id: str | uuid.UUID) -> RolloutView:
    """One roll-out with its devices."""
    require(actor, "viewer")
    row = find(tx, rollout_id)
    summary = _summaries(tx, [row])[0]
    return RolloutView(**summary.model_dump(), devices=_devices(tx, row.id))


def summary(tx: Tx, actor: Actor, rollout_id: str | uuid.UUID) -> RolloutSummary:
    """One roll-out without its devices, of which there may be thousands."""
    require(actor, "viewer")
    return _summaries(tx, [find(tx, rollout_id)])[0]


def list_(
    tx: Tx, actor: Actor, *, limit: int = 100, cursor: str | None = None
) -> lists.Page[RolloutSummary]:
    """Roll-outs, newest first."""
    require(actor, "viewer")
    rows, following = lists.page(
        tx, select(Rollout), col(Rollout.id), limit, cursor, uuid.UUID, newest_first=True
    )
    return lists.Page(items=_summaries(tx, [row[0] for row in rows]), next_cursor=following)


def devices_of(
    tx: Tx,
    actor: Actor,
    rollout_id: str | uuid.UUID,
    *,
    status: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[RolloutDeviceView]:
    """A window of its devices, in their order; how many there are says `counts`."""
    require(actor, "viewer")
    return _devices(tx, find(tx, rollout_id).id, status, offset, limit)


def _devices(
    tx: Tx,
    rollout_id: uuid.UUID,
    status: str | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[RolloutDeviceView]:
    part = col(RolloutDevice.rollout_id) == rollout_id
    statement = select(*_COLUMNS).where(part)
    if status:
        statement = statement.where(col(RolloutDevice.status) == status)
    rows = tx.session.execute(
        statement.order_by(col(RolloutDevice.position)).offset(offset).limit(limit)
    )
    return [_part(*row) for row in rows]


def _part(
    device_id: uuid.UUID,
    name: str,
    position: int,
    status: str,
    detail: str,
    change_id: uuid.UUID | None,
    before: dict[str, Any],
) -> RolloutDeviceView:
    return RolloutDeviceView(
        device_id=device_id,
        name=name,
        position=position,
        status=status,
        detail=detail,
        change_id=change_id,
        revertible=status in ("applied", "failed") and bool(sendable(before)),
    )


def _summaries(tx: Tx, rows: Sequence[Rollout]) -> list[RolloutSummary]:
    counts: dict[uuid.UUID, dict[str, int]] = {row.id: {} for row in rows}
    found = tx.session.execute(
        select(RolloutDevice.rollout_id, RolloutDevice.status, func.count())  # type: ignore[call-overload]  # columns
        .where(col(RolloutDevice.rollout_id).in_(counts))
        .group_by(RolloutDevice.rollout_id, RolloutDevice.status)
    )
    for rollout_id, status, count in found:
        counts[rollout_id][status] = count
    return [
        RolloutSummary(
            **row.model_dump(exclude={"configuration"}),
            configuration=without_secrets(row.configuration),
            secrets=secrets_of(row.configuration),
            counts=Counts(**counts[row.id]),
        )
        for row in rows
    ]
