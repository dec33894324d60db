"""Dashboards in Grafana: which are wanted, and what is still to be saved, published or deleted.

The rows are the outbox. Nothing here is ever part of a poll: a Grafana that fails costs dashboards
and nothing else.
"""

import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from testbench.adapters import db, grafana
from testbench.adapters.db import Tx
from testbench.domain import dashboards, links
from testbench.domain.dashboards import Source, Subject
from testbench.domain.errors import BenchError
from testbench.domain.times import ms
from testbench.models import GrafanaDashboard
from testbench.settings import settings

log = structlog.get_logger()

BUDGET_S = 5.0
"""A turn of the clock's; what is left waits for the next."""
FIRST_PAUSE_S, MAX_PAUSE_S = 2.0, 300.0

# Monitored: polled by the bench, or heard of by itself; and there is something to see.
_WANTED = """
SELECT d.id, d.name, d.kind,
    CASE WHEN d.kind = 'axeos' THEN '{}'::jsonb ELSE coalesce(
        (SELECT jsonb_object_agg(s.metric, coalesce(s.unit, '')) FROM series s
         WHERE s.device_id = d.id), '{}') END
FROM devices d
WHERE d.removed_at IS NULL AND (d.tracing OR d.kind <> 'axeos')
    AND EXISTS (SELECT FROM presence p WHERE p.device_id = d.id)
    AND (%(id)s::uuid IS NULL OR d.id = %(id)s)
"""


class _Outage:
    """How often in a row Grafana did not answer: the pause doubles."""

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0

    def begins(self) -> None:
        """Nothing is tried for 2 s, then 4 s … at most 5 min."""
        self.count += 1
        self.until = time.monotonic() + pause_s(self.count)

    def over(self) -> None:
        """It answered."""
        self.count = 0

    def lasts(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self.until


@lru_cache
def _outage() -> _Outage:
    return _Outage()


def pause_s(failures: int) -> float:
    """Until the next try after so many in vain."""
    return min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 16))


def source() -> Source:
    """Where dashboards read from: as the settings say, else the store in use."""
    named = settings()
    kind = named.grafana_source or ("influxdb" if named.influxdb_url else "postgres")
    return Source(kind, named.grafana_source_uid)


def url_of(
    device_id: uuid.UUID | None, start: datetime | None = None, end: datetime | None = None
) -> str | None:
    """The dashboard of a device (None: the fleet's) over a time; None without Grafana."""
    uid = dashboards.uid_of(device_id) if device_id else dashboards.FLEET_UID
    span = (ms(start) if start else None, ms(end) if end else None)
    return links.dashboard(settings().grafana_url, uid, *span)


def url_of_run(
    tx: Tx, device_ids: list[uuid.UUID], start: datetime | None, end: datetime | None
) -> str | None:
    """The dashboard of a run's device over its window, or the fleet's with its devices chosen."""
    if not settings().grafana_url or start is None or end is None:
        return None
    if len(device_ids) == 1 and made(tx, device_ids):
        return url_of(device_ids[0], start, end)
    span = ms(start), ms(end)
    return links.dashboard(
        settings().grafana_url, dashboards.FLEET_UID, *span, devices=[str(id) for id in device_ids]
    )


