"""A run as the API and the pages show it."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.errors import NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.runs import TERMINAL
from testbench.domain.test_cases import TestCaseSpec
from testbench.models import Run, RunDevice, RunEvent
from testbench.services import grafana, lists
from testbench.services.keys import as_id


class RunDeviceView(BaseModel):
    """A device's part; while the run goes on its verdicts are provisional."""

    device_id: uuid.UUID
    name: str
    outcome: str | None
    criteria: list[dict[str, Any]]


class TimelineView(BaseModel):
    """One thing that happened."""

    at: datetime
    event: str
    detail: str


class RunView(BaseModel):
    """A run with its copies of test case and environment."""

    id: uuid.UUID
    number: int
    name: str
    status: str
    outcome: str | None
    attempt: int
    phase: str
    progress: float
    test_case: dict[str, Any]
    environment: dict[str, Any] | None
    devices: list[RunDeviceView]
    timeline: list[TimelineView]
    queued_at: datetime
    started_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    ended_at: datetime | None
    reason: str | None
    message: str | None
    grafana_url: str | None
    created_by: uuid.UUID | None


def progress(run: Run, now: datetime) -> float:
    """The elapsed share of warm-up + duration + grace; 1 only when terminal."""
    if run.status in TERMINAL:
        return 1.0
    if run.progress is not None:
        return max(0.0, min(run.progress, 0.999))
    if run.window_start is None:
        return 0.0
    case: Any = run.test_case
    warmup, grace = float(case["warmup_s"]), float(case["grace_s"])
    began = run.window_start - timedelta(seconds=warmup)
    total = warmup + float(case["duration_s"]) + grace
    share = (now - began).total_seconds() / total if total else 0.0
    return round(max(0.0, min(share, 0.999)), 4)


def timeout_s(run: Run) -> float:
    """How long the run may take once somebody has taken it."""
    case: dict[str, Any] = run.test_case
    fields = {name: case[name] for name in TestCaseSpec.model_fields if name in case}
    return TestCaseSpec.model_validate(fields).timeout_total_s()


def _view(tx: Tx, run: Run, parts: list[RunDevice], events: list[RunEvent]) -> RunView:
    ids = [part.device_id for part in parts]
    return RunView(
        **run.model_dump(exclude={"progress"}),
        progress=progress(run, tx.now),
        grafana_url=grafana.url_of_run(tx, ids, run.window_start, run.window_end),
        devices=[RunDeviceView(**part.model_dump()) for part in parts],
        timeline=[TimelineView(**event.model_dump()) for event in events],
    )


def find(tx: Tx, run_id: str | uuid.UUID, *, lock: bool = False) -> Run:
    """The row, locked if asked; NotFound if unknown."""
    run = tx.session.get(Run, as_id(run_id, "run"), with_for_update=lock or None)
    if run is None:
        raise NotFound(f"There is no run {str(run_id)[:64]!r}.")
    return run


def parts(tx: Tx, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, list[RunDevice]]:
    """Each run's devices, in the order chosen."""
    rows = tx.session.scalars(
        select(RunDevice)
        .where(col(RunDevice.run_id).in_(run_ids))
        .order_by(col(RunDevice.position))
    )
    grouped: dict[uuid.UUID, list[RunDevice]] = {run_id: [] for run_id in run_ids}
    for row in rows:
        grouped[row.run_id].append(row)
    return grouped


def get(tx: Tx, actor: Actor, run_id: str | uuid.UUID) -> RunView:
    """One run with its timeline; NotFound if unknown."""
    require(actor, "viewer")
    run = find(tx, run_id)
    tx.session.refresh(run)
    return _views(tx, [run])[0]


def _views(tx: Tx, runs: list[Run]) -> list[RunView]:
    ids = [run.id for run in runs]
    members, events = parts(tx, ids), _events(tx, ids)
    return [_view(tx, run, members[run.id], events[run.id]) for run in runs]


def _events(tx: Tx, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, list[RunEvent]]:
    rows = tx.session.scalars(
        select(RunEvent)
        .where(col(RunEvent.run_id).in_(run_ids))
        .order_by(col(RunEvent.at), col(RunEvent.id))
    )
    grouped: dict[uuid.UUID, list[RunEvent]] = {run_id: [] for run_id in run_ids}
    for row in rows:
        grouped[row.run_id].append(row)
    return grouped


def matching(
    statement: Select[Any],
    *,
    status: str | None = None,
    outcome: str | None = None,
    device_id: str | None = None,
    test_case_id: str | None = None,
) -> Select[Any]:
    """`statement` narrowed to the runs asked for; `active` means queued or running."""
    if status == "active":
        statement = statement.where(col(Run.status).not_in(TERMINAL))
    elif status:
        statement = statement.where(col(Run.status) == status)
    if outcome:
        statement = statement.where(col(Run.outcome) == outcome)
    if test_case_id:
        statement = statement.where(col(Run.test_case_id) == as_id(test_case_id, "test case"))
    if device_id:
        part = select(col(RunDevice.run_id)).where(
            col(RunDevice.device_id) == as_id(device_id, "device")
        )
        statement = statement.where(col(Run.id).in_(part))
    return statement


def list_(
    tx: Tx,
    actor: Actor,
    *,
    status: str | None = None,
    outcome: str | None = None,
    device_id: str | None = None,
    test_case_id: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> lists.Page[RunView]:
    """Runs, newest first, each as `get` shows it."""
    require(actor, "viewer")
    statement = matching(
        select(Run),
        status=status,
        outcome=outcome,
        device_id=device_id,
        test_case_id=test_case_id,
    )
    rows, following = lists.page(
        tx, statement, col(Run.id), limit, cursor, uuid.UUID, newest_first=True
    )
    return lists.Page(items=_views(tx, [row[0] for row in rows]), next_cursor=following)
