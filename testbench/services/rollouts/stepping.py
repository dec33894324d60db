"""A roll-out's steps: claim one, configure the next devices, complete it; any worker can go on.

The canary is whoever goes first while no device stands applied: it goes alone, and is watched for
a moment. Each device's change has its number before it begins, so that a step done again after
its worker was killed goes on with it, and asks nothing of a device twice that had ended.
"""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from testbench.adapters import db
from testbench.adapters.db import Tx
from testbench.domain.axeos import name_of
from testbench.domain.errors import BadGateway, BenchError, Unavailable
from testbench.domain.identity import Actor
from testbench.domain.ids import new_id
from testbench.domain.presets import MEASURED
from testbench.services import configurations
from testbench.services.configurations import ChangeView
from testbench.settings import settings

AT_ONCE = 4
BATCH = 100
WATCH_S = 5.0
"""So long the canary must go on answering."""
SETTLED = frozenset({"same", "ignored", "write_only"})
MAX_DETAIL = 500
_DUE = """
UPDATE rollouts SET sent_until = now() + make_interval(secs => %s) WHERE id IN (
    SELECT id FROM rollouts
    WHERE status = 'running' AND due_at <= now()
        AND (sent_until IS NULL OR sent_until < now())
        AND (lease_until IS NULL OR lease_until < now())
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, step
"""
_CLAIM = """
UPDATE rollouts SET claim = gen_random_uuid(), sent_until = NULL,
    lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND step = %(step)s AND status = 'running'
    AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
RETURNING id, step, claim, preset_name, configuration, username, max_failures
"""
_COMPLETE = """
UPDATE rollouts SET step = step + 1, claim = NULL, lease_until = NULL, sent_until = NULL,
    due_at = now(), status = CASE WHEN status = 'running' THEN %(status)s ELSE status END,
    reason = CASE WHEN status = 'running' THEN %(reason)s ELSE reason END,
    ended_at = CASE WHEN status = 'running' AND %(status)s <> 'running' THEN now()
        ELSE ended_at END
WHERE id = %(id)s AND step = %(step)s AND claim = %(claim)s
"""
_RECORD = """
UPDATE rollout_devices d SET status = %(status)s, detail = %(detail)s,
    before = coalesce((SELECT before FROM configuration_changes WHERE id = d.change_id), '{}')
        || d.before
FROM rollouts r
WHERE r.id = d.rollout_id AND r.id = %(id)s AND r.claim = %(claim)s
    AND d.device_id = %(device)s AND d.status = 'pending'
"""


class Fenced(Exception):
    """The claim is no longer ours."""


class Due(NamedTuple):
    """A step to send."""

    rollout_id: uuid.UUID
    step: int


class Step(NamedTuple):
    """A claimed step."""

    id: uuid.UUID
    step: int
    claim: uuid.UUID
    preset_name: str
    configuration: dict[str, Any]
    username: str
    max_failures: int


class Part(NamedTuple):
    """A device to be configured, and the number of its change."""

    device_id: uuid.UUID
    change_id: uuid.UUID
    is_canary: bool


# --- as the clock and the workers see it --------------------------------------------------------


def take_due(tx: Tx) -> list[Due]:
    """The steps that are due now, marked as sent; an unclaimed one comes again later."""
    rows = tx.cursor().execute(_DUE, (settings().resend_s, BATCH), prepare=True)
    return [Due(*row) for row in rows]


def unsend(tx: Tx, rollout_ids: list[uuid.UUID]) -> None:
    """What could not be sent is due again at once."""
    statement = "UPDATE rollouts SET sent_until = NULL WHERE id = ANY(%s)"
    tx.cursor().execute(statement, (rollout_ids,))


def claim(tx: Tx, rollout_id: uuid.UUID, step: int) -> Step | None:
    """Take the step, or None if it is done, not due, or another worker has it."""
    cursor = tx.cursor()
    cursor.row_factory = dict_row
    values = {"id": rollout_id, "step": step, "lease": settings().lease_s}
    row: Any = cursor.execute(_CLAIM, values, prepare=True).fetchone()
    return Step(**row) if row else None


def renew(tx: Tx, step: Step) -> bool:
    """Hold the lease for longer; False if it was lost."""
    cursor = tx.cursor().execute(
        "UPDATE rollouts SET lease_until = now() + make_interval(secs => %s)"
        " WHERE id = %s AND step = %s AND claim = %s",
        (settings().lease_s, step.id, step.step, step.claim),
    )
    return cursor.rowcount == 1


def perform(step: Step) -> None:
    """Configure the next devices, and say how the roll-out goes on. Opens its own transactions.

    Raises Fenced if the claim was lost, Unavailable if the database is away.
    """
    parts = db.run(lambda tx: _next_parts(tx, step))
    if parts:
        with ThreadPoolExecutor(len(parts), "rollout") as pool:
            for ended in [pool.submit(_configure, step, part) for part in parts]:
                ended.result()
    db.run(lambda tx: _complete(tx, step))


