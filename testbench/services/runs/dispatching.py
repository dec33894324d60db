"""What is due, and what has waited too long: the clock's view of runs."""

import uuid
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, not_, or_, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.adapters.runners import callback_url
from testbench.domain.runs import ACTIVE
from testbench.models import Device, Run, RunDevice
from testbench.services.runs import timeline, tokens
from testbench.services.runs.finishing import Ending, conclude, finish, timed_out
from testbench.services.runs.staging import give_up
from testbench.services.runs.views import find, timeout_s
from testbench.settings import settings

BATCH = 500
READY_GRACE = timedelta(seconds=60)
ENDING_GRACE = timedelta(seconds=120)
"""What teardown and callback may take after the run's deadline, and from their begin."""
ENDING_AT_MOST = timedelta(hours=1)
"""While a worker is at it: hundreds of devices that hang take their time."""
# The mark is only a hint, so its commit need not reach the disk.
_DUE = """
WITH hint AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE runs SET sent_until = now() + make_interval(secs => %s) FROM hint
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
    """The steps that are due now, marked as sent; an unclaimed one comes again later."""
    rows = tx.cursor().execute(_DUE, (settings().resend_s, BATCH), prepare=True)
    return [Due(*row) for row in rows]


def unsend(tx: Tx, run_ids: list[uuid.UUID]) -> None:
    """What could not be sent is due again at once."""
    tx.cursor().execute("UPDATE runs SET sent_until = NULL WHERE id = ANY(%s)", (run_ids,))


def next_due_s(tx: Tx) -> float | None:
    """Seconds until the next step is due; None if nothing is planned."""
    row = tx.cursor().execute(_NEXT, prepare=True).fetchone()
    return row[0] if row else None


def job(tx: Tx, run_id: uuid.UUID) -> dict[str, Any] | None:
    """What an external runner gets: plain JSON on the queue `testbench.jobs`. None: too late.

    `deadline`: when a result is worth nothing any more, whoever took the job at the last moment.
    """
    run = find(tx, run_id, lock=True)
    if run.phase != "dispatch":
        return None
    members = (
        select(Device)
        .join(RunDevice, col(RunDevice.device_id) == col(Device.id))
        .where(col(RunDevice.run_id) == run.id)
        .order_by(col(RunDevice.position))
    )
    waits = max(run.queued_at + timedelta(seconds=settings().queue_timeout_s), tx.now)
    deadline = waits + timedelta(seconds=timeout_s(run))
    return {
        "run_id": str(run.id),
        "attempt": run.attempt,
        "callback_url": callback_url(run.id),
        "token": tokens.issue(run.id, run.attempt),
        "test_case": run.test_case,
        "environment": run.environment,
        "devices": [_member(device) for device in tx.session.scalars(members)],
        "deadline": deadline.isoformat(),
    }


def _member(device: Device) -> dict[str, Any]:
    """A device in a job, under the name its result will have in the callback, too."""
    told = device.model_dump(mode="json", include={"id", "name", "kind", "ip", "mac", "tags"})
    return {"device_id": told["id"], **told}


def dispatched(tx: Tx, run_id: uuid.UUID) -> None:
    """The job stands on the queue: it waits there for the queue's timeout.

    Its own timeout counts from the first heartbeat, for a busy runner may take it late.
    """
    run = find(tx, run_id, lock=True)
    if run.phase != "dispatch":
        return
    run.phase, run.due_at, run.sent_until = "external", None, None
    timeline.note(tx, run.id, "dispatched", f"attempt {run.attempt}, to an external runner")
    tx.emit("runs", run.id)


def sweep(tx: Tx, ready_since: datetime) -> int:
    """End what has waited too long; how many. Waiting counts from when the bench was ready."""
    late = select(Run).where(col(Run.status).in_(ACTIVE), _is_late(tx, ready_since))
    runs = list(tx.session.scalars(late.limit(BATCH).with_for_update(skip_locked=True)))
    for run in runs:
        _end_late(tx, run)
    return len(runs)


def _is_late(tx: Tx, ready_since: datetime) -> ColumnElement[bool]:
    """What the bench itself has held up by being down is given time to catch up."""
    waited = timedelta(seconds=settings().queue_timeout_s)
    silence = timedelta(seconds=settings().heartbeat_timeout_s)
    began = func.coalesce(col(Run.started_at), col(Run.queued_at))
    held_up = and_(col(Run.deadline_at).is_not(None), began < ready_since)
    deadline = case(
        (held_up, func.greatest(col(Run.deadline_at), ready_since + READY_GRACE)),
        else_=col(Run.deadline_at),
    )
    is_ending = or_(col(Run.phase).in_(("teardown", "callback")), col(Run.ending).is_not(None))
    ending_since = func.greatest(deadline, col(Run.stage_began))
    at_it = func.coalesce(col(Run.lease_until) > tx.now, False)
    queued = col(Run.status) == "queued"
    return or_(
        and_(queued, func.greatest(col(Run.queued_at), ready_since) < tx.now - waited),
        and_(not_(is_ending), deadline < tx.now),
        and_(is_ending, not_(at_it), ending_since < tx.now - ENDING_GRACE),
        and_(is_ending, ending_since < tx.now - ENDING_AT_MOST),
        and_(
            col(Run.phase) == "external",
            func.greatest(col(Run.heartbeat_at), ready_since) < tx.now - silence,
            col(Run.heartbeat_at).is_not(None),
        ),
    )


def _end_late(tx: Tx, run: Run) -> None:
    if run.ending is not None:
        timeline.note(tx, run.id, "fault", f"the {run.phase} did not come to an end")
        give_up(tx, run, "the teardown did not come to an end")
        finish(tx, run, Ending.model_validate(run.ending))
    elif run.status == "queued":
        reason = "Nobody took the run from the queue in time."
        conclude(tx, run, Ending(outcome="timeout", reason=reason))
    elif run.deadline_at and run.deadline_at < tx.now:
        conclude(tx, run, timed_out())
    elif run.attempt < settings().max_attempts:
        _dispatch_again(tx, run)
    else:
        reason = "The external runner stopped sending heartbeats."
        conclude(tx, run, Ending(outcome="error", reason=reason))


def _dispatch_again(tx: Tx, run: Run) -> None:
    """Another attempt, with all of its time before it."""
    run.attempt += 1
    run.phase, run.status, run.due_at, run.queued_at = "dispatch", "queued", tx.now, tx.now
    run.deadline_at = run.heartbeat_at = run.progress = run.message = None
    timeline.note(tx, run.id, "heartbeat lost", f"attempt {run.attempt} begins")
    tx.emit("runs", run.id)
    tx.wake_clock()
