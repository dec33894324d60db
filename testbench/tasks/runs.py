"""A run's step, as a message: a hint, the row is the truth."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
import structlog

from testbench.adapters import db, queue
from testbench.services import runs
from testbench.settings import settings

log = structlog.get_logger()


@dramatiq.actor(actor_name="runs.step", queue_name=queue.QUEUE)
def step(run_id: str, number: int) -> None:
    """Claim and do step `number` of a run; a repeated, late or foreign message does nothing."""
    try:
        key, number = uuid.UUID(run_id), int(number)
    except (ValueError, TypeError, AttributeError):
        log.warning("poison_message", actor="runs.step")
        return
    with db.transaction() as tx:
        claimed = runs.claim(tx, key, number)
    if claimed is not None:
        with _lease_kept(claimed):
            _perform(claimed)


def _perform(claimed: runs.Step) -> None:
    try:
        if claimed.phase == "callback":
            runs.deliver(claimed)
            return
        with db.transaction() as tx:
            runs.perform(tx, claimed)
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


@contextmanager
def _lease_kept(claimed: runs.Step) -> Iterator[None]:
    """Renew the lease while a long step works; most steps end before the first renewal."""
    done = threading.Event()
    pause = settings().lease_s / 3

    def keep() -> None:
        while not done.wait(pause):
            try:
                with db.transaction() as tx:
                    if not runs.renew(tx, claimed):
                        return
            except Exception as error:
                if not db.is_outage(error):
                    raise
                log.warning("lease_not_renewed", run=str(claimed.id))

    threading.Thread(target=keep, name="lease", daemon=True).start()
    try:
        yield
    finally:
        done.set()
