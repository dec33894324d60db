"""Roll-outs over REST."""

from fastapi import APIRouter, Query

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import rollouts
from testbench.services.lists import Page
from testbench.services.rollouts import RolloutBody, RolloutSummary, RolloutView

router = APIRouter(prefix="/api/rollouts", tags=["roll-outs"], route_class=Door)


@router.post("", status_code=201)
@allow("engineer")
def start_rollout(actor: Caller, body: RolloutBody) -> RolloutView:
    """Apply a preset to many devices: the first one is the canary, then a few at a time.

    It stops by itself at `max_failures`, at once where the canary fails. A device in a run
    counts as failed.
    """
    return db.run(lambda tx: rollouts.start(tx, actor, body), attempt_s=db.REQUEST_BUDGET_S)


@router.get("")
@allow("viewer")
def list_rollouts(
    actor: Caller, limit: int = Query(100, ge=1, le=500), cursor: str | None = None
) -> Page[RolloutSummary]:
    """Roll-outs, newest first, without their devices."""
    return db.run(lambda tx: rollouts.list_(tx, actor, limit=limit, cursor=cursor))


@router.get("/{rollout_id}")
@allow("viewer")
def get_rollout(actor: Caller, rollout_id: str) -> RolloutView:
    """One roll-out with its devices."""
    return db.run(lambda tx: rollouts.get(tx, actor, rollout_id))


@router.post("/{rollout_id}/stop")
@allow("engineer")
def stop_rollout(actor: Caller, rollout_id: str) -> RolloutView:
    """Begin with no further device; those under way are finished. 409 unless it runs."""
    return db.run(lambda tx: rollouts.stop(tx, actor, rollout_id))


@router.post("/{rollout_id}/resume")
@allow("engineer")
def resume_rollout(actor: Caller, rollout_id: str) -> RolloutView:
    """Go on with what is pending or has failed; 409 if it runs, or nothing is left."""
    return db.run(lambda tx: rollouts.resume(tx, actor, rollout_id))


@router.post("/{rollout_id}/devices/{device_id}/revert")
@allow("engineer")
def revert_rollout_device(actor: Caller, rollout_id: str, device_id: str) -> RolloutView:
    """Put back on one device what was there before the roll-out came to it."""
    return rollouts.revert_device(actor, rollout_id, device_id)
