"""What forms offer to choose from: names of what there is, and which devices a run may take."""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import case, func, select

from testbench.adapters.db import Tx
from testbench.domain.devices import State
from testbench.domain.identity import Actor, require
from testbench.models import Device, Environment, Series, TestCase
from testbench.services import devices

MAX_NAMES = 500
_RANK = {"available": 0, "maintenance": 1, "in_test": 2}


class Choice(NamedTuple):
    """An id with its name."""

    id: uuid.UUID
    name: str


class DeviceChoice(BaseModel):
    """A device, and why it cannot be taken into a run; `why` is empty if it can."""

    id: uuid.UUID
    name: str
    kind: str
    tags: list[str]
    state: State
    why: str
    run_id: uuid.UUID | None


class DeviceChoices(BaseModel):
    """The first of them, available ones first, and how many there are in all."""

    items: list[DeviceChoice]
    total: int
    available: int


def named_devices(tx: Tx, actor: Actor) -> list[Choice]:
    """Devices by name, those that are removed left out."""
    require(actor, "viewer")
    rows: Any = select(Device.id, Device.name).where(Device.removed_at.is_(None))  # type: ignore[call-overload,union-attr]  # columns
    return _named(tx, rows.order_by(func.lower(Device.name)))


def named_test_cases(tx: Tx, actor: Actor) -> list[Choice]:
    """Test cases by name."""
    require(actor, "viewer")
    rows: Any = select(TestCase.id, TestCase.name)  # type: ignore[call-overload]  # columns
    return _named(tx, rows.order_by(func.lower(TestCase.name)))


def named_environments(tx: Tx, actor: Actor) -> list[Choice]:
    """Environments by name."""
    require(actor, "viewer")
    rows: Any = select(Environment.id, Environment.name)  # type: ignore[call-overload]  # columns
    return _named(tx, rows.order_by(func.lower(Environment.name)))


def _named(tx: Tx, rows: Any) -> list[Choice]:
    return [Choice(id, name) for id, name in tx.session.execute(rows.limit(MAX_NAMES))]


def run_devices(
    tx: Tx,
    actor: Actor,
    *,
    q: str | None = None,
    required_tags: Sequence[str] = (),
    limit: int = 100,
) -> DeviceChoices:
    """Devices for a run, available first, then by name; each other one with its reason."""
    require(actor, "viewer")
    state = devices.state_column()
    lacking = _lacks(required_tags)
    statement = devices.matching(devices.query(), tag=None, q=q, kind=None)
    rank = case(*((state == name, rank) for name, rank in _RANK.items()), else_=len(_RANK))
    rows = tx.session.execute(
        statement.add_columns(state.label("shown"))
        .order_by(lacking, rank, func.lower(Device.name))
        .limit(limit)
    )
    counts = devices.counts(tx, q=q)
    return DeviceChoices(
        items=[_choice(row[0], row[1], row.shown, required_tags) for row in rows],
        total=sum(counts.model_dump().values()),
        available=counts.available,
    )


def _lacks(required_tags: Sequence[str]) -> Any:
    """0 for a device with all tags, 1 for others."""
    if not required_tags:
        return Device.id.is_(None)  # type: ignore[attr-defined]  # a column; false for all
    return case((Device.tags.contains(list(required_tags)), 0), else_=1)  # type: ignore[attr-defined]  # a column


def _choice(
    device: Device, run_id: uuid.UUID | None, state: State, required_tags: Sequence[str]
) -> DeviceChoice:
    lacking = [tag for tag in required_tags if tag not in device.tags]
    return DeviceChoice(
        id=device.id,
        name=device.name,
        kind=device.kind,
        tags=device.tags,
        state=state,
        why=_why(device, state, lacking),
        run_id=run_id,
    )


def _why(device: Device, state: State, lacking: list[str]) -> str:
    if state == "in_test":
        return "is in a run"
    if state == "maintenance":
        reason = device.maintenance_reason
        return f"is in maintenance: {reason}" if reason else "is in maintenance"
    if state == "offline":
        return "is offline"
    return f"lacks the tag {', '.join(lacking)}" if lacking else ""


def named_metrics(tx: Tx, actor: Actor) -> list[str]:
    """Names of metrics that any device ever sent."""
    require(actor, "viewer")
    rows = tx.session.scalars(select(Series.metric).distinct().order_by(Series.metric))  # type: ignore[call-overload]  # a column
    return list(rows.fetchmany(MAX_NAMES))
