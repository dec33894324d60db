"""Readings in PostgreSQL: written by COPY, read as one value straight into arrays."""

import json
import math
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import errors as pg_errors

from testbench.adapters.db import Tx, transaction
from testbench.adapters.stores import partitions, series
from testbench.adapters.stores.base import Point, Reading, Value, Written
from testbench.domain.criteria import Series
from testbench.domain.telemetry import DAY_MS

PG_EPOCH_MS = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts its microseconds."""

# One row of COPY BINARY (PostgreSQL manual, COPY, "Binary Format"): a count of fields, then each
# field's length and bytes; length -1 is NULL.
_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NUMBER_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("size_id", ">i4"),
        ("series_id", ">i4"),
        ("size_ts", ">i4"),
        ("ts", ">i8"),
        ("size_value", ">i4"),
        ("value", ">f8"),
        ("size_other", ">i4"),
    ]
)
_OTHER_ROW = struct.Struct(">hiiiqii")
_READ_ROW = np.dtype([("ts", ">i8"), ("value", ">f8")])

BLOCK_ROWS = 2_000_000
REPEATS_S = 5.0
"""Where readings came twice more will: so long every batch goes by the upsert at once."""

_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS staged_readings (
    series_id integer, ts timestamptz, value double precision, other text
) ON COMMIT DELETE ROWS
"""
_STAGE_IN = "COPY staged_readings FROM STDIN (FORMAT binary)"
_COPY_IN = "COPY readings (series_id, ts, value, other) FROM STDIN (FORMAT binary)"
_UPSERT = """
INSERT INTO readings AS r (series_id, ts, value, other)
SELECT series_id, ts, value, other FROM staged_readings ORDER BY series_id, ts
ON CONFLICT (series_id, ts) DO UPDATE SET value = EXCLUDED.value, other = EXCLUDED.other
WHERE (r.value, r.other) IS DISTINCT FROM (EXCLUDED.value, EXCLUDED.other)
"""
# All rows as one value of 16 bytes each: a row by itself costs the client twenty times as much.
# NaN, which no device may send, stands for what is no number.
_WINDOW = """
SELECT string_agg(timestamptz_send(ts) || coalesce(float8send(value), float8send('NaN')), ''::bytea)
FROM (SELECT ts, value FROM readings
      WHERE series_id = %s AND ts BETWEEN %s AND %s ORDER BY ts LIMIT %s) AS w
"""
_OTHERS = """
SELECT ts, other FROM readings
WHERE series_id = %s AND ts BETWEEN %s AND %s AND value IS NULL ORDER BY ts
"""
_WHOLE = """
SELECT ts, value, other FROM readings
WHERE series_id = %s AND ts BETWEEN %s AND %s ORDER BY ts LIMIT %s
"""
_LAST = """
SELECT date_part('epoch', ts) FROM readings
WHERE series_id = %s AND ts BETWEEN %s AND %s ORDER BY ts DESC LIMIT 1
"""
# Arrays compare element by element: the smallest [value, at] is the earliest smallest value.
_EXTREMES = """
SELECT min(ARRAY[value, at]) FILTER (WHERE value IS NOT NULL),
       max(ARRAY[value, -at]) FILTER (WHERE value IS NOT NULL),
       max(ts) FILTER (WHERE value IS NULL)
FROM (SELECT ts, value, date_part('epoch', ts) AS at FROM readings
      WHERE series_id = %(id)s AND ts BETWEEN %(start)s AND %(end)s) AS w
GROUP BY floor((at - %(first)s) / %(width)s)
"""
_OTHERS_AT = "SELECT ts, value, other FROM readings WHERE series_id = %s AND ts = ANY(%s)"
_LATEST = """
SELECT s.device_id, s.metric, r.ts, r.value, r.other
FROM series s CROSS JOIN LATERAL (
    SELECT ts, value, other FROM readings WHERE series_id = s.id ORDER BY ts DESC LIMIT 1) r
WHERE s.device_id = ANY(%s)
"""
_SHAPES = """
SELECT series_id, floor((date_part('epoch', ts) * 1000 - %(first)s) / %(width)s)::int, avg(value)
FROM readings
WHERE series_id = ANY(%(ids)s) AND ts >= %(start)s AND ts < %(end)s AND value IS NOT NULL
GROUP BY 1, 2
"""
_METRICS = """
SELECT metric FROM series s
WHERE device_id = %s AND EXISTS (SELECT FROM readings WHERE series_id = s.id) ORDER BY metric
"""
_FIRST = "SELECT ts FROM readings WHERE series_id = %s AND ts < %s ORDER BY ts LIMIT 1"
_DELETE = "DELETE FROM readings WHERE series_id = %s AND ts >= %s AND ts < %s"


