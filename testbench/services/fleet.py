"""Devices as lines of a table: sorted, filtered and cut to a window by the database, counted."""

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Select, case, func
from sqlalchemy.dialects.postgresql import INET
from sqlmodel import col

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.domain.devices import State
from testbench.domain.identity import Actor, require
from testbench.domain.sparklines import path
from testbench.domain.times import ms
from testbench.models import DashboardConfig, Device, Presence
from testbench.services import devices
from testbench.services.devices import Counts, DeviceView

Sort = Literal[
    "name", "state", "kind", "ip", "mac", "hostname", "firmware", "model", "last_seen", "created_at"
]
# 10.0.0.9 before 10.0.0.10; what is no IPv4 address comes after them, as text.
_HOST = func.split_part(col(Device.ip), ":", 1)
_BY_ADDRESS = case((col(Device.ip).regexp_match(r"^[0-9.]+(:\d+)?$"), _HOST.cast(INET)))
SORTS: dict[str, tuple[Any, ...]] = {
    "name": (func.lower(col(Device.name)),),
    "state": (devices.state_column(),),
    "kind": (col(Device.kind),),
    "ip": (_BY_ADDRESS, col(Device.ip)),
    "mac": (col(Device.mac),),
    "hostname": (func.lower(col(Device.hostname)),),
    "firmware": (col(Device.firmware),),
    "model": (col(Device.model),),
    "last_seen": (col(Presence.last_seen),),
    "created_at": (col(Device.created_at),),
}
COLUMNS = ("kind", "ip", "mac", "hostname", "model", "firmware", "tags", "run", "last_seen")
"""What a person may show or hide, in the table's order."""
USUAL_COLUMNS = ("kind", "tags", "last_seen")
_KEPT_AS = "fleet_columns"

SHAPE_MS = 15 * 60 * 1000
STRETCHES = 16
FRESH_S = 25.0
MAX_SHAPES = 20_000
_drawn: dict[tuple[uuid.UUID, str], tuple[float, str]] = {}
"""Sparklines of this process: when each was drawn (monotonic), and its path."""


class Fleet(BaseModel):
    """A window of devices, how many match, and how many of them are in each state."""

    items: list[DeviceView]
    total: int
    counts: Counts


def table(
    tx: Tx,
    actor: Actor,
    *,
    state: State | None = None,
    tag: str | None = None,
    q: str | None = None,
    kind: str | None = None,
    sort: Sort = "name",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> Fleet:
    """Rows `offset` … `offset + limit`; `counts` is before the filter by state."""
    require(actor, "viewer")
    counts = devices.counts(tx, tag=tag, q=q, kind=kind)
    total = getattr(counts, state) if state else sum(counts.model_dump().values())
    statement = _matching(devices.query(), state, tag, q, kind).order_by(*_order(sort, descending))
    rows = list(tx.session.execute(statement.offset(offset).limit(limit)))
    return Fleet(items=devices.views(rows), total=total, counts=counts)


def _matching(
    statement: Select[Any], state: State | None, tag: str | None, q: str | None, kind: str | None
) -> Select[Any]:
    statement = devices.matching(statement, tag=tag, q=q, kind=kind)
    return statement.where(devices.state_column() == state) if state else statement


def _order(sort: Sort, descending: bool) -> list[Any]:
    ordered = [c.desc().nulls_last() if descending else c.asc().nulls_last() for c in SORTS[sort]]
    return [*ordered, col(Device.id)]


def some(tx: Tx, actor: Actor, ids: Sequence[uuid.UUID]) -> list[DeviceView]:
    """These devices as they are now, in this order; removed ones are left out."""
    require(actor, "viewer")
    rows = tx.session.execute(devices.query().where(col(Device.id).in_(ids)))
    found = {view.id: view for view in devices.views(list(rows))}
    return [found[id] for id in ids if id in found]


def ids(
    tx: Tx,
    actor: Actor,
    *,
    state: State | None = None,
    tag: str | None = None,
    q: str | None = None,
    kind: str | None = None,
) -> list[uuid.UUID]:
    """All that match."""
    require(actor, "viewer")
    statement = _matching(devices.query(), state, tag, q, kind).with_only_columns(col(Device.id))
    return list(tx.session.scalars(statement))


# --- sparklines


def known_sparkline(device_id: uuid.UUID, metric: str) -> str:
    """The sparkline as this process drew it last; "" where it did not."""
    return _drawn.get((device_id, metric), (0.0, ""))[1]


def sparklines(tx: Tx, actor: Actor, wanted: Sequence[tuple[uuid.UUID, str]]) -> list[str]:
    """The last quarter of an hour of each (device, metric) as a path; one query for what is old."""
    require(actor, "viewer")
    now = time.monotonic()
    old = [key for key in wanted if key not in _drawn or now - _drawn[key][0] > FRESH_S]
    if old:
        if len(_drawn) > MAX_SHAPES:
            _drawn.clear()
        end = ms(tx.now)
        shapes = stores.store().shapes(tx, old, end - SHAPE_MS, end, STRETCHES)
        _drawn.update({key: (now, path(shapes.get(key, ()))) for key in old})
    return [known_sparkline(*key) for key in wanted]


# --- columns


def columns(tx: Tx, actor: Actor) -> list[str]:
    """The columns this person wants to see."""
    require(actor, "viewer")
    row = tx.session.get(DashboardConfig, actor.user_id) if actor.user_id else None
    kept = row.config.get(_KEPT_AS) if row else None
    wanted = kept if isinstance(kept, list) else USUAL_COLUMNS
    return [name for name in COLUMNS if name in wanted]


def keep_columns(tx: Tx, actor: Actor, names: Sequence[str]) -> list[str]:
    """Remember them with the person's dashboard; unknown names are left out."""
    require(actor, "viewer")
    kept = [name for name in COLUMNS if name in names]
    if actor.user_id is not None:
        row = tx.session.get(DashboardConfig, actor.user_id, with_for_update=True)
        config = {**(row.config if row else {}), _KEPT_AS: kept}
        tx.session.merge(DashboardConfig(user_id=actor.user_id, config=config))
    return kept
