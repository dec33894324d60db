"""Is the bench itself well? Each part asked, with a deadline, side by side."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import text

from testbench.adapters import cache, db
from testbench.domain.errors import BenchError


class Check(BaseModel):
    """One part: reachable, how fast, and what it said."""

    ok: bool
    latency_ms: float
    detail: str


class Health(BaseModel):
    """`ok`, `degraded` (something uncritical is away) or `down`."""

    status: Literal["ok", "degraded", "down"]
    checks: dict[str, Check]


def _database() -> str:
    with db.deadline(2), db.transaction() as tx:
        return "PostgreSQL " + str(tx.session.scalar(text("SHOW server_version")))


def _redis() -> str:
    cache.client().ping()
    return "answers"


PARTS: dict[str, tuple[Callable[[], str], bool]] = {
    "postgres": (_database, True),
    "redis": (_redis, True),
}
"""Name → (what asks it, is it critical)."""


def _ask(part: Callable[[], str]) -> Check:
    began = time.perf_counter()
    try:
        detail, ok = part(), True
    except BenchError as error:
        detail, ok = error.detail, False
    except Exception as error:  # noqa: BLE001 (a door to other systems: whatever they do is the answer)
        detail, ok = type(error).__name__, False
    return Check(ok=ok, latency_ms=round((time.perf_counter() - began) * 1000, 2), detail=detail)


def check() -> Health:
    """Ask every part at once; each answers within about 2 s."""
    with ThreadPoolExecutor(len(PARTS)) as pool:
        asked = {name: pool.submit(_ask, part) for name, (part, _) in PARTS.items()}
        checks = {name: future.result() for name, future in asked.items()}
    failed = [name for name, result in checks.items() if not result.ok]
    down = any(PARTS[name][1] for name in failed)
    return Health(status="down" if down else "degraded" if failed else "ok", checks=checks)
