"""What is due, and what has waited too long: the clock's view of runs."""

import uuid
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.adapters.runners import callback_url
from testbench.domain.runs import ACTIVE
from testbench.models import Device, Run, RunDevice
from testbench.services.runs import timeline, tokens
from testbench.services.runs.finishing import Ending, conclude, finish
from testbench.services.runs.views import find, timeout_s
from testbench.settings import settings

BATCH = 500
READY_GRACE = timedelta(seconds=60)
_DUE = """
UPDATE runs SET sent_until = now() + make_interval(secs => %s)
WHERE id IN (
    SELECT id FROM runs
    WHERE status IN ('queued', 'running') AND due_at <= now()
        AND (sent_until IS NULL OR sent_until < now())
        AND (lease_until IS NULL OR lease_until < now())
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, step, phase
"""
_NEXT = """
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM runs
WHERE status IN ('queued', 'running') AND due_at > now()
"""


class Due(NamedTuple):
    """A step to send."""

    run_id: uuid.UUID
    step: int
    phase: str


def take_due(tx: Tx) -> list[Due]:
    """The steps that are due now, marked as sent; an unclaimed one comes again later.

    The mark is only a hint, so its commit need not reach the disk.
    """
    cursor = tx.cursor()
    cursor.execute("SET LOCAL synchronous_commit = off")
    rows = cursor.execute(_DUE, (settings().resend_s, BATCH), prepare=True)
    return [Due(*row) for row in rows]


def unsend(tx: Tx, run_ids: list[uuid.UUID]) -> None:
    """What could not be sent is due again at once."""
    tx.cursor().execute("UPDATE runs SET sent_until = NULL WHERE id = ANY(%s)", (run_ids,))


def next_due_s(tx: Tx) -> float | None:
    """Seconds until the next step is due; None if nothing is planned."""
    row = tx.cursor().execute(_NEXT, prepare=True).fetchone()
    return row[0] if row else None


def job(tx: Tx, run_id: uuid.UUID) -> dict[str, Any]:
    """What an external runner gets: plain JSON on the queue `testbench.jobs`."""
    run = find(tx, run_id, lock=True)
    devices = tx.session.scalars(
        select(
            col(Device.id),
            col(Device.name),
            col(Device.kind),
            col(Device.ip),
            col(Device.mac),
            col(Device.tags),
        )
        .join(RunDevice, col(RunDevice.device_id) == col(Device.id))
        .where(col(RunDevice.run_id) == run.id)
        .order_by(col(RunDevice.position))
    )
    deadline = tx.now + timedelta(seconds=timeout_s(run))
    return {
        "run_id": str(run.id),
        "attempt": run.attempt,
        "callback_url": callback_url(run.id),
        "token": tokens.issue(run.id, run.attempt),
        "test_case": run.test_case,
        "environment": run.environment,
        "devices": [
            device.model_dump(mode="json", include={"id", "name", "kind", "ip", "mac", "tags"})
            for device in devices
        ],
        "deadline": deadline.isoformat(),
    }


def dispatched(tx: Tx, run_id: uuid.UUID) -> None:
    """The job stands on the queue: from now on its runner's heartbeat counts."""
    run = find(tx, run_id, lock=True)
    if run.phase != "dispatch":
        return
    run.phase, run.due_at, run.sent_until = "external", None, None
    run.deadline_at = None
    timeline.note(tx, run.id, "dispatched", f"attempt {run.attempt}, to an external runner")
    tx.emit("runs", run.id)


def sweep(tx: Tx, ready_since: datetime) -> int:
    """End what has waited too long; how many. Waiting counts from when the bench was ready."""
    waited = timedelta(seconds=settings().queue_timeout_s)
    late = select(Run).where(
        col(Run.status).in_(ACTIVE),
        col(Run.phase).not_in(("teardown", "callback")),
        or_(
            (col(Run.status) == "queued")
            & (func.greatest(col(Run.queued_at), ready_since) < tx.now - waited),
            # `greatest` skips NULL: without its own check, no deadline would be a missed one.
            col(Run.deadline_at).is_not(None)
            & (func.greatest(col(Run.deadline_at), ready_since + READY_GRACE) < tx.now),
            _lost_heartbeat(tx),
        ),
    )
    runs = list(tx.session.scalars(late.limit(BATCH).with_for_update(skip_locked=True)))
    for run in runs:
        _end_late(tx, run)
    return len(runs)


def _lost_heartbeat(tx: Tx) -> Any:
    silence = timedelta(seconds=settings().heartbeat_timeout_s)
    return (col(Run.phase) == "external") & (col(Run.heartbeat_at) < tx.now - silence)


def _end_late(tx: Tx, run: Run) -> None:
    if run.status == "queued":
        _finish_queued(tx, run)
    elif run.deadline_at and run.deadline_at < tx.now:
        reason = "The run took longer than its timeout."
        conclude(tx, run, Ending(outcome="timeout", reason=reason))
    elif run.attempt < settings().max_attempts:
        run.attempt += 1
        run.phase, run.status, run.due_at, run.heartbeat_at = "dispatch", "queued", tx.now, None
        timeline.note(tx, run.id, "heartbeat lost", f"attempt {run.attempt} begins")
        tx.emit("runs", run.id)
        tx.wake_clock()
    else:
        reason = "The external runner stopped sending heartbeats."
        conclude(tx, run, Ending(outcome="error", reason=reason))


def _finish_queued(tx: Tx, run: Run) -> None:
    finish(tx, run, Ending(outcome="timeout", reason="Nobody took the run from the queue in time."))
