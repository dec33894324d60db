"""A run's step, as a message: a hint, the row is the truth."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dramatiq
import structlog

from testbench.adapters import db, queue
from testbench.services import runs
from testbench.settings import settings

MAX_STEP = 2**31 - 1
log = structlog.get_logger()


@dramatiq.actor(actor_name="runs.step", queue_name=queue.QUEUE)
def step(*args: object, **_more: object) -> None:
    """Claim and do a run's step, by its number; a repeated, late or foreign message does nothing.

    Anything may stand on a queue, so this takes any arguments.
    """
    key, number = _addressed(args)
    if key is None:
        log.warning("poison_message", actor="runs.step")
        return
    with db.statement() as tx:
        claimed = runs.claim(tx, key, number)
    if claimed is not None:
        with _lease_kept(claimed):
            _perform(claimed)


def _addressed(args: tuple[object, ...]) -> tuple[uuid.UUID | None, int]:
    """The run and the step's number, or None."""
    match args:
        case (str(run_id), int(number)) if 0 <= number <= MAX_STEP:
            with suppress(ValueError):
                return uuid.UUID(run_id), number
        case _:
            pass
    return None, 0


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
