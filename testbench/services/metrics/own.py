"""How the bench itself does, in figures: for Prometheus and for the system page."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from sqlalchemy.exc import SQLAlchemyError

from testbench.adapters import db, metrics, queue
from testbench.domain.errors import BenchError

log = structlog.get_logger()

WAIT_S = 1.5
"""A part that hangs costs its own figure, not the scrape."""
LAG_TTL_S = 15.0
"""The lag of the last message counts so long; then nothing comes, and nothing is late."""

_DUE = """
WITH due AS (
    SELECT due_at, lease_until IS NULL OR lease_until < now() AS idle,
        sent_until IS NULL OR sent_until < now() AS unsent
    FROM runs WHERE status IN ('queued', 'running') AND due_at <= now()
    UNION ALL
    SELECT due_at, lease_until IS NULL OR lease_until < now(),
        sent_until IS NULL OR sent_until < now()
    FROM rollouts WHERE status = 'running' AND due_at <= now())
SELECT coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE idle AND unsent)), 0)::float8,
    coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE idle)), 0)::float8,
    (SELECT count(*) FROM grafana_dashboards WHERE due_at IS NOT NULL)
FROM due
"""
Away = (*queue.Away, BenchError, SQLAlchemyError, psycopg.Error)
HELP = {
    "testbench_ingest_lag_seconds": "From the arrival of a reading to its commit: the slowest "
    "lately, or the age of what could not be stored yet.",
    "testbench_outbox_age_seconds": "Age of the oldest due step that was not sent to the workers.",
    "testbench_step_lateness_seconds": "How long the most overdue step waits to be taken up.",
    "testbench_parked_notifications": "Notifications that could not be delivered.",
    "testbench_dashboards_waiting": "Dashboards that Grafana does not have as they should be.",
    "testbench_database_up": "Whether the database answers.",
    "testbench_cache_up": "Whether Redis answers, without which no readings are shown.",
}


@dataclass(frozen=True)
class Figures:
    """None: it could not be found out."""

    ingest_lag_s: float | None
    outbox_age_s: float | None
    step_lateness_s: float | None
    dashboards_waiting: int | None
    queues: dict[str, int] = field(default_factory=dict[str, int])
    parked: int = 0


class Questions(NamedTuple):
    """Asked of several parts at once; who has not answered by `end` is left out."""

    end: float
    futures: dict[str, Future[Any]]


class _Asked:
    """One question at a time to each part: a part that hangs is not asked again meanwhile."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(3, "figures")
        self._open: dict[str, Future[Any]] = {}

    def start(self, name: str, ask: Callable[[], Any]) -> Future[Any]:
        """The question under way, or a new one."""
        going = self._open.get(name)
        if going is None or going.done():
            going = self._open[name] = self._pool.submit(ask)
        return going


@lru_cache
def _asked() -> _Asked:
    return _Asked()


def figures() -> Figures:
    """All of them, asked side by side, within 1.5 s."""
    return answers(ask())


def ask() -> Questions:
    """Begins to find out."""
    questions = {"lag": _lag, "due": _due, "queues": queue.depths}
    futures = {name: _asked().start(name, question) for name, question in questions.items()}
    return Questions(time.monotonic() + WAIT_S, futures)


def answers(asked: Questions) -> Figures:
    """What was found out in time."""
    found = {name: _answer(name, future, asked.end) for name, future in asked.futures.items()}
    outbox, late, dashboards = found["due"] or (None, None, None)
    return Figures(found["lag"], outbox, late, dashboards, found["queues"] or {})


def _answer(name: str, future: Future[Any], end: float) -> Any:
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except (*Away, NotYet) as error:
        log.warning("figure_unknown", figure=name, error=type(error).__name__)
        return None


def _lag() -> float:
    now = time.time()
    return max(
        (
            now - note.waiting_since if note.waiting_since else note.lag_s
            for note in metrics.ingest_notes()
            if note.waiting_since or now - note.at < LAG_TTL_S
        ),
        default=0.0,
    )


def _due() -> tuple[float, float, int]:
    with db.deadline(WAIT_S), db.transaction() as tx:
        row = tx.cursor().execute(_DUE).fetchone()
    assert row is not None  # noqa: S101 (a SELECT of one row)
    return row


class _Own:
    """The figures as prometheus_client collects them."""

    def __init__(self, now: Figures, database_up: bool, cache_up: bool) -> None:
        self._now = now
        self._up = {
            "testbench_database_up": float(database_up),
            "testbench_cache_up": float(cache_up),
        }

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Families; what is unknown is left out."""
        now = self._now
        values: dict[str, float | None] = {
            "testbench_ingest_lag_seconds": now.ingest_lag_s,
            "testbench_outbox_age_seconds": now.outbox_age_s,
            "testbench_step_lateness_seconds": now.step_lateness_s,
            "testbench_parked_notifications": now.parked,
            "testbench_dashboards_waiting": now.dashboards_waiting,
            **self._up,
        }
        for name, value in values.items():
            if value is not None:
                yield GaugeMetricFamily(name, HELP[name], value=value)
        depth = GaugeMetricFamily(
            "testbench_queue_depth", "Messages that no worker has taken yet.", labels=["queue"]
        )
        for name, waiting in now.queues.items():
            depth.add_metric([name], waiting)
        if depth.samples:
            yield depth


@lru_cache
def _process() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def text(up: tuple[bool, bool], now: Figures) -> bytes:
    """The bench's own metrics and its web process's; `up`: database, Redis."""
    registry = CollectorRegistry()
    registry.register(_Own(now, *up))  # type: ignore[arg-type]  # it is one by its method
    return generate_latest(registry) + generate_latest(_process())
