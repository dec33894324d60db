"""Readings come in through one function, whatever the door, and are read back for charts."""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import psycopg
import structlog
from psycopg.types.json import Jsonb
from pydantic import BaseModel
from sqlmodel import col, select

from testbench.adapters import bus, db, live, stores, throttle
from testbench.adapters.db import Tx
from testbench.adapters.stores import Reading, partitions
from testbench.adapters.stores import series as keys
from testbench.domain import telemetry
from testbench.domain.errors import BadRequest, Invalid, Unauthenticated, Unavailable
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.domain.telemetry import Heard, Sent, Value, metric_fault
from testbench.domain.tokens import token_hash
from testbench.models import ValidationError
from testbench.services import devices, lists
from testbench.settings import settings

log = structlog.get_logger()

TOPIC = "telemetry"
PRESENCE_EVERY_S = 1.0
CLOCK_STEP_MS = 500
"""A clock that moved less is not written down again."""
TOKEN_TTL_S = 2.0
MAX_CACHED = 100_000


class Message(NamedTuple):
    """What a door received from one device."""

    device_id: uuid.UUID
    payload: bytes | bytearray | object
    """As it came, or already decoded (a poll's answer)."""
    door: str
    """`http`, `mqtt`, `poll`, …: kept with what is refused."""
    received: int
    """When it arrived, in ms; the time of values that carry none."""
    units: Mapping[str, str] | None = None
    """Units of its metrics, where the door knows them."""
    fault: str | None = None
    """Why the door itself refuses it; it is then only kept."""


class Ingested(NamedTuple):
    """What became of a batch; every value is in one of them."""

    accepted: int
    duplicates: int
    refused: Mapping[int, BadRequest]
    """By index of the message: nothing of it was stored, it was kept as a validation error."""


class SeriesView(BaseModel):
    """One metric's points, for a chart."""

    metric: str
    unit: str | None
    points: list[tuple[datetime, float | str | bool]]


class TelemetryView(BaseModel):
    """The answer of `GET /api/devices/{id}/telemetry`."""

    series: list[SeriesView]


class FieldError(BaseModel):
    """Where a payload is wrong, and why."""

    loc: str
    msg: str


class ValidationErrorView(BaseModel):
    """A refused message."""

    id: uuid.UUID
    at: datetime
    door: str
    errors: list[FieldError]
    payload: str


@dataclass(slots=True)
class _Heard:
    """What a batch says about one device beside its readings."""

    seqs: list[int] = field(default_factory=list[int])
    clock_off_ms: int | None = None


@dataclass(slots=True)
class _Batch:
    """A batch, checked: what to store, what to keep as refused, whom it was heard from."""

    readings: list[Reading] = field(default_factory=list[Reading])
    newest: dict[uuid.UUID, dict[str, tuple[int, Value]]] = field(
        default_factory=dict[uuid.UUID, dict[str, tuple[int, Value]]]
    )
    heard: dict[uuid.UUID, _Heard] = field(default_factory=dict[uuid.UUID, _Heard])
    units: dict[keys.Key, str] = field(default_factory=dict[keys.Key, str])
    refused: dict[int, BadRequest] = field(default_factory=dict[int, BadRequest])


# What this process wrote last, so that a device costs one write a second and not one a message.
_new = tuple.__new__
_presence: dict[uuid.UUID, tuple[float, int]] = {}
_units: dict[keys.Key, str] = {}
_learned: set[uuid.UUID] = set()
_tokens: dict[str, tuple[uuid.UUID, float]] = {}


def ingest(messages: Sequence[Message], *, attempt_s: float = 1.4) -> Ingested:
    """Validate, store, and only then tell; acknowledge when this returns, not before.

    Opens its own transaction. One bad message costs only itself. Raises Unavailable if nothing
    was, or may not have been, stored: the same batch again is then right, for equal readings
    count as duplicates.
    """
    checked = [_check(message) for message in messages]
    return _ingest(messages, checked, attempt_s)


def _ingest(
    messages: Sequence[Message], checked: Sequence[Sent | BadRequest], attempt_s: float
) -> Ingested:
    work = partial(_store, messages=messages, checked=checked)
    try:
        try:
            return db.run(work, attempt_s=attempt_s)
        except partitions.NoPartition:
            return db.run(work, attempt_s=attempt_s)
    except (psycopg.DataError, psycopg.IntegrityError, BadRequest) as error:
        if len(messages) == 1:
            return _refuse_alone(messages, error, attempt_s)
    return _halves(messages, checked, attempt_s)


