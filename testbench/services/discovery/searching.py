"""Searching: one search at a time for the whole bench, its results kept as they come.

Whoever asks while another's search is under way waits for it and takes its results.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime

import psycopg
import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import delete, select
from sqlmodel import col

from testbench.adapters import db, searches
from testbench.adapters import discovery as network
from testbench.adapters.db import Tx
from testbench.adapters.discovery import Progress, Report
from testbench.adapters.searches import Search
from testbench.domain.discovery import Filters, Found
from testbench.domain.errors import BadGateway, Conflict, TooMany, Unavailable
from testbench.domain.identity import Actor, require
from testbench.models import DiscoveredDevice
from testbench.settings import settings

NO_NETWORKS = (
    "No networks are configured: set DISCOVERY_NETWORKS to those that devices are in"
    " (192.168.1.0/24), or DISCOVERY_URL to a discovery service, and start the bench again."
)
TELL_S = 0.25
"""So often results are kept and shown while a search goes on."""
WAITERS = 8
"""More callers than these do not wait for one search: each holds a thread of the web process."""
KEEP_AT_ONCE = 500
log = structlog.get_logger()
_seats = threading.BoundedSemaphore(WAITERS)

_KEEP = """
INSERT INTO discovered_devices AS d (mac, ip, hostname, kind, info, found_at)
SELECT mac, ip, hostname, kind, info, %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[])
    AS found (mac, ip, hostname, kind, info)
ON CONFLICT (mac) DO UPDATE SET ip = EXCLUDED.ip, hostname = EXCLUDED.hostname,
    kind = EXCLUDED.kind, info = EXCLUDED.info, found_at = EXCLUDED.found_at
