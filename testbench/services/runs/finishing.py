"""The only place that ends a run: status, results, release and events in one transaction."""

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from testbench.adapters.db import Tx
from testbench.domain.criteria import Verdict
from testbench.domain.errors import Conflict
from testbench.domain.identity import Actor, require
from testbench.domain.runs import TERMINAL, Outcome, Phase, status_for
from testbench.models import Run
from testbench.services.reservations import release
from testbench.services.runs import timeline
from testbench.services.runs.views import RunView, find, get, parts


class DeviceResult(BaseModel):
    """A device's own outcome with the verdicts behind it."""

    model_config = ConfigDict(extra="forbid")

    device_id: uuid.UUID
    outcome: Outcome
    criteria: list[Verdict] = Field(default_factory=list, max_length=500)


class Ending(BaseModel):
    """How a run is to end, kept while its teardown runs and its callback is delivered."""

    outcome: Outcome
    reason: str | None = Field(default=None, max_length=2000)
    devices: list[DeviceResult] = Field(default_factory=list)
    report: bool = False
    """Whether the callback door is still to be told."""


def timed_out() -> Ending:
    """How a run ends that took longer than it may."""
    return Ending(outcome="timeout", reason="The run took longer than its timeout.")


def finish(tx: Tx, run: Run, ending: Ending) -> None:
    """End a locked, active run: terminal status, results, devices released, pages told."""
    if run.status in TERMINAL:
        raise Conflict("The run has ended.")
    run.status = status_for(ending.outcome)
    run.outcome = ending.outcome
    run.reason = ending.reason
    run.ended_at = tx.now
    run.phase, run.due_at, run.ending = "done", None, None
    run.claim = run.lease_until = run.sent_until = None
    results = {result.device_id: result for result in ending.devices}
    for part in parts(tx, [run.id])[run.id]:
        result = results.get(part.device_id)
        part.outcome = result.outcome if result else ending.outcome
        part.criteria = [v.model_dump(mode="json") for v in result.criteria] if result else []
        tx.emit("devices", part.device_id)
    tx.session.flush()
    release(tx, run.id)
    detail = f"{ending.outcome}: {ending.reason}" if ending.reason else ending.outcome
    timeline.note(tx, run.id, run.status, detail)
    tx.emit("runs", run.id)


def conclude(tx: Tx, run: Run, ending: Ending) -> None:
    """Go to the end of a locked run: through its teardown if it has one to do, else at once.

    A worker that speaks to the run's devices now is not overtaken: what it sends last would count.
    It sees the ending, and goes on from there; if it dies, whoever takes the step after it does.
    """
    if not _is_staging(tx, run):
        conclude_now(tx, run, ending)
        return
    run.ending = ending.model_dump(mode="json")
    run.message = "Ending; first the devices that are being set up"
    tx.session.flush()
    tx.emit("runs", run.id)


def conclude_now(tx: Tx, run: Run, ending: Ending) -> None:
    """The same, from within the run's own step."""
    if not needs_teardown(run):
        finish(tx, run, ending)
        return
    run.ending = ending.model_dump(mode="json")
    run.deadline_at = run.deadline_at or tx.now
    _due_now(tx, run, "teardown")


def _is_staging(tx: Tx, run: Run) -> bool:
    """Whether a living worker is at a setup that changes devices."""
    document: dict[str, Any] = run.test_case
    changes = any(part["kind"] != "wait_online" for part in document.get("setup", []))
    return changes and run.phase == "setup" and _is_leased(tx, run)


def _is_leased(tx: Tx, run: Run) -> bool:
    return run.lease_until is not None and run.lease_until > tx.now


def _due_now(tx: Tx, run: Run, phase: Phase) -> None:
    """The next step is `phase`, at once; whoever does another one now is fenced off."""
    if run.phase != phase:
        run.stage, run.stage_began = 0, None
    run.phase, run.step, run.due_at = phase, run.step + 1, tx.now
    run.claim = run.lease_until = run.sent_until = None
    tx.session.flush()
    tx.emit("runs", run.id)
    tx.wake_clock()


def needs_teardown(run: Run) -> bool:
    """A run that has set its stage, and not yet cleared it, owes a teardown."""
    case: dict[str, Any] = run.test_case
    return (
        bool(case.get("teardown"))
        and run.started_at is not None
        and run.phase not in ("teardown", "callback")
    )


def cancel(tx: Tx, actor: Actor, run_id: str) -> RunView:
    """A person stops a run; Conflict if it has ended."""
    require(actor, "engineer")
    run = find(tx, run_id, lock=True)
    if run.status in TERMINAL:
        raise Conflict(f"The run has ended: {run.status}.")
    reason = f"Cancelled by {actor.username}."
    timeline.note(tx, run.id, "cancel", f"asked for by {actor.username}")
    ending = Ending(outcome="aborted", reason=reason)
    if run.phase == "teardown":
        _end_otherwise(tx, run, ending)
    else:
        conclude(tx, run, ending)
    return get(tx, actor, run.id)


def _end_otherwise(tx: Tx, run: Run, ending: Ending) -> None:
    """The step number rises, so a teardown that is being done cannot write its old ending over.

    One that speaks to devices now is let go on: it reads the ending when it is done.
    """
    run.ending = ending.model_dump(mode="json")
    restoring = any(part.restore is not None for part in parts(tx, [run.id])[run.id])
    if restoring and _is_leased(tx, run):
        tx.session.flush()
        tx.emit("runs", run.id)
    else:
        _due_now(tx, run, "teardown")