def _refuse_alone(messages: Sequence[Message], error: Exception, attempt_s: float) -> Ingested:
    log.error("unstorable_message", door=messages[0].door, error=type(error).__name__)
    fault = BadRequest("The store refused the message.", errors=[("", "cannot be stored")])
    return db.run(partial(_store, messages=messages, checked=[fault]), attempt_s=attempt_s)


def _halves(
    messages: Sequence[Message], checked: Sequence[Sent | BadRequest], attempt_s: float
) -> Ingested:
    """The store refused something in this batch: find it, and let the rest through."""
    middle = len(messages) // 2
    one = _ingest(messages[:middle], checked[:middle], attempt_s)
    two = _ingest(messages[middle:], checked[middle:], attempt_s)
    moved = {index + middle: error for index, error in two.refused.items()}
    return Ingested(
        one.accepted + two.accepted, one.duplicates + two.duplicates, {**one.refused, **moved}
    )


def _check(message: Message) -> Sent | BadRequest:
    if message.fault is not None:
        return BadRequest(f"The message {message.fault}.", errors=[("", message.fault)])
    try:
        if isinstance(message.payload, bytes | bytearray):
            return telemetry.parse(message.payload, message.received)
        return telemetry.check(message.payload, message.received)
    except BadRequest as error:
        return error


def _store(tx: Tx, messages: Sequence[Message], checked: Sequence[Sent | BadRequest]) -> Ingested:
    now = tx.now
    present = _present(tx, {message.device_id for message in messages})
    batch = _sort(messages, checked, present)
    if batch.refused:
        _keep_refused(tx, messages, batch.refused, present)
    _note_presence(tx, batch.heard, now)
    written = stores.store().write(tx, batch.readings)
    _learn_units(tx, set(batch.newest))
    _note_units(tx, batch.units)
    tx.after_commit(partial(_show, batch, now))
    return Ingested(written.accepted, written.duplicates, batch.refused)


def _present(tx: Tx, ids: set[uuid.UUID]) -> dict[uuid.UUID, bool]:
    """Which of these devices exist, and whether they still belong to the bench."""
    rows = tx.cursor().execute(
        "SELECT id, removed_at IS NULL FROM devices WHERE id = ANY(%s)", (list(ids),)
    )
    return dict(rows.fetchall())


def _sort(
    messages: Sequence[Message],
    checked: Sequence[Sent | BadRequest],
    present: Mapping[uuid.UUID, bool],
) -> _Batch:
    batch = _Batch()
    for index, (message, sent) in enumerate(zip(messages, checked, strict=True)):
        device_id = message.device_id
        if not present.get(device_id):
            batch.refused[index] = BadRequest(
                "The device is unknown.", errors=[("", "comes from an unknown device")]
            )
            continue
        heard = batch.heard.get(device_id)
        if heard is None:
            heard = batch.heard[device_id] = _Heard()
        if isinstance(sent, BadRequest):
            batch.refused[index] = sent
            heard.seqs += getattr(sent, "seqs", ())
            continue
        _take(batch, heard, message, sent)
    return batch


def _take(batch: _Batch, heard: _Heard, message: Message, sent: Sent) -> None:
    device_id = message.device_id
    if sent.seqs:
        heard.seqs += sent.seqs
    if sent.newest is not None:
        heard.clock_off_ms = sent.newest - message.received
    newest = batch.newest.get(device_id)
    if newest is None:
        newest = batch.newest[device_id] = {}
    # `tuple.__new__`, because calling a NamedTuple takes three times as long.
    batch.readings += [_new(Reading, (device_id, *point)) for point in sent.points]
    for metric, ts, value in sent.points:
        old = newest.get(metric)
        if old is None or ts >= old[0]:
            newest[metric] = (ts, value)
    if message.units:
        batch.units |= {(device_id, metric): unit for metric, unit in message.units.items()}


# --- beside the readings ------------------------------------------------------------------------

_KEEP = """
INSERT INTO validation_errors (id, device_id, at, door, errors, payload)
VALUES (%s, %s, clock_timestamp(), %s, %s, %s)
"""


def _keep_refused(
    tx: Tx,
    messages: Sequence[Message],
    refused: Mapping[int, BadRequest],
    present: Mapping[uuid.UUID, bool],
) -> None:
    rows = [
        (
            new_id(),
            messages[index].device_id if messages[index].device_id in present else None,
            messages[index].door,
            Jsonb([{"loc": loc, "msg": msg} for loc, msg in error.errors]),
            _excerpt(messages[index].payload),
        )
        for index, error in refused.items()
    ]
    tx.cursor().executemany(_KEEP, rows)
    log.info("messages_refused", count=len(rows), door=messages[next(iter(refused))].door)


