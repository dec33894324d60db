"""Readings come in through this one function, whatever the door."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

import psycopg
import structlog
from psycopg.types.json import Jsonb

from testbench.adapters import bus, db, live, stores
from testbench.adapters.db import Tx
from testbench.adapters.stores import Reading, partitions
from testbench.adapters.stores import series as keys
from testbench.domain import telemetry
from testbench.domain.errors import BadRequest
from testbench.domain.ids import new_id
from testbench.domain.telemetry import Sent, Value
from testbench.services.telemetry import presence
from testbench.services.telemetry.lag import lag
from testbench.services.telemetry.presence import News

log = structlog.get_logger()

TOPIC = "telemetry"
MAX_CACHED = 100_000

_new = tuple.__new__
_units: dict[keys.Key, str] = {}
_learned: set[uuid.UUID] = set()


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


class UnknownDevice(BadRequest):
    """It was removed while its message was on the way."""


class Ingested(NamedTuple):
    """What became of a batch; every value is in one of them."""

    accepted: int
    duplicates: int
    refused: Mapping[int, BadRequest]
    """By index of the message: nothing of it was stored, it was kept as a validation error."""


@dataclass(slots=True)
class _Batch:
    """A batch, checked: what to store, what to keep as refused, whom it was heard from."""

    readings: list[Reading] = field(default_factory=list[Reading])
    newest: dict[uuid.UUID, dict[str, tuple[int, Value]]] = field(
        default_factory=dict[uuid.UUID, dict[str, tuple[int, Value]]]
    )
    heard: dict[uuid.UUID, News] = field(default_factory=dict[uuid.UUID, News])
    units: dict[keys.Key, str] = field(default_factory=dict[keys.Key, str])
    refused: dict[int, BadRequest] = field(default_factory=dict[int, BadRequest])


def ingest(messages: Sequence[Message], *, attempt_s: float = 1.4) -> Ingested:
    """Validate, store, and only then tell; acknowledge when this returns, not before.

    Opens its own transaction. One bad message costs only itself. Raises Unavailable if nothing
    was, or may not have been, stored: the same batch again is then right, for equal readings
    count as duplicates.
    """
    checked = [_check(message) for message in messages]
    try:
        ingested = _ingest(messages, checked, attempt_s)
    except Exception:
        if messages:
            lag().failed(messages[0].received)
        raise
    if messages:
        lag().stored(messages[0].received)
    return ingested


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
    presence.note(tx, batch.heard, now)
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
            batch.refused[index] = UnknownDevice(
                "The device is unknown.", errors=[("", "comes from an unknown device")]
            )
            continue
        heard = batch.heard.get(device_id)
        if heard is None:
            heard = batch.heard[device_id] = News()
        if isinstance(sent, BadRequest):
            batch.refused[index] = sent
            heard.seqs += getattr(sent, "seqs", ())
            continue
        _take(batch, heard, message, sent)
    return batch


def _take(batch: _Batch, heard: News, message: Message, sent: Sent) -> None:
    device_id = message.device_id
    if sent.seqs:
        heard.seqs += sent.seqs
    # What the bench stamps itself cannot be off, whatever the device's clock said before.
    heard.clock_off_ms = 0 if sent.newest is None else sent.newest - message.received
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
