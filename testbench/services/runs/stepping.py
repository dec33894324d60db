"""A run's steps: claim one, do it, complete it; any worker can do the next.

Claiming sets `claim` and a lease where the step is still the expected one and nobody's lease
holds; completing raises the step where the claim is still ours. Zero rows: somebody else did it.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.domain.criteria import Window
from testbench.domain.judging import DeviceJudgement, metrics_needed, provisional
from testbench.domain.runs import worst
from testbench.domain.test_cases import TestCaseSpec
from testbench.domain.times import at, ms
from testbench.models import Run
from testbench.services import test_cases
from testbench.services.runs import timeline
from testbench.services.runs.finishing import DeviceResult, Ending, conclude, finish, timed_out
from testbench.services.runs.views import find
from testbench.settings import settings

MAX_FAILURES = 5
_COLUMNS = """id, phase, step, claim, started_at, window_start, window_end, deadline_at,
ending, attempt, failures"""
# Losing a claim in a crash loses nothing, the lease would have run out anyway: its commit need not
# reach the disk.
_CLAIM = f"""
WITH hint AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE runs SET claim = gen_random_uuid(), lease_until = now() + make_interval(secs => %(lease)s),
    sent_until = NULL
FROM hint
WHERE id = %(id)s AND step = %(step)s AND status IN ('queued', 'running')
    AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
RETURNING {_COLUMNS}, now() AS now, status
"""
_DOCUMENTS = "SELECT test_case, environment FROM runs WHERE id = %s"
_COMPLETE = """
UPDATE runs SET step = step + 1, claim = NULL, lease_until = NULL, sent_until = NULL,
    failures = 0, phase = %(phase)s, due_at = %(due_at)s, status = 'running',
    started_at = coalesce(started_at, %(started_at)s),
    deadline_at = coalesce(deadline_at, %(deadline_at)s),
    window_start = %(window_start)s, window_end = %(window_end)s, ending = %(ending)s
WHERE id = %(id)s AND step = %(step)s AND claim = %(claim)s
"""


class Fenced(Exception):
    """The claim is no longer ours; what this step did is thrown away."""


@dataclass
class Step:
    """A claimed step: what the row held, and what completing it will write."""

    id: uuid.UUID
    step: int
    claim: uuid.UUID
    phase: str
    status: str
    now: datetime
    started_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    ending: dict[str, Any] | None
    attempt: int
    failures: int
    due_at: datetime
    deadline_at: datetime | None
    spec: TestCaseSpec = field(init=False)
    """Read when the step is performed; what is wrong with it is then the step's fault."""

    def window(self) -> Window:
        """The judged window in ms."""
        if self.window_start is None or self.window_end is None:
            raise RuntimeError("the window is not open yet")
        return Window(ms(self.window_start), ms(self.window_end))


_SPEC_FIELDS = tuple(TestCaseSpec.model_fields)
_MAX_SPECS = 4096
_specs: dict[uuid.UUID, TestCaseSpec] = {}


def _spec_of(tx: Tx, run_id: uuid.UUID) -> TestCaseSpec:
    """The run's own copy, which never changes, with its variables replaced."""
    if run_id in _specs:
        return _specs[run_id]
    row: Any = tx.cursor().execute(_DOCUMENTS, (run_id,)).fetchone()
    document, environment = row
    kept = {name: document[name] for name in _SPEC_FIELDS if name in document}
    variables = (environment or {}).get("variables", {})
    spec = TestCaseSpec.model_validate_json(json.dumps(kept)).resolve(variables)
    if len(_specs) >= _MAX_SPECS:
        _specs.clear()
    _specs[run_id] = spec
    return spec


def claim(tx: Tx, run_id: uuid.UUID, step: int) -> Step | None:
    """Take the step, or None if it is done, not due, or another worker has it."""
    cursor = tx.cursor()
    cursor.row_factory = dict_row
    values = {"id": run_id, "step": step, "lease": settings().lease_s}
    row: Any = cursor.execute(_CLAIM, values, prepare=True).fetchone()
    return Step(**row, due_at=row["now"]) if row else None


def renew(tx: Tx, step: Step) -> bool:
    """Hold the lease for longer; False if it was lost."""
    cursor = tx.cursor().execute(
        "UPDATE runs SET lease_until = now() + make_interval(secs => %s)"
        " WHERE id = %s AND step = %s AND claim = %s",
        (settings().lease_s, step.id, step.step, step.claim),
    )
    return cursor.rowcount == 1


