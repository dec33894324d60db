"""Readings in InfluxDB: written synchronously as line protocol, read by InfluxQL.

One measurement, `readings`, with the tags device and metric. Every point carries both fields, so
that a number written over a string (or the other way round) leaves nothing of it behind:
`value` (0 where it is no number) and `other` (JSON of a string or bool, else empty).
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, cast

import msgspec
import numpy as np
import urllib3
from influxdb_client._sync.api_client import ApiClient
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from testbench.adapters.db import Tx
from testbench.adapters.stores import series
from testbench.adapters.stores.base import Point, Reading, Value, Written
from testbench.domain.criteria import Series
from testbench.domain.errors import BadRequest, Unavailable
from testbench.domain.telemetry import DAY_MS

CALL_TIMEOUT_MS = 4_000
WINDOW_TIMEOUT_MS = 120_000
CHUNK_ROWS = 50_000

# Metric names have no control characters, so one can stand for the backslash, which line protocol
# cannot carry at the end of a tag.
_BACKSLASH = "\x1c"
_TAG = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", "\\": _BACKSLASH})

_NUMBER = "other = ''"
_json = msgspec.json.Decoder()


class _Rows(TypedDict):
    """One series of an answer."""

    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]


class InfluxStore:
    """The `Store` on InfluxDB: 1.x (the bucket is the database) and 2.x (a DBRP mapping)."""

    def __init__(self, *, url: str, token: str, org: str, bucket: str) -> None:
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=CALL_TIMEOUT_MS)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._api: ApiClient = cast("ApiClient", self._client.api_client)
        self._bucket = bucket

    def write(self, tx: Tx, readings: Sequence[Reading]) -> Written:
        """Ask what is there, then write what differs; Unavailable if InfluxDB is away."""
        if not readings:
            return Written(0, 0)
        _note_series(tx, readings)
        last = {(r[0], r[1], r[2]): r[3] for r in readings}
        stored = self._stored(last)
        new = {key: value for key, value in last.items() if not _same(stored.get(key), value)}
        if new:
            self._write("\n".join(_line(key, value) for key, value in new.items()))
        return Written(len(new), len(readings) - len(new))

    def window(
        self, tx: Tx, device_id: uuid.UUID, metrics: Sequence[str], start: int, end: int
    ) -> dict[str, Series]:
        """Read in chunks, straight into arrays."""
        return {metric: self._window(device_id, metric, start, end) for metric in metrics}

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
        return {
            metric: self._thin(_where(device_id, metric, start, end), max_points)
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
        """One statement for each of them, in one call."""
        width = -(-(end - start) // stretches)
        asked = [
            f"SELECT mean(value) FROM readings WHERE {_where(*key, start, end - 1)} AND {_NUMBER}"
            f" GROUP BY time({width}ms, {start % width}ms) fill(none)"
            for key in wanted
        ]
        found: dict[tuple[uuid.UUID, str], list[float | None]] = {}
        for index, rows in self._query(asked):
            shape = found.setdefault(wanted[index], [None] * stretches)
            for ts, mean in rows["values"]:
                shape[min((int(ts) - start) // width, stretches - 1)] = float(mean)
        return found

    def latest(
        self, tx: Tx, device_ids: Sequence[uuid.UUID]
    ) -> Mapping[uuid.UUID, dict[str, Point]]:
        """The last point of each series."""
        asked = [
            f"SELECT value, other FROM readings WHERE device = '{device_id}'"
            " GROUP BY metric ORDER BY time DESC LIMIT 1"
            for device_id in device_ids
        ]
        newest: dict[uuid.UUID, dict[str, Point]] = {}
        for index, rows in self._query(asked):
            found = newest.setdefault(device_ids[index], {})
            found[_name(rows["tags"]["metric"])] = _point(*rows["values"][0])
        return newest

    def metrics(self, tx: Tx, device_id: uuid.UUID) -> list[str]:
        """The values of the tag."""
        asked = f"SHOW TAG VALUES FROM readings WITH KEY = metric WHERE device = '{device_id}'"
        return sorted(
            _name(value) for _, rows in self._query([asked]) for _, value in rows["values"]
        )

    def delete(
        self,
        tx: Tx,
        device_id: uuid.UUID,
        *,
        before: int | None = None,
        seconds: float | None = None,
    ) -> bool:
        """By its tag, all at once: InfluxDB drops whole blocks."""
        until = "" if before is None else f" AND time < {before}ms"
        self._do(f"DELETE FROM readings WHERE device = '{device_id}'{until}")
        return True

    def prepare(self, days_ahead: int) -> None:
        """InfluxDB makes its shards itself."""

    def expire(self, days: int) -> None:
        """Everything before; a retention policy of the bucket does it as well."""
        before = int(time.time() * 1000) - days * DAY_MS
        self._do(f"DELETE FROM readings WHERE time < {before}ms")

    def _stored(
        self, wanted: Iterable[tuple[uuid.UUID, str, int]]
    ) -> dict[tuple[uuid.UUID, str, int], Value]:
        """What stands at the times of a batch, and between them."""
        times: dict[uuid.UUID, list[int]] = {}
        for device_id, _, ts in wanted:
            times.setdefault(device_id, []).append(ts)
        devices = list(times)
        asked = [
            f"SELECT value, other FROM readings WHERE device = '{device_id}'"
            f" AND time >= {min(moments)}ms AND time <= {max(moments)}ms GROUP BY metric"
            for device_id, moments in times.items()
        ]
        return {
            (devices[index], _name(rows["tags"]["metric"]), point.ts): point.value
            for index, rows in self._query(asked)
            for point in _points(rows)
        }

    def _window(self, device_id: uuid.UUID, metric: str, start: int, end: int) -> Series:
        where = _where(device_id, metric, start, end)
        asked = f"SELECT value, other FROM readings WHERE {where}"
        chunks = [rows["values"] for _, rows in self._query([asked], WINDOW_TIMEOUT_MS)]
        columns = [np.array([row[:2] for row in chunk], np.float64) for chunk in chunks]
        if not columns:
            return Series.empty()
        table = np.concatenate(columns)
        texts = (row[2] for chunk in chunks for row in chunk)
        other = {i: json.loads(text) for i, text in enumerate(texts) if text}
        values = table[:, 1].copy()
        values[list(other)] = np.nan
        return Series(table[:, 0].astype(np.int64), values, other)

    def _thin(self, where: str, max_points: int) -> list[Point]:
        read = f"SELECT value, other FROM readings WHERE {where}"
        rows = self._points(f"{read} LIMIT {max_points + 1}")
        if len(rows) <= max_points:
            return rows
        first = rows[0].ts
        last = self._points(f"{read} ORDER BY time DESC LIMIT 1")[0].ts
        others = self._points(f"{read} AND other != ''")
        width = -(-(last - first + 1) // max(1, max_points // (3 if others else 2)))
        points = set(self._extremes(where, first, width))
        points |= set({(point.ts - first) // width: point for point in others}.values())
        return sorted(points, key=lambda point: point.ts)

    def _extremes(self, where: str, first: int, width: int) -> Iterator[Point]:
        """`top` and `bottom` keep the times of the points, where `max` and `min` do not."""
        for statement in ("top", "bottom"):
            asked = (
                f"SELECT {statement}(value, 1) FROM readings WHERE {where} AND {_NUMBER}"
                f" GROUP BY time({width}ms, {first % width}ms) fill(none)"
            )
            for _, rows in self._query([asked]):
                yield from (Point(int(ts), float(value)) for ts, value in rows["values"])

    def _points(self, statement: str) -> list[Point]:
        return [point for _, rows in self._query([statement]) for point in _points(rows)]

    def _query(
        self, statements: Sequence[str], timeout_ms: int = CALL_TIMEOUT_MS
    ) -> Iterator[tuple[int, _Rows]]:
        """Each series of each answer, with the index of its statement."""
        if not statements:
            return
        options = {"chunked": "true", "chunk_size": str(CHUNK_ROWS)}
        body = self._call(";".join(statements), options, timeout_ms)
        for line in body.splitlines():
            answer = _json.decode(line)
            _refuse(answer)
            for result in answer.get("results", ()):
                _refuse(result)
                for found in result.get("series", ()):
                    rows = cast("_Rows", {"tags": {}, "values": [], **found})
                    yield result["statement_id"], rows

    def _do(self, statement: str) -> None:
        for _ in self._query([statement]):
            pass

    def _call(self, statement: str, options: Mapping[str, str], timeout_ms: int) -> bytes:
        try:
            answer = self._api.call_api(
                "/query",
                "POST",
                query_params={"db": self._bucket, "epoch": "ms", **options},
                header_params={"Content-Type": "application/x-www-form-urlencoded"},
                post_params=[("q", statement)],
                _preload_content=False,
                _request_timeout=timeout_ms,
                _return_http_data_only=True,
            )
            return cast("bytes", answer.data)  # type: ignore[union-attr]  # untyped client
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _translated(error) from error

    def _write(self, lines: str) -> None:
        try:
            self._writer.write(
                self._bucket,
                record=lines.encode(),
                write_precision=cast("WritePrecision", WritePrecision.MS),
            )
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _translated(error) from error


def _note_series(tx: Tx, readings: Sequence[Reading]) -> None:
    known = series.known()
    new = {(r[0], r[1]) for r in readings if r[1] not in known.get(r[0], ())}
    if new:
        series.ensure(tx, new)


def _translated(error: Exception) -> BadRequest | Unavailable:
    """A refusal of the data ends with it; everything else is worth another try."""
    if isinstance(error, ApiException) and error.status in (400, 422):
        return BadRequest(f"InfluxDB refused the readings: {error.body}")
    return Unavailable("InfluxDB does not answer.", retry_after=5)


def _refuse(answer: Mapping[str, Any]) -> None:
    if "error" in answer:
        raise Unavailable(f"InfluxDB could not answer: {answer['error']}", retry_after=5)


def _where(device_id: uuid.UUID, metric: str, start: int, end: int) -> str:
    name = metric.replace("\\", _BACKSLASH).replace("'", "\\'")
    return f"device = '{device_id}' AND metric = '{name}' AND time >= {start}ms AND time <= {end}ms"


def _name(tag: str) -> str:
    return tag.replace(_BACKSLASH, "\\")


def _line(key: tuple[uuid.UUID, str, int], value: Value) -> str:
    device_id, metric, ts = key
    tags = f"readings,device={device_id},metric={metric.translate(_TAG)}"
    if not isinstance(value, str | bool):
        return f'{tags} value={float(value)!r},other="" {ts}'
    text = json.dumps(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'{tags} value=0,other="{text}" {ts}'


def _points(rows: _Rows) -> Iterator[Point]:
    return (_point(*row) for row in rows["values"])


def _point(ts: int, value: float, other: str) -> Point:
    return Point(int(ts), json.loads(other) if other else float(value))


def _same(stored: Value | None, value: Value) -> bool:
    """1.0 and True are equal to Python, but not the same reading."""
    return stored == value and isinstance(stored, bool) == isinstance(value, bool)
