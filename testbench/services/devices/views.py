"""Devices as they are shown: with run, presence and newest values; state derived in one place."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlmodel import col

from testbench.adapters import live
from testbench.adapters.db import Tx
from testbench.domain import dashboards, links
from testbench.domain.axeos import without_secrets
from testbench.domain.devices import (
    State,
    mac_or_none,
    shown_state,
)
from testbench.domain.errors import NotFound
from testbench.domain.identity import Actor, require
from testbench.models import Device, GrafanaDashboard, Presence, Reservation
from testbench.services import lists
from testbench.services.keys import as_id
from testbench.settings import settings


class GrafanaView(BaseModel):
    """Where a device's dashboard is."""

    url: str
    public_url: str | None


class DeviceView(BaseModel):
    """A device as the API and the pages show it."""

    id: uuid.UUID
    name: str
    kind: str
    mac: str | None
    ip: str | None
    hostname: str | None
    tags: list[str]
    state: State
    online: bool
    maintenance: bool
    maintenance_reason: str | None
    offline_after_s: int
    run_id: uuid.UUID | None
    last_seen: datetime | None
    info: dict[str, Any]
    latest: dict[str, dict[str, Any]]
    desired: dict[str, Any]
    monitored: bool
    """Whether the bench polls it."""
    tracing: bool
    """Monitored, and the last poll was answered."""
    trace_logs: bool
    log_listening: bool
    poll_interval_s: float | None
    poll_error: str | None
    grafana: GrafanaView | None
    """None: there is no dashboard (yet)."""
    missing: int
    clock_off_ms: int
    created_at: datetime


class RegisteredDevice(DeviceView):
    """A device with its credential, shown this once."""

    token: str


class Counts(BaseModel):
    """Devices by shown state."""

    available: int = 0
    in_test: int = 0
    offline: int = 0
    maintenance: int = 0


class DeviceList(lists.Page[DeviceView]):
    """A page of devices, and how many there are in each state before that filter."""

    counts: Counts


def _online() -> ColumnElement[bool]:
    silence = func.make_interval(0, 0, 0, 0, 0, 0, col(Device.offline_after_s))
    return func.coalesce(col(Presence.last_seen) > func.clock_timestamp() - silence, False)


def state_column() -> ColumnElement[str]:
    """`domain.devices.shown_state` in SQL, for filters and counts."""
    return case(
        (col(Reservation.run_id).is_not(None), "in_test"),
        (col(Device.maintenance), "maintenance"),
        (_online(), "available"),
        else_="offline",
    )


def query() -> Any:
    """Every present device with run, presence and online."""
    return (
        select(
            Device,
            col(Reservation.run_id),
            Presence,
            _online().label("online"),
            col(GrafanaDashboard.url),
            col(GrafanaDashboard.public_token),
        )
        .outerjoin(Presence, col(Presence.device_id) == col(Device.id))
        .outerjoin(Reservation, col(Reservation.device_id) == col(Device.id))
        .outerjoin(GrafanaDashboard, col(GrafanaDashboard.device_id) == col(Device.id))
        .where(col(Device.removed_at).is_(None))
    )


def views(rows: list[Any]) -> list[DeviceView]:
    """Rows of `query` with their latest values."""
    ids = [row[0].id for row in rows]
    latest = live.latest(ids)
    seen = live.last_seen(ids)
    said = live.infos([row[0].id for row in rows if row[0].tracing])
    return [
        _view(row, latest.get(row[0].id, {}), seen.get(row[0].id), said.get(row[0].id))
        for row in rows
    ]


def _view(
    row: Any,
    latest: Mapping[str, Any],
    seen: datetime | None,
    said: tuple[datetime, dict[str, Any]] | None,
) -> DeviceView:
    device, run_id, presence, online = row[0], row[1], row[2], row[3]
    stored = presence.last_seen if presence else None
    moments = [moment for moment in (stored, seen) if moment]
    return DeviceView(
        **device.model_dump(exclude={"desired", "info", "tracing", "trace_logs"}),
        monitored=device.tracing,
        tracing=device.tracing and device.poll_error is None,
        trace_logs=device.trace_logs or device.log_listening,
        info=_fresher(device, said),
        desired=without_secrets(device.desired),
        state=shown_state(
            reserved=run_id is not None, maintenance=device.maintenance, online=online
        ),
        online=online,
        run_id=run_id,
        last_seen=max(moments) if moments else None,
        latest=dict(latest),
        grafana=_grafana(device.id, row[5]) if row[4] else None,
        missing=presence.missing if presence else 0,
        clock_off_ms=presence.clock_off_ms if presence else 0,
    )


