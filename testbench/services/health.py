"""Is the bench itself well? Each part asked, with a deadline, side by side."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import text

from testbench.adapters import db, queue
from testbench.adapters.probes import PROBES
from testbench.services import grafana
from testbench.settings import settings

CRITICAL = frozenset({"postgres", "redis", "influxdb"})
"""Without these nothing can be judged or shown; the others make the bench degraded."""


class Check(BaseModel):
    """One part: reachable, how fast, and what it said."""

    ok: bool
    latency_ms: float
    detail: str


class Health(BaseModel):
    """`ok`, `degraded` (something uncritical is away) or `down`."""

    status: Literal["ok", "degraded", "down"]
    checks: dict[str, Check]


class Missing(Exception):
    """A part answers, but nobody does its work."""


def _clock() -> str:
    with db.deadline(2), db.transaction() as tx:
        leads = tx.session.scalar(
            text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND objid = :key AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
            {"key": int(db.Lock.CLOCK)},
        )
    if not leads:
        raise Missing("no clock leads: nothing is sent to the workers")
    return "leads"


def _workers() -> str:
    depth = queue.depth()
    if not depth.consumers:
        raise Missing("no worker listens: runs stay queued")
    return f"{depth.consumers} listening, {depth.waiting} waiting"


def _grafana() -> str:
    said = PROBES["grafana"](settings().grafana_url or "")
    with db.deadline(2), db.transaction() as tx:
        trouble = grafana.trouble(tx)
    if trouble:
        raise Missing(trouble)
    return said


def _parts() -> dict[str, Callable[[], str]]:
    """What this bench consists of, by name."""
    named = settings()
    urls = {
        "postgres": named.database_url,
        "redis": named.redis_url,
        "rabbitmq": named.rabbitmq_url,
        "mqtt": named.mqtt_url,
        "influxdb": named.influxdb_url,
    }
    services: dict[str, Callable[[], str]] = {
        name: partial(PROBES[name], url) for name, url in urls.items() if url
    }
    if named.grafana_url:
        services["grafana"] = _grafana
    return {**services, "clock": _clock, "workers": _workers}


def _ask(part: Callable[[], str]) -> Check:
    began = time.perf_counter()
    try:
        detail, ok = part(), True
    except Missing as error:
        detail, ok = str(error), False
    except Exception as error:  # noqa: BLE001 (a door to other systems: whatever they raise is the answer)
        detail, ok = type(error).__name__, False
    return Check(ok=ok, latency_ms=round((time.perf_counter() - began) * 1000, 2), detail=detail)


def recent() -> Health:
    """What was found in these five seconds, for pages that many people look at."""
    return _found_in(int(time.monotonic() / 5))


@lru_cache(maxsize=1)
def _found_in(_period: int) -> Health:
    return check()


def check() -> Health:
    """Ask every part at once; each answers within about 2 s."""
    parts = _parts()
    with ThreadPoolExecutor(len(parts)) as pool:
        asked = {name: pool.submit(_ask, part) for name, part in parts.items()}
        checks = {name: future.result() for name, future in asked.items()}
    failed = {name for name, result in checks.items() if not result.ok}
    status = "down" if failed & CRITICAL else "degraded" if failed else "ok"
    return Health(status=status, checks=checks)