def complete(tx: Tx, step: Step) -> None:
    """Write what the step found and pass on to the next; raises Fenced if it is not ours."""
    values = {
        "id": step.id,
        "step": step.step,
        "claim": step.claim,
        "phase": step.phase,
        "due_at": step.due_at,
        "started_at": step.now,
        "deadline_at": step.deadline_at,
        "window_start": step.window_start,
        "window_end": step.window_end,
        "ending": Jsonb(step.ending) if step.ending else None,
    }
    if tx.cursor().execute(_COMPLETE, values, prepare=True).rowcount != 1:
        raise Fenced
    tx.emit("runs", step.id)
    if step.due_at <= step.now:
        tx.wake_clock()


def perform(tx: Tx, step: Step) -> None:
    """Do the claimed step, by its phase, and complete it: one transaction."""
    step.spec = _spec_of(tx, step.id)
    if step.status == "queued":
        step.deadline_at = step.now + timedelta(seconds=step.spec.timeout_total_s())
        timeline.note(tx, step.id, "started")
    PHASES[step.phase](tx, step)


def _setup(tx: Tx, step: Step) -> None:
    """Wait until the stage is set, then open the window on the database's clock."""
    began = step.started_at or step.now
    for part in step.spec.setup:
        away = _offline(tx, step.id)
        if not away:
            continue
        if step.now > began + timedelta(seconds=part.timeout_s):
            names = ", ".join(away)
            _end(tx, step, Ending(outcome="error", reason=f"Setup: {names} did not come online."))
            return
        step.due_at = step.now + timedelta(seconds=1)
        complete(tx, step)
        return
    start = at(ms(step.now)) + timedelta(milliseconds=round(step.spec.warmup_s * 1000))
    step.window_start = start
    step.window_end = start + timedelta(milliseconds=round(step.spec.duration_s * 1000))
    step.phase = "observe"
    step.due_at = _next_look(step)
    timeline.note(tx, step.id, "window", f"{start.isoformat()} to {step.window_end.isoformat()}")
    complete(tx, step)


def _offline(tx: Tx, run_id: uuid.UUID) -> list[str]:
    rows = tx.cursor().execute(
        "SELECT d.name FROM run_devices rd JOIN devices d ON d.id = rd.device_id"
        " LEFT JOIN presence p ON p.device_id = d.id WHERE rd.run_id = %s AND coalesce("
        "p.last_seen < clock_timestamp() - make_interval(secs => d.offline_after_s), true)"
        " ORDER BY rd.position",
        (run_id,),
    )
    return [row[0] for row in rows]


def _judged_at(step: Step) -> datetime:
    return at(step.window().end) + timedelta(seconds=step.spec.grace_s)


def _next_look(step: Step) -> datetime:
    """Often in a short test, less often in a long one, and never past the time to judge."""
    window = step.window()
    elapsed_s = max(0.0, (ms(step.now) - window.start) / 1000)
    usual_s = min(settings().step_interval_s, max(1.0, step.spec.duration_s / 20))
    pause = timedelta(seconds=max(usual_s, elapsed_s / 50))
    ends = min(_judged_at(step), step.deadline_at or _judged_at(step))
    return min(step.now + pause, ends)


def _observe(tx: Tx, step: Step) -> None:
    """Provisional verdicts; a test that stops on failure ends when every device has failed.

    A late reading may still undo or forestall a failure, so it counts once its grace is over.
    """
    failed = [_look(tx, step, device) for device in _members(tx, step.id)]
    judged_at = _judged_at(step)
    stopping = [moment for moment in failed if moment is not None]
    if step.spec.stop_on_fail and len(stopping) == len(failed):
        judged_at = min(judged_at, at(max(stopping)) + timedelta(seconds=step.spec.grace_s))
    # Later is no timeout: a bench that was down judges what is stored.
    if step.deadline_at and step.deadline_at <= step.now and step.deadline_at < judged_at:
        _end(tx, step, timed_out())
        return
    if step.now >= judged_at:
        _judge(tx, step)
        return
    step.due_at = min(_next_look(step), judged_at)
    complete(tx, step)


def _members(tx: Tx, run_id: uuid.UUID) -> list[uuid.UUID]:
    rows = tx.cursor().execute(
        "SELECT device_id FROM run_devices WHERE run_id = %s ORDER BY position",
        (run_id,),
        prepare=True,
    )
    return [row[0] for row in rows]


