"""Partitions of `readings`: one a year before 2026, one a UTC day since, made when first needed.

A partition is made beside the table and then attached: that takes a lock which lets writers go on.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from psycopg import errors as pg_errors
from psycopg import sql

from testbench.adapters import db
from testbench.domain.telemetry import DAY_MS

DAILY_SINCE = date(2026, 1, 1)
_EPOCH = date(1970, 1, 1)


class _Known(NamedTuple):
    """What this process knows to be there."""

    names: set[str]
    days: set[int]


@lru_cache
def _known() -> _Known:
    return _Known(set(), set())


class Partition(NamedTuple):
    """A part of `readings`: from the start of one UTC day up to, not including, another."""

    name: str
    start: date
    end: date


def of_day(day: date) -> Partition:
    """The partition that holds `day`."""
    if day >= DAILY_SINCE:
        return Partition(f"readings_{day:%Y%m%d}", day, day + timedelta(days=1))
    return Partition(f"readings_{day.year}", date(day.year, 1, 1), date(day.year + 1, 1, 1))


def ensure(days: Iterable[int]) -> None:
    """Make what is missing for these days since 1970, in a transaction of its own."""
    known = _known()
    new = [day for day in days if day not in known.days]
    if not new:
        return
    wanted = {of_day(_EPOCH + timedelta(days=day)) for day in new}
    missing = sorted(part for part in wanted if part.name not in known.names)
    if missing:
        _make(missing)
        known.names.update(part.name for part in missing)
    known.days.update(new)


def day_of(ts: int) -> int:
    """Days since 1970 of a time in ms."""
    return ts // DAY_MS


def expire(before: datetime) -> None:
    """Drop the days that lie wholly before `before`, and older readings of its year."""
    for name in existing():
        part = _parse(name)
        if part is not None and part.end <= before.astimezone(UTC).date():
            with db.transaction() as tx:
                tx.cursor().execute(
                    sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(part.name))
                )
    forget()
    with db.transaction() as tx:
        tx.cursor().execute("DELETE FROM readings WHERE ts < %s", (before,))


def existing() -> list[str]:
    """Names of all partitions there are."""
    with db.transaction() as tx:
        rows = tx.cursor().execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'readings'::regclass ORDER BY 1"
        )
        return [name for (name,) in rows]


def forget() -> None:
    """Look again at what exists, after something was dropped."""
    _known.cache_clear()


def _make(parts: Iterable[Partition]) -> None:
    with db.transaction() as tx:
        cursor = tx.cursor()
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (db.Lock.PARTITIONS,))
        for part in parts:
            name = sql.Identifier(part.name)
            cursor.execute("SELECT to_regclass(%s)", (part.name,))
            if cursor.fetchone() != (None,):
                continue
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE readings INCLUDING ALL)").format(name))
            cursor.execute(
                sql.SQL(
                    "ALTER TABLE readings ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
                ).format(name, _bound(part.start), _bound(part.end))
            )


def _bound(day: date) -> sql.Literal:
    return sql.Literal(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _parse(name: str) -> Partition | None:
    digits = name.removeprefix("readings_")
    with suppress(ValueError):
        if len(digits) == len("20260101"):
            return of_day(datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date())
        return of_day(date(int(digits), 1, 1))
    return None


NoPartition = pg_errors.CheckViolation
"""What PostgreSQL says when a row has no partition to go to."""
