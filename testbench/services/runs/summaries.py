"""Runs as lines of a table: sorted, filtered and paged by the database, counted by outcome."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import func, select

from testbench.adapters.db import Tx
from testbench.domain.identity import Actor, require
from testbench.domain.runs import ACTIVE, OUTCOMES
from testbench.models import Run, RunDevice
from testbench.services.runs.views import matching, parts, progress

Sort = Literal["number", "name", "status", "queued_at", "ended_at"]
SORTS: dict[str, Any] = {
    "number": Run.number,
    "name": func.lower(Run.name),
    "status": Run.status,
    "queued_at": Run.queued_at,
    "ended_at": Run.ended_at,
}


class SummaryDevice(BaseModel):
    """A device's part, without its verdicts."""

    device_id: uuid.UUID
    name: str
    outcome: str | None


class RunSummary(BaseModel):
    """A run without its documents."""

    id: uuid.UUID
    number: int
    name: str
    status: str
    outcome: str | None
    phase: str
    progress: float
    test_case_id: uuid.UUID
    test_case: str
    environment: str | None
    devices: list[SummaryDevice]
    queued_at: datetime
    started_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    ended_at: datetime | None
    reason: str | None


class RunTable(BaseModel):
    """A window of rows, and how many there are in all."""

    items: list[RunSummary]
    total: int


def table(
    tx: Tx,
    actor: Actor,
    *,
    status: str | None = None,
    outcome: str | None = None,
    device_id: str | None = None,
    test_case_id: str | None = None,
    q: str | None = None,
    sort: Sort = "number",
    descending: bool = True,
    offset: int = 0,
    limit: int = 50,
) -> RunTable:
    """Rows `offset` … `offset + limit`; `q` is text in the run's name."""
    require(actor, "viewer")
    filters = {
        "status": status,
        "outcome": outcome,
        "device_id": device_id,
        "test_case_id": test_case_id,
    }
    statement = matching(select(Run), **filters)
    if q:
        statement = statement.where(Run.name.icontains(q, autoescape=True))  # type: ignore[attr-defined]  # a column
    count = select(func.count()).select_from(statement.subquery())
    column = SORTS[sort]
    order = column.desc().nulls_last() if descending else column.asc().nulls_last()
    rows = tx.session.scalars(statement.order_by(order, Run.id.desc()).offset(offset).limit(limit))  # type: ignore[attr-defined]  # a column
    return RunTable(items=summaries(tx, list(rows)), total=tx.session.scalar(count) or 0)


def summaries(tx: Tx, runs: list[Run]) -> list[RunSummary]:
    """Each run with its devices' names and outcomes."""
    members = parts(tx, [run.id for run in runs])
    return [_summary(run, members[run.id], tx.now) for run in runs]


def _summary(run: Run, members: list[RunDevice], now: datetime) -> RunSummary:
    fields = set(RunSummary.model_fields) - {"progress", "test_case", "environment", "devices"}
    devices = [
        SummaryDevice(device_id=part.device_id, name=part.name, outcome=part.outcome)
        for part in members
    ]
    environment = (run.environment or {}).get("name")
    return RunSummary(
        **run.model_dump(include=fields),
        progress=progress(run, now),
        test_case=str(run.test_case.get("name", "")),
        environment=None if environment is None else str(environment),
        devices=devices,
    )


def active(tx: Tx, actor: Actor, limit: int = 20) -> list[RunSummary]:
    """Runs that go on, newest first."""
    return table(tx, actor, status="active", limit=limit).items


def active_count(tx: Tx) -> int:
    """How many runs go on."""
    statement = select(func.count()).select_from(Run).where(Run.status.in_(ACTIVE))  # type: ignore[attr-defined]  # a column
    return tx.session.scalar(statement) or 0


def outcomes_since(tx: Tx, span: timedelta) -> dict[str, int]:
    """Outcome → how many runs ended with it within `span` of now; 0 for those that none had."""
    rows = tx.session.execute(
        select(Run.outcome, func.count())  # type: ignore[call-overload]  # columns
        .where(Run.ended_at >= tx.now - span)  # type: ignore[operator]  # a column
        .group_by(Run.outcome)
    )
    found = {outcome: count for outcome, count in rows}
    return {outcome: found.get(outcome, 0) for outcome in OUTCOMES}
