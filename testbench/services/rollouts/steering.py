"""What people do with a roll-out: start, stop, resume, take it back on one device."""

import re
import uuid
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, update
from sqlmodel import col

from testbench.adapters import db, sealing
from testbench.adapters.db import Tx
from testbench.domain.devices import POLLED, mac_or_none
from testbench.domain.errors import Conflict, Invalid
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.models import Rollout, RolloutDevice
from testbench.services import configurations, devices, presets
from testbench.services.rollouts.views import RolloutView, find, get

MAX_DEVICES = 10_000
MAX_KEY = 64
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED = """
SELECT id, name, kind, mac FROM devices
WHERE removed_at IS NULL AND (id = ANY(%s::uuid[]) OR mac = ANY(%s))
"""
_PARTS = """
INSERT INTO rollout_devices (rollout_id, device_id, position, name, status, detail, before)
SELECT %s, d.id, d.position - 1, d.name, 'pending', '', '{}'
FROM unnest(%s::uuid[], %s::text[]) WITH ORDINALITY AS d (id, name, position)
"""


class _Device(NamedTuple):
    id: uuid.UUID
    name: str
    kind: str
    mac: str | None


class RolloutBody(BaseModel):
    """What starts a roll-out: devices by id or MAC, the first one is the canary."""

    model_config = ConfigDict(extra="forbid")

    preset_id: str
    device_ids: Annotated[
        list[Annotated[str, Field(max_length=MAX_KEY)]],
        Field(min_length=1, max_length=MAX_DEVICES),
    ]
    max_failures: int = Field(default=1, ge=1, le=MAX_DEVICES, strict=True)
    """It stops when so many devices have failed; the canary's failure stops it at once."""


def start(tx: Tx, actor: Actor, body: RolloutBody) -> RolloutView:
    """Begin with the first device of `device_ids`.

    Raises NotFound for a preset or device that there is not, Invalid for an empty preset and for
    devices that take no settings, Unavailable if its secrets cannot be read.
    """
    require(actor, "engineer")
    preset = presets.find(tx, body.preset_id)
    configuration = presets.applied(preset)
    if not configuration:
        raise Invalid("The preset has no settings.", errors=[("preset_id", "is empty")])
    sealing.unseal(configuration)
    row = Rollout(
        id=new_id(),
        preset_id=preset.id,
        preset_name=preset.name,
        configuration=configuration,
        username=actor.username,
        created_at=tx.now,
        max_failures=body.max_failures,
        due_at=tx.now,
    )
    tx.session.add(row)
    tx.session.flush()
    chosen = _chosen(tx, body.device_ids)
    names = [device.name for device in chosen]
    tx.cursor().execute(_PARTS, (row.id, [device.id for device in chosen], names))
    _changed(tx, row)
    return get(tx, actor, row.id)


def _chosen(tx: Tx, device_ids: list[str]) -> list[_Device]:
    """Each device once, in the order they were named."""
    found = _named(tx, device_ids)
    chosen: dict[uuid.UUID, _Device] = {}
    for name in device_ids:
        device = found.get(mac_or_none(name) or name) or _found(tx, name)
        chosen.setdefault(device.id, device)
    unfit = [d for d in chosen.values() if d.kind not in POLLED]
    if unfit:
        errors = [(str(d.id), f"a {d.kind} device takes no settings from the bench") for d in unfit]
        raise Invalid("Not all devices take settings.", errors=errors[:20])
    return list(chosen.values())


def _named(tx: Tx, names: list[str]) -> dict[str, _Device]:
    """Those found by id or MAC, in one query: there may be thousands."""
    macs = [mac for name in names if (mac := mac_or_none(name))]
    keys = [name for name in names if _ID.fullmatch(name)]
    found = [_Device(*row) for row in tx.cursor().execute(_NAMED, (keys, macs))]
    return {d.mac: d for d in found if d.mac} | {str(d.id): d for d in found}


def _found(tx: Tx, name: str) -> _Device:
    """What is written unusually, or not there."""
    device = devices.find(tx, name)
    return _Device(device.id, device.name, device.kind, device.mac)


def stop(tx: Tx, actor: Actor, rollout_id: str | uuid.UUID) -> RolloutView:
    """Begin with no further device; those that are being configured are finished. Conflict."""
    require(actor, "engineer")
    row = find(tx, rollout_id, lock=True)
    if row.status != "running":
        raise Conflict(f"The roll-out is {row.status}.")
    row.status, row.reason, row.ended_at = "stopped", f"Stopped by {actor.username}.", tx.now
    tx.emit("rollouts", row.id)
    return get(tx, actor, row.id)


def resume(tx: Tx, actor: Actor, rollout_id: str | uuid.UUID) -> RolloutView:
    """Go on with what is pending or has failed; Conflict if it runs, or nothing is left."""
    require(actor, "engineer")
    row = find(tx, rollout_id, lock=True)
    if row.status == "running":
        raise Conflict("The roll-out is running.")
    mine = col(RolloutDevice.rollout_id) == row.id
    failed = update(RolloutDevice).where(mine, col(RolloutDevice.status) == "failed")
    tx.session.execute(failed.values(status="pending", detail="", change_id=None))
    left = select(RolloutDevice.device_id).where(mine, col(RolloutDevice.status) == "pending")  # type: ignore[call-overload]  # a column
    if tx.session.scalar(left.limit(1)) is None:
        raise Conflict("No device is left.")
    row.status, row.reason, row.ended_at, row.due_at = "running", None, None, tx.now
    row.sent_until = None
    _changed(tx, row)
    return get(tx, actor, row.id)


def _changed(tx: Tx, row: Rollout) -> None:
    tx.session.flush()
    tx.emit("rollouts", row.id)
    tx.wake_clock()


def revert_device(actor: Actor, rollout_id: str | uuid.UUID, device_id: str) -> RolloutView:
    """Put back on one device what was there before the roll-out came to it.

    Raises NotFound, Conflict where it has not come to it yet; else as `configurations.revert`.
    """
    require(actor, "engineer")
    part = db.run(lambda tx: _revertible(tx, rollout_id, device_id))
    change = configurations.apply(
        actor, part.device_id, configurations.sendable(part.before), reverts=part.change_id
    )
    return db.run(lambda tx: _reverted(tx, actor, part, change.id))


def _revertible(tx: Tx, rollout_id: str | uuid.UUID, device_id: str) -> RolloutDevice:
    rollout, device = find(tx, rollout_id), devices.find(tx, device_id)
    part = tx.session.get(RolloutDevice, (rollout.id, device.id))
    done = part is not None and part.status in ("applied", "failed")
    if part is None or not done or not configurations.sendable(part.before):
        raise Conflict("There is nothing of this roll-out to take back on the device.")
    return part


def _reverted(tx: Tx, actor: Actor, done: RolloutDevice, change_id: uuid.UUID) -> RolloutView:
    key = (done.rollout_id, done.device_id)
    part = tx.session.get_one(RolloutDevice, key, with_for_update=True)
    part.status, part.detail = "reverted", f"Reverted by {actor.username}."
    part.change_id = change_id
    tx.session.flush()
    tx.emit("rollouts", done.rollout_id)
    return get(tx, actor, done.rollout_id)
