"""Logs of devices: whether they are read, how that goes, and what they say.

A log is read where a person turned its tracing on (`trace_logs`), or listens to it
(`log_listening`): whoever stops listening does not take away what somebody else had turned on.
"""

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

from pydantic import BaseModel

from testbench.adapters import db, device_logs
from testbench.adapters.db import Tx
from testbench.adapters.device_logs import LogLine
from testbench.domain.devices import POLLED
from testbench.domain.errors import BadRequest, Conflict
from testbench.domain.identity import Actor, require
from testbench.models import Device
from testbench.services import devices

MAX_TAIL = 1000


class LogListening(BaseModel):
    """Whether the log's lines are told to whoever follows the fleet's events."""

    listening: bool


class LogView(BaseModel):
    """How the reading of a device's log stands."""

    id: uuid.UUID
    name: str
    can_be_read: bool
    """Whether devices of this kind have a log that the bench can read."""
    traced: bool
    listening: bool
    has_lines: bool
    state: Literal["off", "waiting", "connecting", "connected", "reconnecting", "stopped"]
    """`waiting`: no collector has taken it up; `stopped`: given up after the last attempt."""
    attempt: int
    error: str


def listening(tx: Tx, actor: Actor, device_id: str) -> LogListening:
    """Whether somebody listens to the log."""
    require(actor, "viewer")
    return LogListening(listening=devices.find(tx, device_id).log_listening)


def listen(tx: Tx, actor: Actor, device_id: str, enabled: bool) -> LogListening:
    """Listen to a log, which monitors the device and reads its log; or do so no longer.

    Conflict for a kind that has no log to read, BadRequest for a device without an address.
    """
    require(actor, "engineer")
    device = devices.find(tx, device_id, lock=True)
    if enabled:
        _read(tx, device)
    device.log_listening = enabled
    tx.emit("devices", device.id)
    return LogListening(listening=enabled)


def trace(tx: Tx, actor: Actor, device_id: str, enabled: bool) -> None:
    """Read a log and tell its lines, or stop both, whoever had asked for it; else as `listen`."""
    require(actor, "engineer")
    device = devices.find(tx, device_id, lock=True)
    if enabled:
        _read(tx, device)
    device.log_listening = enabled
    if not enabled:
        device.trace_logs = False
    tx.emit("devices", device.id)


def retry(tx: Tx, actor: Actor, device_id: str) -> None:
    """Try to connect anew, after the attempts were used up."""
    require(actor, "engineer")
    _try_anew(tx, devices.find(tx, device_id))


def _read(tx: Tx, device: Device) -> None:
    if device.kind not in POLLED:
        raise Conflict(f"The bench can read no log of devices of kind {device.kind!r}.")
    if not device.ip:
        raise BadRequest("The device has no address, so its log cannot be read.")
    device.tracing = True
    _try_anew(tx, device)


def _try_anew(tx: Tx, device: Device) -> None:
    tx.after_commit(partial(device_logs.retry, device.id))


def view(tx: Tx, actor: Actor, device_id: str) -> LogView:
    """How the reading of a log stands; needs no more than the database while Redis is away."""
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    traced = device.tracing and (device.trace_logs or device.log_listening)
    reading = device_logs.reading(device.id) if traced else None
    return LogView(
        id=device.id,
        name=device.name,
        can_be_read=device.kind in POLLED,
        traced=traced,
        listening=device.log_listening,
        has_lines=device_logs.has_lines(device.id),
        state=reading.state if reading else "waiting" if traced else "off",
        attempt=reading.attempt if reading else 0,
        error=reading.error if reading else "",
    )


class Opened(NamedTuple):
    """What a stream of a log begins with."""

    id: uuid.UUID
    lines: Sequence[LogLine]
    last: str
    """The place after which it goes on."""


def open_(actor: Actor, device_id: str, tail: int, after: str | None) -> Opened:
    """The lines after the place `after`, or the newest `tail` lines.

    NotFound if there is no such device, Unavailable while the store of logs is away.
    """
    require(actor, "viewer")
    id = db.run(lambda tx: devices.find(tx, device_id).id)
    last = after or device_logs.now()
    lines = device_logs.tail(id, tail) if after is None else device_logs.follow({id: after}).get(id)
    return Opened(id, lines or (), lines[-1].id if lines else last)