"""


def discover(actor: Actor, filters: Filters, report: Report | None = None) -> list[Found]:
    """Search now; what was found and passes `filters`. `report` hears how far it is.

    Asks the named service where there is one, with the filters as its query. Opens its own
    transactions, none while the network is asked; results are kept as they come, and replace
    the last ones once all is asked. Raises BadGateway (the service fails, or no networks are
    configured), Conflict (called off), TooMany, Unavailable; Invalid for too many addresses.
    """
    require(actor, "engineer")
    if service := settings().discovery_url:
        found = _asked_of(service, filters)
    elif settings().discovery_networks:
        found = _searched(report)
    else:
        raise BadGateway(NO_NETWORKS)
    return [one for one in found if filters.matches(one)]


def discovered(tx: Tx, actor: Actor, filters: Filters) -> list[Found]:
    """The last results that pass `filters`, in the order of their addresses."""
    require(actor, "viewer")
    return [one for one in _all(tx) if filters.matches(one)]


def _all(tx: Tx) -> list[Found]:
    found = [_found(row) for row in tx.session.scalars(select(DiscoveredDevice))]
    return sorted(found, key=Found.place)


def known(tx: Tx, macs: Sequence[str]) -> dict[str, Found]:
    """Those of the last results that have one of these MACs."""
    rows = tx.session.scalars(
        select(DiscoveredDevice).where(col(DiscoveredDevice.mac).in_(list(macs)))
    )
    return {row.mac: _found(row) for row in rows}


def _found(row: DiscoveredDevice) -> Found:
    return Found.model_validate(row.model_dump(exclude={"found_at"}))


# --- a named service ------------------------------------------------------------------------------


def _asked_of(service: str, filters: Filters) -> list[Found]:
    query = filters.as_query()
    try:
        found = asyncio.run(network.from_service(service, query))
    except BadGateway as error:
        log.warning("discovery_service_failed", error=error.detail)
        raise
    began = db.run(lambda tx: tx.now)
    _keep(found)
    if not query:
        _drop_older(began)
        searches.end(began)
    searches.news()
    return found


# --- our own search -------------------------------------------------------------------------------


def _searched(report: Report | None) -> list[Found]:
    asked = db.run(lambda tx: tx.now)
    with _alone(report) as waited:
        completed = searches.last_completed() if waited else None
        if completed is not None and completed >= asked:
            return db.run(_all)
        return asyncio.run(_search(report))


@contextmanager
def _alone(report: Report | None) -> Iterator[bool]:
    """Nobody else searches meanwhile; True if somebody did, and was waited for."""
    if not _seats.acquire(blocking=False):
        raise TooMany("Many wait for one search already; ask for the last results.", retry_after=5)
    try:
        with closing(_connected()) as connection:
            waited = False
            while not _locked(connection):
                waited = True
                search = searches.current()
                if report is not None and search is not None:
                    report(Progress(search.asked, search.total, search.found))
                time.sleep(TELL_S)
            yield waited
    finally:
        _seats.release()


def _connected() -> psycopg.Connection[tuple[object, ...]]:
    """A connection that holds the lock as long as it lives, whatever becomes of this process."""
    try:
        connection = db.connect()
    except psycopg.OperationalError as error:
        raise Unavailable("The database does not answer.", retry_after=5) from error
    connection.autocommit = True
    return connection


def _locked(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    try:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (db.Lock.SEARCH,)).fetchone()
    except psycopg.OperationalError as error:
        raise Unavailable("The database does not answer.", retry_after=5) from error
    return bool(row and row[0])


async def _search(report: Report | None) -> list[Found]:
    """Ask the network; keep and show what answers a few times a second."""
    search = Search(await asyncio.to_thread(db.run, lambda tx: tx.now))
    fresh: list[Found] = []
    shown: dict[str, str] = {}
    called_off = False
    completed: datetime | None = None

    def heard(progress: Progress) -> None:
        nonlocal search
        search = Search(search.began, *progress)
        if report is not None:
            report(progress)

    await asyncio.to_thread(searches.begin, search)
    probe = asyncio.create_task(
        network.probe(heard, on_found=fresh.append, is_over=lambda: called_off)
    )
    try:
        while not probe.done():
            await asyncio.wait({probe}, timeout=TELL_S)
            some, fresh[:] = list(fresh), []
            called_off = await asyncio.to_thread(_tell, search, some, shown) or called_off
        found = probe.result()
        if called_off:
            raise Conflict("The search was called off.")
        completed = await asyncio.to_thread(_complete, found, shown, search.began)
        return found
    finally:
        await asyncio.to_thread(searches.end, completed)


def _tell(search: Search, some: Sequence[Found], shown: dict[str, str]) -> bool:
    """Keep what has answered, show how far it is; True if it was called off."""
    _keep(some)
    shown.update((one.mac, one.ip) for one in some)
    searches.tell(search)
    return searches.is_called_off()


def _complete(found: Sequence[Found], shown: Mapping[str, str], began: datetime) -> datetime:
    """The result stands as it is, without what was there before."""
    # Of two addresses with one MAC the first counts, whichever answered last.
    _keep([one for one in found if shown.get(one.mac) != one.ip])
    return _drop_older(began)


def _keep(found: Sequence[Found]) -> None:
    each = sorted({one.mac: one for one in found}.values(), key=lambda one: one.mac)
    for first in range(0, len(each), KEEP_AT_ONCE):
        some = each[first : first + KEEP_AT_ONCE]
        db.run(lambda tx, some=some: _put(tx, some), attempt_s=4)


def _put(tx: Tx, found: Sequence[Found]) -> None:
    columns = zip(*((f.mac, f.ip, f.hostname, f.kind, Jsonb(f.info)) for f in found), strict=True)
    tx.cursor().execute(_KEEP, (tx.now, *map(list, columns)))


def _drop_older(began: datetime) -> datetime:
    """When it was done."""

    def drop(tx: Tx) -> datetime:
        tx.session.execute(delete(DiscoveredDevice).where(col(DiscoveredDevice.found_at) < began))
        return tx.now

    return db.run(drop)
