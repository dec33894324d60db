"""Monitoring: which devices are polled and by whom, and what becomes of their answers."""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import psycopg
import structlog
from psycopg.types.json import Jsonb
from sqlmodel import col

from testbench.adapters import bus, db, live
from testbench.adapters.db import Tx
from testbench.domain.axeos import Parsed, standing_of
from testbench.domain.devices import POLLED, normal_mac
from testbench.domain.errors import Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.sharing import keeper, phase
from testbench.domain.times import at
from testbench.models import Device
from testbench.services import devices, telemetry
from testbench.services.devices import DeviceView
from testbench.services.telemetry import Message
from testbench.settings import settings

log = structlog.get_logger()

LEASE_S = 6.0
"""A collector that did not renew for so long is taken for dead; others poll its devices."""
INFO_EVERY_S = 60.0
"""So often the database has what a device says, where only measured values change."""
MAX_CACHED = 100_000
FORGET_COLLECTOR = timedelta(days=1)
NO_VALUES = "The device's answer holds no measured values."


class Polled(NamedTuple):
    """A device that is polled."""

    id: uuid.UUID
    ip: str
    mac: str | None
    interval_s: float
    trace_logs: bool
    error: str | None
    """Why its last poll failed, as far as the database knows."""


class Poll(NamedTuple):
    """One poll, and what it brought: an answer, or why there is none."""

    device: Polled
    at: int
    """When the answer came, in ms since 1970."""
    answer: Parsed | None = None
    error: str | None = None


# --- which devices ------------------------------------------------------------------------------

_IMPRINTED = """
SELECT id, mac, tracing, trace_logs, log_listening FROM devices
WHERE removed_at IS NULL AND kind = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_DROP = """
UPDATE devices SET tracing = false, trace_logs = false, log_listening = false, poll_error = NULL
WHERE id = ANY(%s)
"""
_MONITOR = """
UPDATE devices SET tracing = true, trace_logs = coalesce(%(traced)s, trace_logs),
    log_listening = log_listening AND coalesce(%(traced)s, true)
