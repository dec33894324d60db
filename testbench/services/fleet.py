"""Devices as lines of a table: sorted, filtered and paged by the database, counted by state."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import func

from testbench.adapters.db import Tx
from testbench.domain.devices import State
from testbench.domain.identity import Actor, require
from testbench.models import Device, Presence
from testbench.services import devices
from testbench.services.devices import Counts, DeviceView

Sort = Literal["name", "state", "kind", "last_seen", "created_at"]
SORTS: dict[str, Any] = {
    "name": func.lower(Device.name),
    "state": devices.state_column(),
    "kind": Device.kind,
    "last_seen": Presence.last_seen,
    "created_at": Device.created_at,
}


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
    statement = devices.matching(devices.query(), tag=tag, q=q, kind=kind)
    if state:
        statement = statement.where(devices.state_column() == state)
    column = SORTS[sort]
    order = column.desc().nulls_last() if descending else column.asc().nulls_last()
    rows = tx.session.execute(statement.order_by(order, Device.id).offset(offset).limit(limit))  # type: ignore[arg-type]  # a column
    total = getattr(counts, state) if state else sum(counts.model_dump().values())
    return Fleet(items=devices.views(list(rows)), total=total, counts=counts)


def some(tx: Tx, actor: Actor, ids: Sequence[uuid.UUID]) -> list[DeviceView]:
    """These devices as they are now, in this order; removed ones are left out."""
    require(actor, "viewer")
    rows = tx.session.execute(devices.query().where(Device.id.in_(ids)))  # type: ignore[attr-defined]  # a column
    found = {view.id: view for view in devices.views(list(rows))}
    return [found[id] for id in ids if id in found]
