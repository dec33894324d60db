"""A run's step, as a message: a hint, the row is the truth."""

import dramatiq
import structlog

from testbench.adapters import db, queue
from testbench.services import runs
from testbench.tasks import leases
from testbench.tasks.messages import addressed

log = structlog.get_logger()


@dramatiq.actor(actor_name="runs.step", queue_name=queue.QUEUE)
def step(*args: object, **_more: object) -> None:
    """Claim and do a run's step, by its number; a repeated, late or foreign message does nothing.

    Anything may stand on a queue, so this takes any arguments.
    """
    key, number = addressed(args)
    if key is None:
        log.warning("poison_message", actor="runs.step")
        return
    with db.statement() as tx:
        claimed = runs.claim(tx, key, number)
    if claimed is not None:
        with leases.kept(lambda tx: runs.renew(tx, claimed), claimed.id):
            _perform(claimed)


def _perform(claimed: runs.Step) -> None:
    try:
        if claimed.phase == "callback":
            runs.deliver(claimed)
            return
        with db.transaction() as tx:
            errand = runs.perform(tx, claimed)
        if errand is not None:
            errand()
    except runs.Fenced:
        log.info("step_fenced", run=str(claimed.id), step=claimed.step)
    except Exception as error:
        # The database away: the lease runs out and the clock sends the step again.
        log.exception("step_failed", run=str(claimed.id), phase=claimed.phase)
        if not db.is_outage(error):
            _note_fault(claimed, error)


def _note_fault(claimed: runs.Step, error: Exception) -> None:
    with db.transaction() as tx:
        try:
            runs.retry(tx, claimed, type(error).__name__)
        except runs.Fenced:
            log.info("step_fenced", run=str(claimed.id), step=claimed.step)