WHERE id = ANY(%(ids)s)
"""


class _Known(NamedTuple):
    """A device that could be monitored, and whether it is."""

    id: uuid.UUID
    mac: str | None
    tracing: bool
    trace_logs: bool
    log_listening: bool

    def is_wanted(self, chosen: set[str] | None) -> bool:
        """One registered by its address alone has no MAC before its first answer."""
        return self.mac in chosen if chosen is not None else self.tracing or self.mac is not None

    def changes(self, trace_logs: bool | None) -> bool:
        """Whether it is not yet as it is wanted."""
        if trace_logs is False and self.log_listening:
            return True
        return not self.tracing or trace_logs not in (None, self.trace_logs)


def listen(
    tx: Tx, actor: Actor, macs: Sequence[str] | None = None, trace_logs: bool | None = None
) -> list[DeviceView]:
    """The monitored devices become these (None: all that are imprinted); the others are dropped.

    `trace_logs` is set for all of them, None leaves it. Raises Invalid for what is no MAC,
    NotFound for one that no imprinted device has.
    """
    require(actor, "engineer")
    kept = _become(tx, None if macs is None else _normal(macs), trace_logs)
    rows = tx.session.execute(devices.query().where(col(Device.id).in_(kept)).order_by(Device.id))
    return devices.views(list(rows))


def listen_to_all(tx: Tx) -> None:
    """What AUTO_LISTEN does at the start."""
    _become(tx, None, None)


def _become(tx: Tx, chosen: set[str] | None, trace_logs: bool | None) -> list[uuid.UUID]:
    found = [_Known(*row) for row in tx.cursor().execute(_IMPRINTED, (list(POLLED),))]
    if chosen is not None:
        _check_known(chosen, found)
    wanted = [device for device in found if device.is_wanted(chosen)]
    kept = [device.id for device in wanted]
    _drop(tx, {device.id for device in found if device.tracing} - set(kept))
    _monitor(tx, [one.id for one in wanted if one.changes(trace_logs)], trace_logs)
    return kept


def monitor(tx: Tx, actor: Actor, ids: Sequence[str | uuid.UUID], *, on: bool) -> set[uuid.UUID]:
    """These are polled from now on, or no longer; the others stay. Those it could be done to."""
    require(actor, "engineer")
    wanted = set(map(str, ids))
    rows = tx.cursor().execute(_IMPRINTED, (list(POLLED),))
    found = [known for row in rows if str((known := _Known(*row)).id) in wanted]
    if on:
        _monitor(tx, [one.id for one in found if one.changes(None)], None)
    else:
        _drop(tx, {one.id for one in found if one.tracing})
    return {one.id for one in found}


def _normal(macs: Sequence[str]) -> set[str]:
    chosen: set[str] = set()
    for index, mac in enumerate(macs):
        try:
            chosen.add(normal_mac(mac))
        except Invalid as error:
            errors = [(f"macs.{index}", "must be six pairs of hex digits")]
            raise Invalid("Not a MAC address.", errors=errors) from error
    return chosen


def _check_known(chosen: set[str], found: Sequence[_Known]) -> None:
    unknown = sorted(chosen - {device.mac for device in found if device.mac})
    if unknown:
        listed = ", ".join(unknown[:10])
        raise NotFound(f"No imprinted device has the MAC {listed}.")


def _drop(tx: Tx, ids: set[uuid.UUID]) -> None:
    dropped = sorted(ids)
    tx.cursor().execute(_DROP, (dropped,))
    for id in dropped:
        tx.emit("devices", id)
        tx.emit("removed", id)
    tx.after_commit(partial(live.forget_infos, dropped))


def _monitor(tx: Tx, ids: Sequence[uuid.UUID], trace_logs: bool | None) -> None:
    tx.cursor().execute(_MONITOR, {"traced": trace_logs, "ids": list(ids)})
    for id in ids:
        tx.emit("devices", id)


# --- by whom ------------------------------------------------------------------------------------

_RENEW = """
INSERT INTO collectors (name, lease_until)
VALUES (%s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (name) DO UPDATE SET lease_until = EXCLUDED.lease_until
"""
_POLLED = """
SELECT id, ip, mac, coalesce(poll_interval_s, %s), trace_logs OR log_listening, poll_error
FROM devices
WHERE removed_at IS NULL AND tracing AND ip IS NOT NULL AND kind = ANY(%s)
"""


def shared_out(tx: Tx, name: str) -> list[Polled]:
    """Renew this collector's lease; the devices that are its own among those that live."""
    cursor = tx.cursor()
    cursor.execute(_RENEW, (name, LEASE_S))
    living = "SELECT name FROM collectors WHERE lease_until > clock_timestamp()"
    names = [one for (one,) in cursor.execute(living)]
    rows = cursor.execute(_POLLED, (settings().poll_interval_s, list(POLLED)))
    return [Polled(*row) for row in rows if keeper(row[0], names) == name]


def leave(tx: Tx, name: str) -> None:
    """This collector stops: the others need not wait until its lease runs out."""
    cursor = tx.cursor()
    cursor.execute(
        "DELETE FROM collectors WHERE name = %s OR lease_until < clock_timestamp() - %s",
        (name, FORGET_COLLECTOR),
    )


# --- what becomes of it -------------------------------------------------------------------------


class _Written(NamedTuple):
    """What this process last wrote of a device."""

    error: str | None = None
    standing: bytes | None = None
    again: float = 0.0
    """When its `info` is due anyway, monotonic."""


_NOTHING = _Written()
_written: dict[uuid.UUID, _Written] = {}


def record(polls: Sequence[Poll], *, attempt_s: float = 1.4) -> None:
    """Store a batch of polls, at most one a device, and tell who follows them.

    Opens its own transactions. Raises Unavailable where the database is away: the same batch
    again is then right.
    """
    checked = _adopted([_checked(poll) for poll in polls], attempt_s)
    good = [poll for poll in checked if poll.answer is not None]
    if good:
        telemetry.ingest([_message(poll) for poll in good], attempt_s=attempt_s)
        live.put_infos({p.device.id: (p.at, p.answer.info) for p in good if p.answer})
    _keep(checked, attempt_s)
    failed = [bus.Event("poll_errors", str(poll.device.id)) for poll in checked if poll.error]
    if failed:
        bus.publish(failed)


def _checked(poll: Poll) -> Poll:
    """A poll that another device answered, or that brought nothing, has failed."""
    answer, expected = poll.answer, poll.device.mac
    if answer is None:
        return poll
    if expected is not None and answer.mac is not None and answer.mac != expected:
        return _failed(poll, f"The device answers as {answer.mac}, expected {expected}.")
    return poll if answer.metrics else _failed(poll, NO_VALUES)


def _failed(poll: Poll, error: str) -> Poll:
    return poll._replace(answer=None, error=error)


def _adopted(polls: list[Poll], attempt_s: float) -> list[Poll]:
    """Devices known by their address alone take over the first MAC they answer with."""
    found: dict[uuid.UUID, str] = {
        poll.device.id: poll.answer.mac
        for poll in polls
        if poll.device.mac is None and poll.answer is not None and poll.answer.mac
    }
    if not found:
        return polls
    macs = _macs(found, attempt_s)
    return [_with_mac(poll, macs) if poll.device.id in found else poll for poll in polls]


def _macs(found: Mapping[uuid.UUID, str], attempt_s: float) -> dict[uuid.UUID, str | None]:
    """The MAC that each has now; None where another device has it."""
    try:
        return db.run(partial(_adopt, found=found), attempt_s=attempt_s)
    except psycopg.errors.UniqueViolation:
        # Somebody else has just taken one of them.
        if len(found) == 1:
            return dict.fromkeys(found)
        each = [_macs({id: mac}, attempt_s) for id, mac in found.items()]
        return {id: mac for one in each for id, mac in one.items()}


def _with_mac(poll: Poll, macs: Mapping[uuid.UUID, str | None]) -> Poll:
    mac = macs.get(poll.device.id)
    if mac is None:
        answered = poll.answer.mac if poll.answer else ""
        return _failed(poll, f"The device answers as {answered}, which another device has.")
    return _checked(poll._replace(device=poll.device._replace(mac=mac)))


_ADOPT = """
UPDATE devices d SET mac = w.mac FROM unnest(%s::uuid[], %s::text[]) AS w (id, mac)
WHERE d.id = w.id AND d.mac IS NULL AND d.removed_at IS NULL
    AND NOT EXISTS (SELECT FROM devices o WHERE o.mac = w.mac AND o.removed_at IS NULL)
RETURNING d.id
"""


def _adopt(tx: Tx, found: Mapping[uuid.UUID, str]) -> dict[uuid.UUID, str | None]:
    # Of two addresses that lead to one device, the one registered first.
    firsts = {mac: id for id, mac in sorted(found.items(), reverse=True)}
    cursor = tx.cursor()
    cursor.execute(_ADOPT, (list(firsts.values()), list(firsts)))
    for (id,) in cursor.fetchall():
        tx.emit("devices", id)
    cursor.execute("SELECT id, mac FROM devices WHERE id = ANY(%s)", (list(found),))
    return {**dict.fromkeys(found), **dict(cursor.fetchall())}


def _message(poll: Poll) -> Message:
    metrics = poll.answer.metrics if poll.answer else {}
    values = {name: value for name, (value, _) in metrics.items()}
    units = {name: unit for name, (_, unit) in metrics.items() if unit}
    return Message(poll.device.id, values, "poll", poll.at, units)


def _keep(polls: Sequence[Poll], attempt_s: float) -> None:
    """Write down what polls say beside readings, where it is news."""
    moment = time.monotonic()
    marks = {p.device.id: standing_of(p.answer.info) for p in polls if p.answer is not None}
    news = [poll for poll in polls if _is_news(poll, marks.get(poll.device.id), moment)]
    if not news:
        return
    try:
        db.run(partial(_write, polls=news, marks=marks), attempt_s=attempt_s)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        _keep_each(news, error, attempt_s)
    else:
        _remember(news, marks, moment)


def _keep_each(polls: Sequence[Poll], error: Exception, attempt_s: float) -> None:
    """The database refused something of these: find it, and let the rest through."""
    if len(polls) == 1:
        log.error("poll_not_kept", device=str(polls[0].device.id), error=type(error).__name__)
        return
    for poll in polls:
        _keep([poll], attempt_s)


def _is_news(poll: Poll, mark: bytes | None, moment: float) -> bool:
    written = _written.get(poll.device.id, _NOTHING)
    if poll.error != poll.device.error or poll.error != written.error:
        return True
    return mark is not None and (mark != written.standing or moment > written.again)


def _remember(polls: Iterable[Poll], marks: Mapping[uuid.UUID, bytes], moment: float) -> None:
    if len(_written) > MAX_CACHED:
        _written.clear()
    for poll in polls:
        id = poll.device.id
        before = _written.get(id, _NOTHING)
        # The first time sooner, each at its own: a fleet that began together is spread out.
        share = 0.5 + 0.5 * phase(id) if before.standing is None else 1.0
        again = moment + share * INFO_EVERY_S if id in marks else before.again
        _written[id] = _Written(poll.error, marks.get(id, before.standing), again)


_LOCK = """
SELECT id, poll_error FROM devices
WHERE id = ANY(%s) AND removed_at IS NULL AND tracing ORDER BY id FOR NO KEY UPDATE
"""
_WRITE_ERROR = "UPDATE devices SET poll_error = %s WHERE id = %s"
# What was read back after a change may be newer than a poll that waited.
_WRITE_INFO = """
UPDATE devices SET hostname = coalesce(%(hostname)s, hostname), info = %(info)s, info_at = %(at)s
WHERE id = %(id)s AND (info_at IS NULL OR info_at <= %(at)s)
"""


def _write(tx: Tx, polls: Sequence[Poll], marks: Mapping[uuid.UUID, bytes]) -> None:
    cursor = tx.cursor()
    ids = [poll.device.id for poll in polls]
    errors: dict[uuid.UUID, str | None] = dict(cursor.execute(_LOCK, (ids,)).fetchall())
    kept = [poll for poll in polls if poll.device.id in errors]
    changed = [poll for poll in kept if poll.error != errors[poll.device.id]]
    if changed:
        cursor.executemany(_WRITE_ERROR, [(poll.error, poll.device.id) for poll in changed])
    answered = [_info_row(poll, poll.answer) for poll in kept if poll.answer is not None]
    if answered:
        cursor.executemany(_WRITE_INFO, answered)
    others = [p for p in kept if p.answer and _stands_otherwise(p.device.id, marks[p.device.id])]
    for poll in (*changed, *others):
        tx.emit("devices", poll.device.id)


def _info_row(poll: Poll, answer: Parsed) -> dict[str, object]:
    return {
        "id": poll.device.id,
        "at": at(poll.at),
        "info": Jsonb(answer.info),
        "hostname": answer.hostname,
    }


def _stands_otherwise(device_id: uuid.UUID, mark: bytes) -> bool:
    return _written.get(device_id, _NOTHING).standing not in (None, mark)