def _excerpt(payload: object) -> str:
    raw = (
        payload
        if isinstance(payload, bytes | bytearray)
        else repr(payload).encode("utf-8", "replace")
    )
    return telemetry.excerpt(raw)


_LOCK_PRESENCE = """
SELECT device_id, online, seq, missing, gaps FROM presence
WHERE device_id = ANY(%s) ORDER BY device_id FOR UPDATE
"""
_NEW_PRESENCE = """
INSERT INTO presence (device_id, last_seen, online, missing, gaps, clock_off_ms)
SELECT id, %s, false, 0, '[]', 0 FROM unnest(%s::uuid[]) AS id ORDER BY id
ON CONFLICT (device_id) DO NOTHING
"""
_WRITE_PRESENCE = """
UPDATE presence p SET last_seen = greatest(p.last_seen, %s), online = true,
    seq = w.seq, missing = w.missing, gaps = w.gaps,
    clock_off_ms = coalesce(w.clock_off_ms, p.clock_off_ms)
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::jsonb[], %s::bigint[])
    AS w (device_id, seq, missing, gaps, clock_off_ms)
WHERE p.device_id = w.device_id
"""


def _note_presence(tx: Tx, heard: Mapping[uuid.UUID, _Heard], now: datetime) -> None:
    moment = time.monotonic()
    due = sorted(id for id, news in heard.items() if _is_due(id, news, moment))
    if not due:
        return
    before = _lock_presence(tx, due, now)
    cursor = tx.cursor()
    after = [telemetry.follow(before[id][1], heard[id].seqs) for id in due]
    clocks = [heard[id].clock_off_ms for id in due]
    cursor.execute(
        _WRITE_PRESENCE,
        (
            now,
            due,
            [state.seq for state in after],
            [state.missing for state in after],
            [Jsonb(state.gaps) for state in after],
            clocks,
        ),
    )
    for id in due:
        if not before[id][0]:
            tx.emit("devices", id)
    tx.after_commit(partial(_remember_presence, due, heard, moment))


def _lock_presence(
    tx: Tx, ids: list[uuid.UUID], now: datetime
) -> dict[uuid.UUID, tuple[bool, Heard]]:
    """What is known of each, held against other processes; a new device gets its row."""
    cursor = tx.cursor()
    rows = cursor.execute(_LOCK_PRESENCE, (ids,)).fetchall()
    if len(rows) < len(ids):
        cursor.execute(_NEW_PRESENCE, (now, ids))
        rows = cursor.execute(_LOCK_PRESENCE, (ids,)).fetchall()
    return {
        id: (online, Heard(seq, missing, tuple((a, b) for a, b in gaps)))
        for id, online, seq, missing, gaps in rows
    }


def _is_due(device_id: uuid.UUID, news: _Heard, moment: float) -> bool:
    written = _presence.get(device_id)
    if news.seqs or written is None or moment - written[0] >= PRESENCE_EVERY_S:
        return True
    return news.clock_off_ms is not None and abs(news.clock_off_ms - written[1]) > CLOCK_STEP_MS


def _remember_presence(
    due: Sequence[uuid.UUID], heard: Mapping[uuid.UUID, _Heard], moment: float
) -> None:
    if len(_presence) > MAX_CACHED:
        _presence.clear()
    for id in due:
        clock = heard[id].clock_off_ms
        _presence[id] = (moment, clock if clock is not None else _presence.get(id, (0, 0))[1])


def _learn_units(tx: Tx, device_ids: set[uuid.UUID]) -> None:
    """The units that were written down before this process first heard of a device."""
    if len(_learned) > MAX_CACHED:
        _learned.clear()
    if fresh := device_ids - _learned:
        _units.update(keys.units(tx, list(fresh)))
        _learned.update(fresh)


def _note_units(tx: Tx, units: Mapping[keys.Key, str]) -> None:
    changed = {key: unit for key, unit in units.items() if _units.get(key) != unit}
    if changed:
        keys.set_units(tx, changed)
        tx.after_commit(partial(_units.update, changed))


def _show(batch: _Batch, now: datetime) -> None:
    """Redis and the bus, once committed; without Redis there is nobody to tell."""
    updates: dict[uuid.UUID, live.Update] = {
        id: {"seen": now, "points": batch.newest.get(id, {})} for id in batch.heard
    }
    if live.put(updates, _units):
        bus.publish(bus.Event(TOPIC, str(id)) for id in updates)


# --- doors --------------------------------------------------------------------------------------


