"""Readings and refusals back out, for charts and lists."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlmodel import col, select

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.adapters.stores import series as keys
from testbench.domain import telemetry
from testbench.domain.errors import Invalid
from testbench.domain.identity import Actor, require
from testbench.domain.telemetry import metric_fault
from testbench.domain.times import at
from testbench.models import ValidationError
from testbench.services import devices, lists


class SeriesView(BaseModel):
    """One metric's points, for a chart."""

    metric: str
    unit: str | None
    points: list[tuple[datetime, float | str | bool]]


class TelemetryView(BaseModel):
    """The answer of `GET /api/devices/{id}/telemetry`."""

    series: list[SeriesView]


class FieldError(BaseModel):
    """Where a payload is wrong, and why."""

    loc: str
    msg: str


class ValidationErrorView(BaseModel):
    """A refused message."""

    id: uuid.UUID
    at: datetime
    door: str
    errors: list[FieldError]
    payload: str


def series(
    tx: Tx,
    actor: Actor,
    device_id: str | uuid.UUID,
    metrics: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    max_points: int = 500,
) -> TelemetryView:
    """A device's points between two times, both included; everything where none is given.

    Up to `max_points` a metric come back whole, more are thinned to their minima and maxima.
    """
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    first, last = _bounds(tx, start, end)
    store = stores.store()
    names = _named(metrics) if metrics else store.metrics(tx, device.id)
    points = store.downsampled(tx, device.id, names, first, last, max_points)
    units = keys.units(tx, [device.id])
    return TelemetryView(
        series=[
            SeriesView(
                metric=name,
                unit=units.get((device.id, name)),
                points=[(at(ts), value) for ts, value in points[name]],
            )
            for name in names
        ]
    )


def _bounds(tx: Tx, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The window in ms, cut to where readings can be."""
    if start and end and end < start:
        raise Invalid("The window ends before it starts.", errors=[("end", "is before start")])
    latest = _ms(tx.now) + 2 * telemetry.DAY_MS
    first = max(_ms(start), telemetry.EARLIEST_MS) if start else telemetry.EARLIEST_MS
    return min(first, latest), min(_ms(end), latest) if end else latest


def _named(metrics: Sequence[str]) -> list[str]:
    faults = [(f"metric.{i}", fault) for i, m in enumerate(metrics) if (fault := metric_fault(m))]
    if faults:
        raise Invalid("A metric has no such name.", errors=faults)
    return list(dict.fromkeys(metrics))


def validation_errors(
    tx: Tx, actor: Actor, device_id: str | uuid.UUID, limit: int = 100, cursor: str | None = None
) -> lists.Page[ValidationErrorView]:
    """What was refused of a device, newest first."""
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    statement = select(ValidationError).where(col(ValidationError.device_id) == device.id)
    rows, following = lists.page(
        tx, statement, col(ValidationError.id), limit, cursor, uuid.UUID, newest_first=True
    )
    items = [ValidationErrorView.model_validate(row[0].model_dump()) for row in rows]
    return lists.Page[ValidationErrorView](items=items, next_cursor=following)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
