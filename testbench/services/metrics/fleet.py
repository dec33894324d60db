"""The fleet's part of `/metrics`: every device's newest numbers, and the overview of the imprinted.

A device that is offline says so and nothing else: an old value is not a current one.
"""

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbench.adapters import cache, db, live, metrics
from testbench.adapters.db import Tx
from testbench.domain.axeos import name_of, pool_of
from testbench.domain.devices import POLLED
from testbench.domain.errors import BenchError
from testbench.domain.metrics import (
    DEVICE_INFO,
    DEVICE_UP,
    OVERVIEW,
    Exposition,
    Member,
    label,
    pairs,
    prefixes,
)
from testbench.settings import settings

log = structlog.get_logger()

DEADLINE_S = 3.0

# The document is unpacked once a row, for it is large.
_DEVICES = """
SELECT d.id, d.kind, coalesce(d.hostname, d.name), d.hostname, d.mac, d.offline_after_s,
    p.last_seen, coalesce(i."deviceModel", i."ASICModel", i.model), i.version, i.pools,
    i."isUsingFallbackStratum", i."stratumURL", i."stratumPort", i."fallbackStratumURL",
    i."fallbackStratumPort"
FROM devices d
LEFT JOIN presence p ON p.device_id = d.id
LEFT JOIN LATERAL jsonb_to_record(
    CASE WHEN jsonb_typeof(d.info) = 'object' THEN d.info ELSE '{}' END
) AS i("deviceModel" text, "ASICModel" text, model text, version text, pools text,
    "isUsingFallbackStratum" text, "stratumURL" text, "stratumPort" text,
    "fallbackStratumURL" text, "fallbackStratumPort" text) ON true
WHERE d.removed_at IS NULL ORDER BY d.id
"""


class _Row(NamedTuple):
    """A device, and what it last said of itself."""

    id: uuid.UUID
    kind: str
    host: str
    hostname: str | None
    mac: str | None
    offline_after_s: int
    last_seen: datetime | None
    model: str | None
    version: str | None
    pools: str | None
    fallback: str | None
    stratum_url: str | None
    stratum_port: str | None
    fallback_url: str | None
    fallback_port: str | None

    @property
    def imprinted(self) -> bool:
        return self.kind in POLLED and self.mac is not None

    @property
    def pool(self) -> str | None:
        return _pool(*self[9:15])


def describe(told: Exposition) -> tuple[bool, bool]:
    """Adds the whole fleet; whether the database and Redis answered."""
    try:
        with db.deadline(DEADLINE_S), db.transaction() as tx:
            rows, now = _rows(tx), tx.now
    except (SQLAlchemyError, psycopg.Error, BenchError) as error:
        log.warning("metrics_without_database", error=type(error).__name__)
        return False, _answers()
    # One question first: a Redis that hangs is waited for once, not at every step.
    answers = _answers()
    seen = live.last_seen([row.id for row in rows]) if answers else {}
    online = {row.id for row in rows if _is_online(row, seen.get(row.id), now)}
    _presence(told, rows, online)
    return True, _readings(told, rows, online, answers=answers)


def _answers() -> bool:
    try:
        return bool(cache.client().ping())
    except cache.Away:
        return False


def _rows(tx: Tx) -> list[_Row]:
    return [_Row(*row) for row in tx.cursor().execute(_DEVICES)]


def _is_online(row: _Row, seen: datetime | None, now: datetime) -> bool:
    moments = [moment for moment in (row.last_seen, seen) if moment]
    return bool(moments) and now - max(moments) < timedelta(seconds=row.offline_after_s)


def _presence(told: Exposition, rows: Sequence[_Row], online: set[uuid.UUID]) -> None:
    told.family(
        DEVICE_UP,
        "Whether the device was heard of lately.",
        [(f'{{device_id="{row.id}"}} ', int(row.id in online)) for row in rows],
    )
    told.family(
        DEVICE_INFO,
        "What the device is; always 1.",
        [(_info(row), 1) for row in rows],
    )