def _look(tx: Tx, step: Step, device_id: uuid.UUID) -> int | None:
    """Store the device's provisional verdicts; when it failed for good, in ms, or None."""
    window = step.window()
    until = min(window.end, ms(step.now))
    if until < window.start:
        return None
    metrics = sorted(metrics_needed(step.spec))
    series = stores.store().window(tx, device_id, metrics, window.start, until)
    seen = provisional(step.spec, series, window, ms(step.now))
    tx.cursor().execute(
        "UPDATE run_devices SET criteria = %s WHERE run_id = %s AND device_id = %s",
        (Jsonb([v.model_dump(mode="json") for v in seen.criteria]), step.id, device_id),
        prepare=True,
    )
    return seen.failed_at


def _judge(tx: Tx, step: Step) -> None:
    """The final verdicts: one fold over all stored readings of the window, for each device."""
    judged = {device: _judge_device(tx, step, device) for device in _members(tx, step.id)}
    window_end = at(max(judgement.window_end for judgement in judged.values()))
    if step.now < window_end + timedelta(seconds=step.spec.grace_s):
        # A rewritten reading took the failure back: the test goes on.
        step.due_at = _next_look(step)
        complete(tx, step)
        return
    results = [
        DeviceResult(
            device_id=device, outcome=judgement.outcome or "error", criteria=judgement.criteria
        )
        for device, judgement in judged.items()
    ]
    outcome = worst([result.outcome for result in results])
    ending = Ending(
        outcome=outcome, devices=results, reason=reason_of(tx, step.id, results), report=True
    )
    step.window_end = window_end
    step.ending = ending.model_dump(mode="json")
    step.phase = "teardown" if step.spec.teardown else "callback"
    step.due_at = step.now
    timeline.note(tx, step.id, "judged", outcome)
    complete(tx, step)


def _judge_device(tx: Tx, step: Step, device_id: uuid.UUID) -> DeviceJudgement:
    row = (
        tx.cursor()
        .execute("SELECT clock_off_ms FROM presence WHERE device_id = %s", (device_id,))
        .fetchone()
    )
    clock_off_ms = row[0] if row else None
    return test_cases.judge(tx, step.spec, device_id, step.window(), clock_off_ms)


def reason_of(tx: Tx, run_id: uuid.UUID, results: list[DeviceResult]) -> str | None:
    """The first criterion that decided against a pass, in words."""
    names = dict(
        tx.cursor().execute("SELECT device_id, name FROM run_devices WHERE run_id = %s", (run_id,))
    )
    for outcome in ("error", "fail"):
        for result in results:
            for verdict in result.criteria:
                if (
                    result.outcome == outcome
                    and verdict.severity == "required"
                    and verdict.verdict != "pass"
                ):
                    return f"{verdict.message}, on {names[result.device_id]}"
    return None


def _teardown(tx: Tx, step: Step) -> None:
    """Clear the stage, then tell the callback door, or end as was intended."""
    ending = Ending.model_validate(step.ending)
    timeline.note(tx, step.id, "teardown")
    if ending.report:
        step.phase, step.due_at = "callback", step.now
        complete(tx, step)
        return
    _end(tx, step, ending)


def _end(tx: Tx, step: Step, ending: Ending) -> None:
    """End the run from within a step that is still ours."""
    run = find(tx, step.id, lock=True)
    if run.claim != step.claim:
        raise Fenced
    if step.phase == "teardown":
        finish(tx, run, ending)
    else:
        run.started_at = run.started_at or step.now
        conclude(tx, run, ending)


PHASES: dict[str, Callable[[Tx, Step], None]] = {
    "setup": _setup,
    "observe": _observe,
    "teardown": _teardown,
}
"""What each phase does; `callback` speaks to the network and stands in `delivering`."""


def retry(tx: Tx, step: Step, reason: str) -> None:
    """A step failed for a fault of the bench: later again, and after five times the run fails."""
    run: Run = find(tx, step.id, lock=True)
    if run.claim != step.claim:
        raise Fenced
    run.failures += 1
    timeline.note(tx, step.id, "fault", reason)
    if run.failures >= MAX_FAILURES and run.phase not in ("callback", "teardown"):
        conclude(tx, run, Ending(outcome="error", reason=f"The bench failed: {reason}"))
        return
    if run.failures >= MAX_FAILURES and run.phase == "teardown":
        finish(tx, run, Ending.model_validate(run.ending))
        return
    run.claim = run.lease_until = run.sent_until = None
    run.due_at = tx.now + timedelta(seconds=min(30, 2**run.failures))
    tx.emit("runs", run.id)