def made(tx: Tx, device_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those whose dashboard Grafana has."""
    rows = select(col(GrafanaDashboard.device_id)).where(
        col(GrafanaDashboard.device_id).in_(list(device_ids)),
        col(GrafanaDashboard.url).is_not(None),
        col(GrafanaDashboard.deleting).is_(False),
    )
    return {id for id in tx.session.scalars(rows) if id is not None}


def plan() -> int:
    """Finds dashboards that are missing or no longer as they should be; how many are due now.

    Monitored devices have one, and so has the fleet once there is one of those, or AUTO_LISTEN.
    """
    if not settings().grafana_url:
        return 0
    with db.transaction() as tx:
        subjects = _subjects(tx)
        wanted: dict[uuid.UUID | None, Subject | None] = {one.id: one for one in subjects}
        if wanted or settings().auto_listen:
            wanted[None] = None
        rows = tx.session.execute(
            select(
                col(GrafanaDashboard.device_id),
                col(GrafanaDashboard.digest),
                col(GrafanaDashboard.due_at).is_not(None) | col(GrafanaDashboard.deleting),
            )
        )
        has = {id: (digest, busy) for id, digest, busy in rows}
        due = [id for id, subject in wanted.items() if _differs(has.get(id), subject)]
        for id in due:
            _mark(tx, id)
    return len(due)


def _subjects(tx: Tx, device_id: uuid.UUID | None = None) -> list[Subject]:
    rows = tx.cursor().execute(_WANTED, {"id": device_id})
    return [Subject(id, name, kind, metrics) for id, name, kind, metrics in rows]


def _differs(has: tuple[str | None, bool] | None, subject: Subject | None) -> bool:
    """`has`: the digest of what Grafana has, and whether there is something to be done with it."""
    if has is None:
        return True
    digest, busy = has
    return not busy and digest != _digest(subject)


def _digest(subject: Subject | None) -> str:
    named = settings()
    at = f"{named.grafana_url} {named.public_url}"
    return dashboards.digest_of(subject, source(), public=named.grafana_public, at=at)


def _mark(tx: Tx, device_id: uuid.UUID | None) -> None:
    """Due now; one that is asked to be deleted at this very moment is left to that."""
    uid = dashboards.uid_of(device_id) if device_id else dashboards.FLEET_UID
    new = insert(GrafanaDashboard).values(
        uid=uid, device_id=device_id, deleting=False, failures=0, due_at=func.now()
    )
    tx.session.execute(
        new.on_conflict_do_update(
            index_elements=["uid"],
            set_={"due_at": func.now(), "failures": 0},
            where=col(GrafanaDashboard.deleting).is_(False),
        )
    )


def verify() -> bool:
    """Whether Grafana still has the fleet's dashboard; if it lost that, all are made anew."""
    if not settings().grafana_url or _outage().lasts():
        return True
    with db.transaction() as tx:
        row = tx.session.get(GrafanaDashboard, dashboards.FLEET_UID)
    if row is None or row.digest is None:
        return True
    try:
        if grafana.exists(row.uid):
            return True
    except BenchError as error:
        log.warning("grafana_not_verified", error=error.detail[:200])
        return True
    with db.transaction() as tx:
        tx.session.execute(update(GrafanaDashboard).values(digest=None, public_token=None))
    log.warning("grafana_forgot_its_dashboards")
    return False


def forget(tx: Tx, device_id: uuid.UUID) -> None:
    """Take a device's dashboard out of Grafana, as soon as Grafana answers."""
    tx.session.execute(
        update(GrafanaDashboard)
        .where(col(GrafanaDashboard.device_id) == device_id)
        .values(deleting=True, due_at=func.now(), failures=0)
    )


def work_off() -> int:
    """Do what is due for some seconds; how many dashboards are done. The clock calls it again."""
    if not settings().grafana_url or _outage().lasts():
        return 0
    end, done = time.monotonic() + BUDGET_S, 0
    while time.monotonic() < end:
        row = _next()
        if row is None:
            break
        try:
            after = _deleted(row) if row.deleting else _saved(row)
        except grafana.Away as error:
            _outage().begins()
            _failed(row, error)
            break
        except BenchError as error:
            _failed(row, error)
        else:
            _done(row, after)
            done += 1
        _outage().over()
    return done


def _next() -> GrafanaDashboard | None:
    with db.transaction() as tx:
        return tx.session.scalar(
            select(GrafanaDashboard)
            .where(col(GrafanaDashboard.due_at) <= func.now())
            .order_by(col(GrafanaDashboard.due_at))
            .limit(1)
        )


def _saved(row: GrafanaDashboard) -> dict[str, Any]:
    """What the row says after the dashboard was saved, and published where that is wanted."""
    subject: Subject | None = None
    if row.device_id is not None:
        with db.transaction() as tx:
            subject = next(iter(_subjects(tx, row.device_id)), None)
        if subject is None:  # removed or no longer monitored: it stays as it is
            return {}
    digest, public, bench = _digest(subject), settings().grafana_public, settings().public_url
    if subject is None:
        document = dashboards.fleet_dashboard(source(), bench_url=bench, public=public)
    else:
        document = dashboards.device_dashboard(subject, source(), bench_url=bench)
    path = grafana.save(document, "Made by Testbench")
    token = row.public_token
    if public:
        token = grafana.publish(row.uid)
    elif token:
        grafana.unpublish(row.uid)
        token = None
    return {"url": path or f"/d/{row.uid}", "digest": digest, "public_token": token}


def _deleted(row: GrafanaDashboard) -> dict[str, Any] | None:
    if row.public_token or settings().grafana_public:
        grafana.unpublish(row.uid)
    grafana.delete(row.uid)
    return None


def _done(row: GrafanaDashboard, after: dict[str, Any] | None) -> None:
    """None: it is gone. What was asked meanwhile (a deletion, say) stays due."""
    with db.transaction() as tx:
        kept = tx.session.get(GrafanaDashboard, row.uid, with_for_update=True)
        if kept is None:
            return
        if after is None:
            tx.session.delete(kept)
        else:
            kept.error, kept.failures = None, 0
            for name, value in after.items():
                setattr(kept, name, value)
            if not kept.deleting:
                kept.due_at = None
        if row.device_id is not None:
            tx.emit("devices", row.device_id)
    log.info("dashboard_deleted" if after is None else "dashboard_saved", uid=row.uid)


def _failed(row: GrafanaDashboard, error: BenchError) -> None:
    with db.transaction() as tx:
        kept = tx.session.get(GrafanaDashboard, row.uid, with_for_update=True)
        if kept is None or kept.deleting != row.deleting:
            return
        kept.failures += 1
        kept.error = error.detail[:500]
        kept.due_at = tx.now + timedelta(seconds=pause_s(kept.failures))
    log.warning("dashboard_waits", uid=row.uid, failures=row.failures + 1, error=error.detail[:200])


def trouble(tx: Tx) -> str | None:
    """What Grafana said last to a dashboard that waits, for the page of the bench's health."""
    rows = tx.session.scalars(
        select(GrafanaDashboard)
        .where(col(GrafanaDashboard.error).is_not(None))
        .order_by(col(GrafanaDashboard.failures).desc())
    ).all()
    if not rows:
        return None
    several = f"{len(rows)} dashboards wait" if len(rows) > 1 else "a dashboard waits"
    return f"{several}: {rows[0].error}"
