"""Runs driven step by step, with time moved instead of waited for."""

import uuid
from datetime import datetime
from typing import Any

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.models import Run
from testbench.services import devices, runs
from testbench.services.runs import Callback, RunView, Step, tokens
from testbench.services.runs.finishing import Ending
from testbench.services.runs.views import find
from tests import made_runs

TIMES = (
    "queued_at", "due_at", "sent_until", "lease_until", "heartbeat_at", "started_at",
    "window_start", "window_end", "deadline_at", "stage_began",
)  # fmt: skip


def age(run_id: uuid.UUID, seconds: float) -> None:
    """So much time passes for a run that goes on: its lease and due time come that much nearer."""
    moved = ", ".join(f"{name} = {name} - make_interval(secs => %(s)s)" for name in TIMES)
    with db.transaction() as tx:
        tx.cursor().execute(
            f"UPDATE runs SET {moved} WHERE id = %(id)s AND ended_at IS NULL",
            {"s": seconds, "id": run_id},
        )


def row(run_id: uuid.UUID) -> Run:
    with db.transaction() as tx:
        return find(tx, run_id)


def view(run_id: uuid.UUID) -> RunView:
    return db.run(lambda tx: runs.get(tx, BENCH, run_id))


def claim(run_id: uuid.UUID, number: int | None = None) -> Step | None:
    with db.transaction() as tx:
        expected = find(tx, run_id).step if number is None else number
    with db.transaction() as tx:
        return runs.claim(tx, run_id, expected)


def perform(step: Step) -> None:
    with db.transaction() as tx:
        runs.perform(tx, step)


def step(run_id: uuid.UUID) -> RunView:
    """The next step, which is due."""
    claimed = claim(run_id)
    assert claimed is not None
    perform(claimed)
    return view(run_id)


def opened(run_id: uuid.UUID) -> tuple[datetime, datetime]:
    """The window, once the first step has opened it."""
    shown = step(run_id)
    assert shown.window_start is not None
    assert shown.window_end is not None
    return shown.window_start, shown.window_end


def deliver(run_id: uuid.UUID) -> RunView:
    """The judged result, through the callback's verb."""
    found = row(run_id)
    ending = Ending.model_validate(found.ending)
    body = Callback(
        attempt=found.attempt, outcome=ending.outcome, devices=ending.devices, reason=ending.reason
    )
    token = tokens.issue(run_id, found.attempt)
    return db.run(lambda tx: runs.callback(tx, str(run_id), token, body))


def held_by(device_id: uuid.UUID) -> uuid.UUID | None:
    return db.run(lambda tx: devices.get(tx, BENCH, device_id)).run_id


def events(shown: RunView) -> list[str]:
    return [event.event for event in shown.timeline]


def started(*device_ids: uuid.UUID, **fields: Any) -> RunView:
    """A queued run of a case with these fields, on new devices where none are named."""
    criteria = fields.pop("criteria", ())
    chosen = list(device_ids) or [made_runs.online_device().id]
    return made_runs.started(made_runs.case(*criteria, **fields).id, chosen)