def _grafana(device_id: uuid.UUID, public_token: str | None) -> GrafanaView | None:
    base = settings().grafana_url
    url = links.dashboard(base, dashboards.uid_of(device_id))
    public = links.public_dashboard(base, public_token)
    return GrafanaView(url=url, public_url=public) if url else None


def _fresher(device: Device, said: tuple[datetime, dict[str, Any]] | None) -> dict[str, Any]:
    """What the last poll said, unless a person's change was read back since."""
    if said is None or (device.info_at is not None and device.info_at > said[0]):
        return device.info
    return said[1]


def get(tx: Tx, actor: Actor, device_id: str | uuid.UUID) -> DeviceView:
    """One device by id, or by MAC; NotFound if there is none."""
    require(actor, "viewer")
    row = tx.session.execute(query().where(col(Device.id) == find(tx, device_id).id)).one()
    return views([row])[0]


def find(tx: Tx, device_id: str | uuid.UUID, *, lock: bool = False) -> Device:
    """The row, locked if asked; NotFound if unknown or removed."""
    mac = mac_or_none(device_id) if isinstance(device_id, str) else None
    where = col(Device.mac) == mac if mac else col(Device.id) == as_id(device_id, "device")
    statement = select(Device).where(where, col(Device.removed_at).is_(None))
    device = tx.session.scalar(statement.with_for_update() if lock else statement)
    if device is None:
        raise NotFound(f"There is no device {str(device_id)[:64]!r}{_since(tx, where)}.")
    return device


def _since(tx: Tx, where: ColumnElement[bool]) -> str:
    """Why there is none any more, for a page that was open when it was removed."""
    query = select(col(Device.name), col(Device.removed_at)).where(where)
    row = tx.session.execute(query.order_by(col(Device.removed_at).desc())).first()
    return f": {row[0]} was removed {row[1]:%Y-%m-%d %H:%M} UTC" if row else ""


def matching(
    statement: Select[Any], *, tag: str | None, q: str | None, kind: str | None
) -> Select[Any]:
    """`statement` narrowed by tag, kind, and text in name, address or tag."""
    if tag:
        statement = statement.where(col(Device.tags).contains([tag]))
    if kind:
        statement = statement.where(col(Device.kind) == kind)
    if q:
        like = "%" + q.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        columns = (col(Device.name), col(Device.mac), col(Device.ip), col(Device.hostname))
        tags = func.array_to_string(col(Device.tags), " ")
        statement = statement.where(or_(*(c.ilike(like) for c in columns), tags.ilike(like)))
    return statement


def counts(
    tx: Tx, *, tag: str | None = None, q: str | None = None, kind: str | None = None
) -> Counts:
    """How many devices are in each state."""
    states = matching(query(), tag=tag, q=q, kind=kind).with_only_columns(
        state_column().label("state"), func.count().label("n")
    )
    rows = tx.session.execute(states.group_by("state"))
    return Counts(**{row.state: row.n for row in rows})


def list_(
    tx: Tx,
    actor: Actor,
    *,
    state: State | None = None,
    tag: str | None = None,
    q: str | None = None,
    kind: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> DeviceList:
    """Devices in the order of their registration."""
    require(actor, "viewer")
    statement = matching(query(), tag=tag, q=q, kind=kind)
    if state:
        statement = statement.where(state_column() == state)
    rows, following = lists.page(tx, statement, col(Device.id), limit, cursor, uuid.UUID)
    return DeviceList(
        items=views(rows), next_cursor=following, counts=counts(tx, tag=tag, q=q, kind=kind)
    )
