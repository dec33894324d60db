"""What forms offer to choose from: names of what there is, and which devices a run may take."""

import uuid
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import case, func, select

from testbench.adapters.db import Tx
from testbench.domain.devices import POLLED, State
from testbench.domain.identity import Actor, require
from testbench.models import Device, Environment, Series, TestCase
from testbench.services import devices

MAX_NAMES = 500
_RANK = {"available": 0, "maintenance": 1, "in_test": 2}
_FREE = {"available": 0, "maintenance": 0, "in_test": 1}


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


def configurable_devices(
    tx: Tx, actor: Actor, *, q: str | None = None, tag: str | None = None, limit: int = 100
) -> DeviceChoices:
    """Devices whose settings the bench can change, those that answer first; others say why not."""
    require(actor, "viewer")
    rows = tx.session.execute(_configurable(q, tag).limit(limit))
    counts = [devices.counts(tx, q=q, tag=tag, kind=kind) for kind in POLLED]
    items = [_choice(row[0], row[1], row.shown, ()) for row in rows]
    return DeviceChoices(
        items=[one.model_copy(update={"why": _why_not(one.state)}) for one in items],
        total=sum(sum(one.model_dump().values()) for one in counts),
        available=sum(one.available + one.maintenance for one in counts),
    )


def configurable_ids(
    tx: Tx, actor: Actor, *, q: str | None = None, tag: str | None = None, limit: int = 10_000
) -> list[uuid.UUID]:
    """Ids of all of them that can be reached now, in the same order."""
    require(actor, "viewer")
    rows = tx.session.execute(_configurable(q, tag))
    free = (row[0].id for row in rows if not _why_not(row.shown))
    return list(islice(free, limit))


def _configurable(q: str | None, tag: str | None) -> Any:
    state = devices.state_column()
    statement = devices.matching(devices.query(), tag=tag, q=q, kind=None)
    rank = case(*((state == name, number) for name, number in _FREE.items()), else_=len(_FREE))
    return (
        statement.where(Device.kind.in_(POLLED))  # type: ignore[attr-defined]  # a column
        .add_columns(state.label("shown"))
        .order_by(rank, func.lower(Device.name))
    )


def _why_not(state: State) -> str:
    return {"in_test": "is in a run", "offline": "is offline"}.get(state, "")


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
