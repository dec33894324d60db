"""The public door of results: built-in workers and external runners end a run here alike."""

import hashlib
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from testbench.adapters.db import Tx
from testbench.domain.errors import Conflict, Invalid, NotFound, Unauthenticated
from testbench.domain.identity import Actor
from testbench.domain.names import Text
from testbench.domain.runs import TERMINAL, Outcome, worst
from testbench.models import Run
from testbench.services.runs import timeline, tokens
from testbench.services.runs.finishing import DeviceResult, Ending, conclude
from testbench.services.runs.views import RunView, find, get, parts, timeout_s

MAX_ATTEMPT = 1_000_000
_READER = Actor(user_id=None, username="runner", role="viewer")


class Callback(BaseModel):
    """A runner's result: exactly the run's devices, each with its own outcome."""

    model_config = ConfigDict(extra="forbid")

    attempt: int = Field(ge=1, le=MAX_ATTEMPT)
    outcome: Outcome
    devices: list[DeviceResult] = Field(max_length=500)
    reason: Text | None = Field(default=None, max_length=2000)

    def digest(self) -> str:
        """Equal for a repeat of the same result."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Heartbeat(BaseModel):
    """A runner says it lives."""

    model_config = ConfigDict(extra="forbid")

    attempt: int = Field(ge=1, le=MAX_ATTEMPT)
    progress: float | None = Field(default=None, ge=0, le=1)
    message: Text | None = Field(default=None, max_length=500)


def authenticate(tx: Tx, run_id: str, token: str) -> tuple[Run, int]:
    """The locked run and the attempt the token was made for; Unauthenticated if for none."""
    try:
        run = find(tx, run_id, lock=True)
    except NotFound:
        if token.startswith("tbr_"):
            raise
        raise Unauthenticated("Send the run's own token.") from None
    attempt = tokens.attempt_of(run.id, token, run.attempt)
    if attempt is None:
        raise Unauthenticated("This is no token of this run.")
    return run, attempt


def admit(tx: Tx, run_id: str, token: str) -> None:
    """Check the token before the body is looked at."""
    authenticate(tx, run_id, token)


def callback(tx: Tx, run_id: str, token: str, body: Callback) -> RunView:
    """End the run with its results. A repeat of the same answers 200 and changes nothing.

    Conflict for a stale attempt or a run that ended otherwise; Invalid for devices that are not
    the run's or outcomes that do not fit.
    """
    run, attempt = authenticate(tx, run_id, token)
    if run.answered == body.digest() and body.attempt == attempt == run.attempt:
        return get(tx, _READER, run.id)
    if body.attempt != run.attempt or attempt != run.attempt:
        raise Conflict(f"Attempt {body.attempt} is stale; the run is at attempt {run.attempt}.")
    if run.status in TERMINAL or run.phase == "teardown" or run.answered:
        raise Conflict(f"The run has ended otherwise: {run.outcome or 'ending'}.")
    _check_fit(tx, run, body)
    run.answered = body.digest()
    run.started_at = run.started_at or tx.now
    timeline.note(tx, run.id, "callback", f"{body.outcome} (attempt {body.attempt})")
    conclude(tx, run, Ending(outcome=body.outcome, reason=body.reason, devices=body.devices))
    return get(tx, _READER, run.id)


def _check_fit(tx: Tx, run: Run, body: Callback) -> None:
    members = {part.device_id for part in parts(tx, [run.id])[run.id]}
    named = [result.device_id for result in body.devices]
    errors: list[tuple[str, str]] = []
    for i, result in enumerate(body.devices):
        if result.device_id not in members:
            errors.append((f"devices.{i}.device_id", "is not in this run"))
        if named.count(result.device_id) > 1:
            errors.append((f"devices.{i}.device_id", "is named twice"))
        errors += [(f"devices.{i}.outcome", why) for why in _misfits(result)]
    errors += [("devices", f"lacks {missing}") for missing in members - set(named)]
    if not errors and body.outcome != worst([result.outcome for result in body.devices]):
        errors.append(("outcome", "is not the worst of the devices' outcomes"))
    if errors:
        raise Invalid("The result does not fit the run.", errors=errors)


def _misfits(result: DeviceResult) -> list[str]:
    """Why a device's outcome contradicts its own verdicts."""
    required: set[Any] = {v.verdict for v in result.criteria if v.severity == "required"}
    if result.outcome == "pass" and required & {"fail", "error"}:
        return ["is pass although a required criterion is not"]
    if result.outcome == "fail" and required and "fail" not in required:
        return ["is fail although no required criterion failed"]
    return []


def heartbeat(tx: Tx, run_id: str, token: str, body: Heartbeat) -> bool:
    """Note that the runner lives; True if it should stop. Conflict for a stale attempt."""
    run, attempt = authenticate(tx, run_id, token)
    if body.attempt != run.attempt or attempt != run.attempt:
        raise Conflict(f"Attempt {body.attempt} is stale; the run is at attempt {run.attempt}.")
    if run.status in TERMINAL or run.ending is not None:
        return True
    if run.status == "queued":
        run.status = "running"
        run.started_at = run.started_at or tx.now
        run.deadline_at = tx.now + timedelta(seconds=timeout_s(run))
        timeline.note(tx, run.id, "started", "by an external runner")
    run.heartbeat_at = tx.now
    if body.progress is not None:
        run.progress = body.progress
    run.message = body.message or run.message
    tx.emit("runs", run.id)
    return False