class PostgresStore:
    """The `Store` inside the bench's own database."""

    def __init__(self) -> None:
        self._repeats_until = 0.0

    def write(self, tx: Tx, readings: Sequence[Reading]) -> Written:
        """COPY where all is new, else an upsert by way of a temporary table."""
        if not readings:
            return Written(0, 0)
        last = _keyed(tx, readings)
        partitions.ensure({ts // DAY_MS for _, ts in last})
        rows = _rows(last)
        accepted = self._put(tx.cursor(), rows, len(last))
        return Written(accepted, len(readings) - accepted)

    def _put(self, cursor: psycopg.Cursor[Any], rows: bytes, count: int) -> int:
        """How many rows it changed."""
        try:
            if time.monotonic() >= self._repeats_until and _copied(cursor, rows):
                return count
            self._repeats_until = time.monotonic() + REPEATS_S
            return _upserted(cursor, rows)
        except partitions.NoPartition:
            partitions.forget()
            raise

    def window(
        self, tx: Tx, device_id: uuid.UUID, metrics: Sequence[str], start: int, end: int
    ) -> dict[str, Series]:
        """One value a metric, without a Python object a row."""
        ids = series.find(tx, device_id, metrics)
        cursor = tx.cursor()
        return {
            metric: _read_window(cursor, ids[metric], start, end)
            if metric in ids
            else Series.empty()
            for metric in metrics
        }

    def downsampled(
        self,
        tx: Tx,
        device_id: uuid.UUID,
        metrics: Sequence[str],
        start: int,
        end: int,
        max_points: int,
    ) -> dict[str, list[Point]]:
        """Minimum and maximum of equal stretches; of strings and bools the last of each."""
        ids = series.find(tx, device_id, metrics)
        cursor = tx.cursor()
        return {
            metric: _thin(cursor, ids[metric], start, end, max_points) if metric in ids else []
            for metric in metrics
        }

    def shapes(
        self,
        tx: Tx,
        wanted: Sequence[tuple[uuid.UUID, str]],
        start: int,
        end: int,
        stretches: int,
    ) -> Mapping[tuple[uuid.UUID, str], list[float | None]]:
        """One query for all of them."""
        names = {id: key for key, id in series.find_all(tx, wanted).items()}
        found: dict[tuple[uuid.UUID, str], list[float | None]] = {}
        values = {
            "ids": list(names),
            "first": start,
            "width": (end - start) / stretches,
            "start": _moment(start),
            "end": _moment(end),
        }
        for id, stretch, mean in tx.cursor().execute(_SHAPES, values):
            found.setdefault(names[id], [None] * stretches)[min(stretch, stretches - 1)] = mean
        return found

    def latest(
        self, tx: Tx, device_ids: Sequence[uuid.UUID]
    ) -> Mapping[uuid.UUID, dict[str, Point]]:
        """One look at the end of each series."""
        rows = tx.cursor().execute(_LATEST, (list(device_ids),))
        newest: dict[uuid.UUID, dict[str, Point]] = {}
        for device_id, metric, ts, value, other in rows:
            newest.setdefault(device_id, {})[metric] = _point(ts, value, other)
        return newest

    def metrics(self, tx: Tx, device_id: uuid.UUID) -> list[str]:
        """Those that still have a reading."""
        return [metric for (metric,) in tx.cursor().execute(_METRICS, (device_id,))]

    def delete(
        self,
        tx: Tx,
        device_id: uuid.UUID,
        *,
        before: int | None = None,
        seconds: float | None = None,
    ) -> bool:
        """Day by day. The series' keys stay, for other processes remember them."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        until = datetime.max.replace(tzinfo=UTC) if before is None else _moment(before)
        rows = tx.cursor().execute("SELECT id FROM series WHERE device_id = %s", (device_id,))
        return all(_delete_series(tx.cursor(), id, until, end) for (id,) in rows.fetchall())

    def prepare(self, days_ahead: int) -> None:
        """Partitions for today and the days after it."""
        today = partitions.day_of(int(datetime.now(UTC).timestamp() * 1000))
        partitions.ensure(range(today, today + days_ahead + 1))

    def expire(self, days: int) -> None:
        """Whole partitions are dropped, the rest is deleted."""
        with transaction() as tx:
            before = tx.now - timedelta(days=days)
        partitions.expire(before)


def _keyed(tx: Tx, readings: Sequence[Reading]) -> dict[tuple[int, int], Value]:
    """By (series, time); of equal ones the last."""
    try:
        return _by_key(series.known(), readings)
    except KeyError:
        known = series.known()
        new = [(r[0], r[1]) for r in readings if r[1] not in known.get(r[0], ())]
        made = series.ensure(tx, new)
        both = {id: {**known.get(id, {}), **ids} for id, ids in made.items()}
        return _by_key({**known, **both}, readings)


def _by_key(known: series.Ids, readings: Sequence[Reading]) -> dict[tuple[int, int], Value]:
    last: dict[tuple[int, int], Value] = {}
    device: uuid.UUID | None = None
    ids: dict[str, int] = {}
    for device_id, metric, ts, value in readings:
        if device_id is not device:
            device, ids = device_id, known[device_id]
        last[ids[metric], ts] = value
    return last


def _copied(cursor: psycopg.Cursor[Any], rows: bytes) -> bool:
    """False, and nothing done, if one of them was there already."""
    cursor.execute("SAVEPOINT before_copy")
    try:
        with cursor.copy(_COPY_IN) as copy:
            copy.write(rows)
    except pg_errors.UniqueViolation:
        cursor.execute("ROLLBACK TO before_copy")
        return False
    cursor.execute("RELEASE before_copy")
    return True


def _upserted(cursor: psycopg.Cursor[Any], rows: bytes) -> int:
    cursor.execute(_STAGE)
    with cursor.copy(_STAGE_IN) as copy:
        copy.write(rows)
    cursor.execute(_UPSERT)
    return cursor.rowcount


def _rows(last: Mapping[tuple[int, int], Value]) -> bytes:
    """The batch as COPY BINARY, in the order of the key: numbers as one array, others after.

    One order everywhere, so that two batches with the same readings cannot deadlock.
    """
    others = sorted(item for item in last.items() if isinstance(item[1], str | bool))
    if others:
        last = {key: value for key, value in last.items() if not isinstance(value, str | bool)}
    count = len(last)
    ids = np.fromiter((key[0] for key in last), np.int64, count)
    times = np.fromiter((key[1] for key in last), np.int64, count)
    values = np.fromiter(last.values(), np.float64, count)
    order = np.lexsort((times, ids))
    rows = np.empty(count, _NUMBER_ROW)
    rows["fields"], rows["size_id"], rows["size_ts"], rows["size_value"] = 4, 4, 8, 8
    rows["series_id"] = ids[order]
    rows["ts"] = (times[order] - PG_EPOCH_MS) * 1000
    rows["value"] = values[order]
    rows["size_other"] = -1
    return b"".join((_HEADER, rows.tobytes(), *(_other_row(*item) for item in others), _TRAILER))


def _other_row(key: tuple[int, int], value: Value) -> bytes:
    text = json.dumps(value, ensure_ascii=False).encode()
    micros = (key[1] - PG_EPOCH_MS) * 1000
    return _OTHER_ROW.pack(4, 4, key[0], 8, micros, -1, len(text)) + text


def _read_window(cursor: psycopg.Cursor[Any], id: int, start: int, end: int) -> Series:
    """In blocks, for a value of PostgreSQL ends at 1 GB."""
    blocks: list[npt.NDArray[Any]] = []
    while start <= end:
        limits = (id, _moment(start), _moment(end), BLOCK_ROWS)
        row = cursor.execute(_WINDOW, limits, binary=True).fetchone()
        if row is None or row[0] is None:
            break
        blocks.append(np.frombuffer(row[0], _READ_ROW))
        if len(blocks[-1]) < BLOCK_ROWS:
            break
        start = int(_ms(blocks[-1]["ts"][-1:])[0]) + 1
    if not blocks:
        return Series.empty()
    rows = np.concatenate(blocks)
    ts, values = _ms(rows["ts"]), rows["value"].astype(np.float64)
    gone = np.flatnonzero(np.isnan(values))
    if not len(gone):
        return Series(ts, values)
    cursor.execute(_OTHERS, (id, _moment(int(ts[0])), _moment(int(ts[-1]))))
    # By their time, for what was written meanwhile is in only one of the two answers.
    others = {round(at.timestamp() * 1000): json.loads(other) for at, other in cursor}
    named = {i: others[at] for i in gone.tolist() if (at := int(ts[i])) in others}
    return Series(ts, values, named)


def _delete_series(cursor: psycopg.Cursor[Any], id: int, until: datetime, end: float) -> bool:
    """Whole days from the first on, each found by its index; False once `end` has passed."""
    while (row := cursor.execute(_FIRST, (id, until)).fetchone()) is not None:
        start: datetime = row[0]
        cursor.execute(_DELETE, (id, start, min(until, start + timedelta(days=1))))
        if time.monotonic() > end:
            return False
    return True


def _thin(
    cursor: psycopg.Cursor[Any], id: int, start: int, end: int, max_points: int
) -> list[Point]:
    cursor.execute(_WHOLE, (id, _moment(start), _moment(end), max_points + 1))
    rows = cursor.fetchall()
    if len(rows) <= max_points:
        return [_point(*row) for row in rows]
    return _extremes(cursor, id, start, end, rows[0][0].timestamp(), max_points)


def _extremes(
    cursor: psycopg.Cursor[Any], id: int, start: int, end: int, first: float, max_points: int
) -> list[Point]:
    """Two points a stretch; three where strings or bools are among them."""
    cursor.execute(_LAST, (id, _moment(start), _moment(end)))
    row = cursor.fetchone()
    span = (row[0] if row else first) - first + 0.001
    limits: dict[str, object] = {"id": id, "start": _moment(start), "end": _moment(end)}
    for share in (2, 3):
        width = span / max(1, max_points // share)
        cursor.execute(_EXTREMES, {**limits, "first": first, "width": width})
        stretches = cursor.fetchall()
        moments = [moment for *_, moment in stretches if moment is not None]
        if not moments:
            break
    points = {_at(low) for low, _, _ in stretches if low is not None}
    points |= {_at((high[0], -high[1])) for _, high, _ in stretches if high is not None}
    if moments:
        cursor.execute(_OTHERS_AT, (id, moments))
        points |= {_point(*row) for row in cursor}
    return sorted(points, key=lambda point: point.ts)


def _at(pair: Sequence[float]) -> Point:
    return Point(round(pair[1] * 1000), pair[0])


def _moment(ts: int) -> datetime:
    return datetime.fromtimestamp(ts / 1000, UTC)


def _ms(micros: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return micros.astype(np.int64) // 1000 + PG_EPOCH_MS


def _point(ts: datetime, value: float | None, other: str | None) -> Point:
    at = round(ts.timestamp() * 1000)
    return Point(at, value if other is None else json.loads(other))  # type: ignore[arg-type]
