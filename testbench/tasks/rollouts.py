"""A roll-out's step, as a message: a hint, the row is the truth."""

import dramatiq
import structlog

from testbench.adapters import db, queue
from testbench.domain.errors import Unavailable
from testbench.services import rollouts
from testbench.tasks import leases
from testbench.tasks.messages import addressed

log = structlog.get_logger()


@dramatiq.actor(actor_name="rollouts.step", queue_name=queue.QUEUE)
def step(*args: object, **_more: object) -> None:
    """Claim and do a step, by its number; a repeated, late or foreign message does nothing."""
    key, number = addressed(args)
    if key is None:
        log.warning("poison_message", actor="rollouts.step")
        return
    with db.statement() as tx:
        claimed = rollouts.claim(tx, key, number)
    if claimed is not None:
        with leases.kept(lambda tx: rollouts.renew(tx, claimed), claimed.id):
            _perform(claimed)


def _perform(claimed: rollouts.Step) -> None:
    try:
        rollouts.perform(claimed)
    except rollouts.Fenced:
        log.info("step_fenced", rollout=str(claimed.id), step=claimed.step)
    except Exception as error:
        # The database away: the lease runs out and the clock sends the step again.
        log.exception("step_failed", rollout=str(claimed.id))
        if not db.is_outage(error) and not isinstance(error, Unavailable):
            _halt(claimed, type(error).__name__)


def _halt(claimed: rollouts.Step, reason: str) -> None:
    with db.transaction() as tx:
        try:
            rollouts.halt(tx, claimed, reason)
        except rollouts.Fenced:
            log.info("step_fenced", rollout=str(claimed.id), step=claimed.step)
