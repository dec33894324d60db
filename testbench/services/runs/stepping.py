"""A run's steps: what each phase does, so that any worker can do the next."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from psycopg.types.json import Jsonb

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.domain.judging import DeviceJudgement, metrics_needed, provisional
from testbench.domain.runs import worst
from testbench.domain.times import at, ms
from testbench.services import test_cases
from testbench.services.runs import staging, timeline
from testbench.services.runs.claims import Step, complete, end, locked, spec_of
from testbench.services.runs.finishing import (
    DeviceResult,
    Ending,
    conclude_now,
    finish,
    timed_out,
)
from testbench.services.runs.staging import Errand
from testbench.settings import settings

MAX_FAILURES = 5


def perform(tx: Tx, step: Step) -> Errand | None:
    """Do the claimed step, by its phase, and complete it: one transaction.

    What speaks to devices is not done here: it comes back, to be called when `tx` has ended.
    """
    step.spec = spec_of(tx, step.id)
    if step.status == "queued" and step.started_at is None:
        step.deadline_at = step.now + timedelta(seconds=step.spec.timeout_total_s())
        timeline.note(tx, step.id, "started")
    return PHASES[step.phase](tx, step)


def _setup(tx: Tx, step: Step) -> Errand | None:
    """Set the stage, then open the window on the database's clock."""
    if step.spec.setup:
        return staging.set_up(tx, step, partial(_open_window, tx, step))
    _open_window(tx, step)
    return None


def _open_window(tx: Tx, step: Step) -> None:
    start = at(ms(step.now)) + timedelta(milliseconds=round(step.spec.warmup_s * 1000))
    step.window_start = start
    step.window_end = start + timedelta(milliseconds=round(step.spec.duration_s * 1000))
    step.phase = "observe"
    step.due_at = _next_look(step)
    timeline.note(tx, step.id, "window", f"{start.isoformat()} to {step.window_end.isoformat()}")
    complete(tx, step)


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
        end(tx, step, timed_out())
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
    step.stage, step.stage_began = 0, None
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


PHASES: dict[str, Callable[[Tx, Step], Errand | None]] = {
    "setup": _setup,
    "observe": _observe,
    "teardown": staging.tear_down,
}
"""What each phase does; `callback` speaks to the network and stands in `delivering`."""


def retry(tx: Tx, step: Step, reason: str) -> None:
    """A step failed for a fault of the bench: later again, and after five times the run fails."""
    run = locked(tx, step)
    run.failures += 1
    timeline.note(tx, step.id, "fault", reason)
    if run.failures >= MAX_FAILURES and run.phase not in ("callback", "teardown"):
        conclude_now(tx, run, Ending(outcome="error", reason=f"The bench failed: {reason}"))
        return
    if run.failures >= MAX_FAILURES and run.phase == "teardown":
        staging.give_up(tx, run, f"the bench failed: {reason}")
        finish(tx, run, Ending.model_validate(run.ending))
        return
    run.claim = run.lease_until = run.sent_until = None
    run.due_at = tx.now + timedelta(seconds=min(30, 2**run.failures))
    tx.emit("runs", run.id)