def _info(row: _Row) -> str:
    said = {
        "device_id": str(row.id),
        "mac": row.mac,
        "hostname": row.hostname,
        "model": row.model,
        "version": row.version,
    }
    labels = ",".join(f'{name}="{label(name_of(value) or "")}"' for name, value in said.items())
    return f"{{{labels}}} "


def _readings(
    told: Exposition, rows: Sequence[_Row], online: set[uuid.UUID], *, answers: bool
) -> bool:
    """Of those that are online; False if Redis is away, and then the sums are left out."""
    imprinted = {row.id: row for row in rows if row.imprinted}
    named = settings().metrics_hostname_prefix
    hosts = {id: (row.host, row.mac or "") for id, row in imprinted.items()} if named else {}
    begins = prefixes(hosts)
    kinds = {row.id: row.kind for row in rows if row.id in online}
    sums: dict[uuid.UUID, dict[str, float]] = {}
    complete = answers
    try:
        for id, flat in metrics.newest(list(kinds)) if answers else ():
            member = Member(f'{{device_id="{id}"}} ', begins.get(id, ""), axeos=kinds[id] in POLLED)
            sums[id] = told.add(member, pairs(flat))
    except cache.Away as error:
        log.warning("metrics_without_cache", error=type(error).__name__)
        complete = False
    if named:
        _overview(told, imprinted, online, sums, complete=complete)
    return complete


def _overview(
    told: Exposition,
    imprinted: Mapping[uuid.UUID, _Row],
    online: set[uuid.UUID],
    sums: Mapping[uuid.UUID, Mapping[str, float]],
    *,
    complete: bool,
) -> None:
    up = [id for id in imprinted if id in online]
    figures: dict[str, float] = {
        "total_hardware": len(imprinted),
        "hardware_online": len(up),
        "hardware_offline": len(imprinted) - len(up),
    }
    if complete:
        rates = [sums[id]["hashrate"] for id in up if "hashrate" in sums[id]]
        figures["total_hashrate"] = sum(rates)
        figures["average_hashrate"] = sum(rates) / len(rates) if rates else 0
        figures["total_power_watts"] = sum(sums[id].get("power", 0) for id in up)
    for name, value in figures.items():
        told.family(name, OVERVIEW[name], [("", value)])
    versions = Counter(row.version for row in imprinted.values() if row.version)
    _by(told, "firmware_version_distribution", "version", versions)
    if complete:
        for state in ("accepted", "rejected"):
            shares = _by_pool(((imprinted[id], sums[id]) for id in up), f"shares_{state}")
            _by(told, f"shares_by_pool_{state}", "pool", shares)


def _by_pool(
    devices: Iterable[tuple[_Row, Mapping[str, float]]], metric: str
) -> Mapping[str, float]:
    shares: defaultdict[str, float] = defaultdict(float)
    for row, sums in devices:
        if metric in sums and (pool := row.pool):
            shares[pool] += sums[metric]
    return shares


def _by(told: Exposition, name: str, by: str, values: Mapping[str, float]) -> None:
    shown: defaultdict[str, float] = defaultdict(float)
    for key, value in values.items():
        shown[label(name_of(key) or "")] += value
    told.family(
        name,
        OVERVIEW[name],
        [(f'{{{by}="{key}"}} ', value) for key, value in sorted(shown.items())],
    )


@lru_cache(maxsize=4096)
def _pool(
    pools: str | None,
    fallback: str | None,
    url: str | None,
    port: str | None,
    fallback_url: str | None,
    fallback_port: str | None,
) -> str | None:
    """`host:port` of the pool in use."""
    found = pool_of(
        {
            "pools": json.loads(pools) if pools else None,
            "isUsingFallbackStratum": fallback in ("true", "1"),
            "stratumURL": url,
            "stratumPort": port,
            "fallbackStratumURL": fallback_url,
            "fallbackStratumPort": fallback_port,
        }
    )
    if found.url is None:
        return None
    host = found.url.rpartition("://")[2]
    return f"{host}:{found.port}" if found.port is not None else host
