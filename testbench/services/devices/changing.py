"""Devices registered, changed and removed; the credential each has."""

import uuid
from typing import Annotated

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
)
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from testbench.adapters import addresses, db, device_logs, live, mqtt
from testbench.adapters.db import Tx
from testbench.domain.devices import (
    POLLED,
    Kind,
    default_offline_after_s,
    normal_address,
    normal_mac,
)
from testbench.domain.errors import BenchError, Conflict
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.domain.names import Name, Tag, Text, each_once
from testbench.domain.tokens import new_token, token_hash
from testbench.models import Device, Reservation
from testbench.services.devices.views import DeviceView, RegisteredDevice, find, get
from testbench.settings import settings

log = structlog.get_logger()
OfflineAfter = Field(default=None, strict=True, ge=1, le=86_400)
PollInterval = Field(default=None, strict=True, ge=1, le=3600, allow_inf_nan=False)
Address = Annotated[str, Field(max_length=100), AfterValidator(normal_address)]
Tags = Annotated[list[Tag], Field(max_length=50), AfterValidator(each_once)]


class NewDevice(BaseModel):
    """What registers a device."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    kind: Kind
    ip: Address | None = None
    mac: str | None = Field(default=None, max_length=40)
    hostname: Name | None = None
    tags: Tags = Field(default_factory=list[str])
    offline_after_s: int | None = OfflineAfter

    @field_validator("ip")
    @classmethod
    def _may_be_called(cls, ip: str | None, fields: ValidationInfo) -> str | None:
        if ip and fields.data.get("kind") in POLLED and addresses.is_never_called(ip):
            raise ValueError("is never called: link-local, multicast or a metadata service")
        return ip

    @field_validator("mac")
    @classmethod
    def _normal(cls, mac: str | None) -> str | None:
        try:
            return normal_mac(mac) if mac else None
        except BenchError as error:
            raise ValueError("must be six pairs of hex digits") from error


class DevicePatch(BaseModel):
    """What a person may change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    tags: Tags | None = None
    maintenance: StrictBool | None = None
    maintenance_reason: Text | None = None
    offline_after_s: int | None = OfflineAfter
    poll_interval_s: float | None = PollInterval
    """Null: as often as the bench's setting says."""


CLEARED = frozenset({"maintenance_reason", "poll_interval_s"})
"""What null takes away; elsewhere it leaves what there is."""


def create(tx: Tx, actor: Actor, new: NewDevice, *, demo: bool = False) -> RegisteredDevice:
    """Register a device and give it a credential; Conflict if name or mac is taken."""
    require(actor, "engineer")
    token = new_token("tbd")
    device = Device(
        id=new_id(),
        created_at=tx.now,
        token_hash=token_hash(token),
        demo=demo,
        **new.model_dump(exclude={"offline_after_s"}),
        offline_after_s=new.offline_after_s or default_offline_after_s(new.kind),
        tracing=new.kind in POLLED and new.ip is not None,
    )
    tx.session.add(device)
    _flush(tx)
    tx.emit("devices", device.id)
    return RegisteredDevice(**get(tx, actor, device.id).model_dump(), token=token)


def _flush(tx: Tx) -> None:
    try:
        tx.session.flush()
    except IntegrityError as error:
        field = "mac" if "devices_mac" in str(error.orig) else "name"
        raise Conflict(f"Another device has this {field}.", errors=[(field, "is taken")]) from error


def register(actor: Actor, new: NewDevice, *, demo: bool = False) -> RegisteredDevice:
    """`create`, and its account at the broker: nothing remains if either fails."""
    made = db.run(lambda tx: create(tx, actor, new, demo=demo))
    try:
        mqtt.provision(made.id, made.token)
    except BenchError:
        db.run(lambda tx: _forget(tx, made.id))
        raise
    return made


def _forget(tx: Tx, device_id: uuid.UUID) -> None:
    tx.session.delete(tx.session.get_one(Device, device_id))
    tx.emit("devices", device_id)


def change(tx: Tx, actor: Actor, device_id: str, patch: DevicePatch) -> DeviceView:
    """Change what the patch names; Conflict if the name is taken."""
    require(actor, "engineer")
    device = find(tx, device_id, lock=True)
    for field, value in patch.model_dump(exclude_unset=True).items():
        if value is not None or field in CLEARED:
            setattr(device, field, value)
    if not device.maintenance:
        device.maintenance_reason = None
    _flush(tx)
    tx.emit("devices", device.id)
    return get(tx, actor, device.id)


def remove(tx: Tx, actor: Actor, device_id: str) -> DeviceView:
    """Take a device out of the bench, as it was; its row stays. Conflict while in a run.

    It is polled no more. Whether its data goes too is settled now, by the setting; the clock
    deletes it (`services.removals`).
    """
    require(actor, "engineer")
    device = find(tx, device_id, lock=True)
    if tx.session.get(Reservation, device.id):
        raise Conflict("The device is in a run; cancel that first.")
    device.tracing = device.trace_logs = device.log_listening = False
    device.poll_error = None
    tx.session.flush()
    removed = get(tx, actor, device.id)
    # Its credential opens nothing from now on; the hash stays until the broker has forgotten it.
    device.removed_at = tx.now
    if settings().delete_data_on_device_remove:
        device.forget_before = tx.now
    tx.emit("devices", device.id)
    tx.emit("removed", device.id)
    return removed


def remove_fully(actor: Actor, device_id: str) -> DeviceView:
    """`remove`, then its live values, its log and its account at the broker.

    A broker that is away does not undo the removal: `revoke_removed` goes on until it is told.
    """
    removed = db.run(lambda tx: remove(tx, actor, device_id))
    live.forget(removed.id)
    device_logs.forget(removed.id)
    revoke(removed.id)
    return removed


def revoke(removed: uuid.UUID) -> bool:
    """End a removed device's account at the broker; False if the broker is away."""
    try:
        mqtt.revoke(removed)
    except BenchError as error:
        log.warning("account_not_revoked", device_id=str(removed), error=error.detail)
        return False
    db.run(lambda tx: _revoked(tx, removed))
    return True


def _revoked(tx: Tx, removed: uuid.UUID) -> None:
    gone = update(Device).where(col(Device.id) == removed, col(Device.removed_at).is_not(None))
    tx.session.execute(gone.values(token_hash=None))


def removed_with_account(tx: Tx, limit: int = 100) -> list[uuid.UUID]:
    """Removed devices whose account at the broker may still be open."""
    query = select(col(Device.id)).where(
        col(Device.removed_at).is_not(None), col(Device.token_hash).is_not(None)
    )
    return list(tx.session.scalars(query.limit(limit)))


def _set_token(
    tx: Tx, actor: Actor, device_id: str | uuid.UUID, hash: str | None
) -> tuple[uuid.UUID, str | None]:
    """The device's id and the hash it had."""
    require(actor, "engineer")
    device = find(tx, device_id, lock=True)
    before, device.token_hash = device.token_hash, hash
    tx.emit("devices", device.id)
    return device.id, before


def renew_token(actor: Actor, device_id: str) -> tuple[uuid.UUID, str]:
    """The device's id and its new credential; the old one stops working within 5 s.

    Unavailable, and the old one holds, if the broker cannot be told.
    """
    token = new_token("tbd")
    hash = token_hash(token)
    renewed, before = db.run(lambda tx: _set_token(tx, actor, device_id, hash))
    try:
        mqtt.provision(renewed, token)
    except BenchError:
        db.run(lambda tx: _set_token(tx, actor, renewed, before))
        raise
    return renewed, token
