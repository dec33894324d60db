"""The clock: one leader sends the steps that are due, ends what waited too long, keeps house.

Any number stand by; PostgreSQL's advisory lock says who leads, and frees it when the leader dies.
"""

import json
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbench.adapters import cache, db, queue, stores
from testbench.services import configurations, grafana, housekeeping, removals, rollouts, runs

IDLE_S = 0.2
HOUSE_S = 1.0
Due = runs.Due | rollouts.Due
log = structlog.get_logger()


class Clock:
    """Leads while its connection, and with it the lock, lives."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._jobs: queue.Jobs | None = None
        self._waits = False
        self._next_rollouts = 0.0

    def run(self) -> None:
        """Stand by, lead, and stand by again when the leadership was lost."""
        while not self._stop.is_set():
            try:
                self._term()
            except (psycopg.Error, SQLAlchemyError) as error:
                log.warning("clock_lost_database", error=type(error).__name__)
            self._stop.wait(1)

    def _term(self) -> None:
        with db.connect() as connection:
            connection.autocommit = True
            if not self._elected(connection):
                if not self._waits:
                    log.info("clock_stands_by")
                self._waits = True
                return
            self._waits = False
            connection.execute(f"LISTEN {db.DUE_CHANNEL}")
            log.info("clock_leads")
            over = threading.Event()
            chores = _chores(_now(connection))
            house = threading.Thread(target=_keep_house, args=(over, chores), name="house")
            house.start()
            # Apart, and left alone in the end: a Grafana that hangs holds up nothing.
            errands = threading.Thread(target=_keep_house, args=(over, _ERRANDS), daemon=True)
            errands.start()
            try:
                self._dispatch_for_ever(connection)
            finally:
                over.set()
                house.join()

    def _elected(self, connection: psycopg.Connection) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (db.Lock.CLOCK,)).fetchone()
        return bool(row and row[0])

    def _dispatch_for_ever(self, connection: psycopg.Connection) -> None:
        while not self._stop.is_set():
            try:
                pause = self._dispatch()
            except queue.Away as error:
                log.warning("queue_away", error=type(error).__name__)
                self._drop_jobs()
                pause = 0.5
            for _ in connection.notifies(timeout=pause, stop_after=1):
                pass

    def _dispatch(self) -> float:
        """Send all that is due; seconds until there may be more."""
        with db.deadline(10), db.statement() as tx:
            due: list[Due] = [*self._rollouts_due(tx), *runs.take_due(tx)]
            next_s = None if due else runs.next_due_s(tx)
        busy = bool(due)
        try:
            while due:
                self._send_or_skip(due[-1])
                due.pop()
        finally:
            if due:
                self._unmark(due)
        if busy:
            return 0.001
        return IDLE_S if next_s is None else max(0.001, min(next_s, IDLE_S))

    def _rollouts_due(self, tx: db.Tx) -> list[rollouts.Due]:
        """Looked for now and then: no run waits for a statement that finds nothing."""
        now = time.monotonic()
        if now < self._next_rollouts:
            return []
        self._next_rollouts = now + IDLE_S
        return rollouts.take_due(tx)

    def _send_or_skip(self, due: Due) -> None:
        try:
            self._send(due)
        except (*queue.Away, psycopg.Error, SQLAlchemyError):
            raise
        except Exception:
            # One row's fault holds up no other; its mark runs out, and it is tried again.
            log.exception("step_not_sent", step=due._asdict())

    def _send(self, due: Due) -> None:
        if isinstance(due, rollouts.Due):
            queue.send("rollouts.step", str(due.rollout_id), due.step)
            return
        if due.phase != "dispatch":
            queue.send("runs.step", str(due.run_id), due.step)
            return
        with db.transaction() as tx:
            job = runs.job(tx, due.run_id)
        if job is None:
            return
        self._jobs = self._jobs or queue.Jobs()
        self._jobs.publish(json.dumps(job).encode())
        with db.transaction() as tx:
            runs.dispatched(tx, due.run_id)

    def _unmark(self, due: list[Due]) -> None:
        with db.transaction() as tx:
            runs.unsend(tx, [step.run_id for step in due if isinstance(step, runs.Due)])
            some = [step.rollout_id for step in due if isinstance(step, rollouts.Due)]
            rollouts.unsend(tx, some)

    def _drop_jobs(self) -> None:
        self._jobs = None


Chores = dict[str, tuple[float, Callable[[], object]]]
_ERRANDS: Chores = {
    "dashboards": (5, grafana.plan),
    "grafana": (2, grafana.work_off),
    "grafana_lost": (600, grafana.verify),
}


def _keep_house(over: threading.Event, chores: Chores) -> None:
    last: dict[str, float] = {}
    while not over.wait(HOUSE_S):
        for name, (every_s, chore) in chores.items():
            if time.monotonic() - last.get(name, -every_s) >= every_s:
                last[name] = time.monotonic()
                _do(name, chore)


def _now(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 (a SELECT of one row)
    return row[0]


def _chores(ready_since: datetime) -> Chores:
    def sweep() -> None:
        with db.transaction() as tx:
            ended = runs.sweep(tx, ready_since)
        if ended:
            log.info("runs_ended_late", runs=ended)

    return {
        "sweep": (1, sweep),
        "presence": (1, housekeeping.notice_silence),
        "snapshot": (2, housekeeping.rebuild_snapshot),
        "accounts": (5, housekeeping.revoke_removed),
        "removals": (2, removals.forget_removed),
        "changes": (10, configurations.end_interrupted),
        "partitions": (3600, housekeeping.prepare_partitions),
        "keys": (3600, housekeeping.purge),
        "retention": (3600, stores.expire),
    }


def _do(name: str, chore: Callable[[], object]) -> None:
    try:
        with db.deadline(30):
            chore()
    except cache.Away as error:
        log.warning("chore_waits", chore=name, error=type(error).__name__)
    except Exception as error:
        if not db.is_outage(error):
            log.exception("chore_failed", chore=name)
        else:
            log.warning("chore_waits", chore=name, error=type(error).__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    Clock(stop).run()