def halt(tx: Tx, step: Step, reason: str) -> None:
    """A fault of the bench stops it; Fenced if the claim was lost."""
    _close(tx, step, "stopped", f"The bench failed: {reason}")


# --- one step -----------------------------------------------------------------------------------


def _next_parts(tx: Tx, step: Step) -> list[Part]:
    """The next devices, each with the number of its change; Fenced if the claim was lost."""
    cursor = tx.cursor()
    held = cursor.execute(
        "SELECT 1 FROM rollouts WHERE id = %s AND claim = %s AND status = 'running' FOR UPDATE",
        (step.id, step.claim),
    )
    if held.fetchone() is None:
        raise Fenced
    applied = cursor.execute(
        "SELECT 1 FROM rollout_devices WHERE rollout_id = %s AND status = 'applied' LIMIT 1",
        (step.id,),
    )
    is_canary = applied.fetchone() is None
    pending = cursor.execute(
        "SELECT device_id, change_id FROM rollout_devices WHERE rollout_id = %s"
        " AND status = 'pending' ORDER BY position LIMIT %s",
        (step.id, 1 if is_canary else AT_ONCE),
    ).fetchall()
    parts = [Part(device, change or new_id(), is_canary) for device, change in pending]
    for part in parts:
        cursor.execute(
            "UPDATE rollout_devices SET change_id = %s WHERE rollout_id = %s AND device_id = %s",
            (part.change_id, step.id, part.device_id),
        )
    return parts


def _configure(step: Step, part: Part) -> None:
    """One device, start to end; what a device or a person does wrong is its result."""
    actor = Actor(None, step.username, "engineer")
    try:
        change = configurations.apply(
            actor,
            part.device_id,
            step.configuration,
            preset_name=step.preset_name,
            change_id=part.change_id,
        )
        if part.is_canary:
            _watch(part.device_id)
    except Unavailable:
        raise
    except BenchError as error:
        _record(step, part, "failed", error.detail)
        return
    trouble = _trouble(change)
    _record(step, part, "failed" if trouble else "applied", trouble or _note(change))


def _trouble(change: ChangeView) -> str | None:
    """Why it cannot be said that the settings are in force."""
    if change.status == "failed":
        return change.error
    odd = [
        found
        for found in change.differences
        if found.standing not in SETTLED and found.key not in MEASURED
    ]
    differs = [
        f"{d.key} is {_shown(d.reported)}, not {_shown(d.desired)}"
        for d in odd
        if d.standing == "differs"
    ]
    silent = [d.key for d in odd if d.standing == "not_reported"]
    if silent:
        differs.append(f"the device does not report {', '.join(silent)}")
    return "Read back: " + "; ".join(differs) + "." if differs else None


def _shown(value: object) -> str:
    return (name_of(str(value)) or "nothing")[:80]


def _note(change: ChangeView) -> str:
    ignored = sorted(d.key for d in change.differences if d.standing == "ignored")
    return f"Ignored by its firmware: {', '.join(ignored)}." if ignored else ""


def _watch(device_id: uuid.UUID) -> None:
    """The canary goes on answering; BadGateway if it falls silent, twice in a row."""
    missed = 0
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        time.sleep(1)
        missed = 0 if configurations.answers(device_id) else missed + 1
        if missed == 2:
            raise BadGateway("It took the settings, and does not answer any more.")


def _record(step: Step, part: Part, status: str, detail: str) -> None:
    values = {
        "status": status,
        "detail": detail[:MAX_DETAIL],
        "id": step.id,
        "claim": step.claim,
        "device": part.device_id,
    }
    db.run(lambda tx: _write(tx, step, values))


def _write(tx: Tx, step: Step, values: dict[str, Any]) -> None:
    tx.cursor().execute(_RECORD, values)
    tx.emit("rollouts", step.id)


def _complete(tx: Tx, step: Step) -> None:
    """Go on, stop by itself, or end."""
    cursor = tx.cursor().execute(
        "SELECT status, count(*), min(position), (array_agg(name || ': ' || detail"
        " ORDER BY position))[1] FROM rollout_devices WHERE rollout_id = %s GROUP BY status",
        (step.id,),
    )
    found: dict[str, Any] = {row[0]: row for row in cursor}
    failures = found["failed"][1] if "failed" in found else 0
    if failures >= step.max_failures or (failures and "applied" not in found):
        first = found["failed"][3]
        many = "The canary failed" if "applied" not in found else f"{failures} failed"
        _close(tx, step, "stopped", f"{many}. {first}")
    elif "pending" in found:
        _close(tx, step, "running", None)
        tx.wake_clock()
    else:
        _close(tx, step, "completed", None)


def _close(tx: Tx, step: Step, status: str, reason: str | None) -> None:
    values = {
        "id": step.id,
        "step": step.step,
        "claim": step.claim,
        "status": status,
        "reason": reason,
    }
    if tx.cursor().execute(_COMPLETE, values).rowcount != 1:
        raise Fenced
    tx.emit("rollouts", step.id)