def authenticate(token: str, address: str) -> uuid.UUID:
    """The device whose credential this is; Unauthenticated, or TooMany after many failures.

    An answer holds for 2 s, so a renewed or removed credential ends within that.
    """
    digest = token_hash(token)
    cached = _tokens.get(digest)
    if cached is not None and cached[1] > time.monotonic():
        return cached[0]
    device_id = db.run(partial(_by_hash, digest=digest))
    if device_id is None:
        _tokens.pop(digest, None)
        login_failed(address, "http")
        raise Unauthenticated("The device's credential is unknown.")
    if len(_tokens) > MAX_CACHED:
        _tokens.clear()
    _tokens[digest] = (device_id, time.monotonic() + TOKEN_TTL_S)
    return device_id


def admit(username: str, password: str) -> tuple[uuid.UUID, str] | None:
    """The device that logs in over MQTT, and its token's hash; None if the credential is wrong.

    Either its id and its token, or (as ThingsBoard has it) its token as the name.
    """
    try:
        claimed, digest = uuid.UUID(username), token_hash(password)
    except ValueError:
        claimed, digest = None, token_hash(username)
    device_id = db.run(partial(_by_hash, digest=digest))
    if device_id is None or (claimed is not None and claimed != device_id):
        return None
    return device_id, digest


def credentials(device_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The token hashes of those that still belong to the bench."""
    return db.run(partial(_hashes, device_ids=list(device_ids)))


def login_failed(address: str, door: str, device: str = "") -> None:
    """Log a failed login of a device, and count it; TooMany if there were too many."""
    log.warning("device_login_failed", address=address, door=door)
    try:
        throttle.hit(settings().device_login_limit, "device-login", address, device)
    except Unavailable:
        log.warning("device_throttle_away")


def _by_hash(tx: Tx, digest: str) -> uuid.UUID | None:
    row = (
        tx.cursor()
        .execute("SELECT id FROM devices WHERE token_hash = %s AND removed_at IS NULL", (digest,))
        .fetchone()
    )
    return row[0] if row else None


def _hashes(tx: Tx, device_ids: list[uuid.UUID]) -> dict[uuid.UUID, str]:
    rows = tx.cursor().execute(
        "SELECT id, token_hash FROM devices"
        " WHERE id = ANY(%s) AND removed_at IS NULL AND token_hash IS NOT NULL",
        (device_ids,),
    )
    return dict(rows.fetchall())


# --- reads --------------------------------------------------------------------------------------


def series(
    tx: Tx,
    actor: Actor,
    device_id: str | uuid.UUID,
    metrics: Sequence[str] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    max_points: int = 500,
) -> TelemetryView:
    """A device's points between two times, both included; everything where none is given.

    Up to `max_points` a metric come back whole, more are thinned to their minima and maxima.
    """
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    first, last = _bounds(tx, start, end)
    store = stores.store()
    names = _named(metrics) if metrics else store.metrics(tx, device.id)
    points = store.downsampled(tx, device.id, names, first, last, max_points)
    units = keys.units(tx, [device.id])
    return TelemetryView(
        series=[
            SeriesView(
                metric=name,
                unit=units.get((device.id, name)),
                points=[(_moment(ts), value) for ts, value in points[name]],
            )
            for name in names
        ]
    )


def _bounds(tx: Tx, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """The window in ms, cut to where readings can be."""
    if start and end and end < start:
        raise Invalid("The window ends before it starts.", errors=[("end", "is before start")])
    latest = _ms(tx.now) + 2 * telemetry.DAY_MS
    first = max(_ms(start), telemetry.EARLIEST_MS) if start else telemetry.EARLIEST_MS
    return min(first, latest), min(_ms(end), latest) if end else latest


def _named(metrics: Sequence[str]) -> list[str]:
    faults = [(f"metric.{i}", fault) for i, m in enumerate(metrics) if (fault := metric_fault(m))]
    if faults:
        raise Invalid("A metric has no such name.", errors=faults)
    return list(dict.fromkeys(metrics))


def validation_errors(
    tx: Tx, actor: Actor, device_id: str | uuid.UUID, limit: int = 100, cursor: str | None = None
) -> lists.Page[ValidationErrorView]:
    """What was refused of a device, newest first."""
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    statement = select(ValidationError).where(col(ValidationError.device_id) == device.id)
    rows, following = lists.page(
        tx, statement, col(ValidationError.id), limit, cursor, uuid.UUID, newest_first=True
    )
    items = [ValidationErrorView.model_validate(row[0].model_dump()) for row in rows]
    return lists.Page[ValidationErrorView](items=items, next_cursor=following)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(ts: int) -> datetime:
    return datetime.fromtimestamp(ts / 1000, UTC)
