"""A change's row: it claims the device before anything is asked, and says in the end what came."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from testbench.adapters import addresses, db
from testbench.adapters.db import Tx
from testbench.domain import presets as rules
from testbench.domain.axeos import Plan, name_of, without_secrets
from testbench.domain.devices import POLLED
from testbench.domain.errors import BadRequest, Conflict, Forbidden
from testbench.models import ConfigurationChange, Device, Reservation
from testbench.services import devices
from testbench.services.configurations.views import ChangeView, differences, view
from testbench.settings import settings

INTERRUPTED = "The bench was interrupted; what is in force is what the device reports."
PENDING = timedelta(seconds=120)
"""Longer than a change can take: whoever made it has died."""
UNDER_WAY = "Another change of this device is under way; try again in a moment."


@dataclass(frozen=True)
class Order:
    """What a caller of `apply` wants: `changes` sealed."""

    id: uuid.UUID
    username: str
    changes: dict[str, Any]
    preset_name: str | None
    run_id: uuid.UUID | None
    reverts: uuid.UUID | None


@dataclass
class Change:
    """A change under way: what the rows held when it began, and how far it has come."""

    order: Order
    id: uuid.UUID
    device_id: uuid.UUID
    address: str
    mac: str | None
    desired: dict[str, Any]
    before: dict[str, Any]
    plan: Plan = field(default_factory=Plan)
    plain: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What is sent, secrets unsealed."""
    sent: bool = False
    restarted: bool = False


def begin(tx: Tx, device_id: str | uuid.UUID, order: Order) -> Change | ChangeView:
    """Claim the device for this change; its view, if it has ended already.

    Raises NotFound, BadRequest, Conflict.
    """
    device = devices.find(tx, device_id, lock=True)
    address = address_of(device)
    check_free(tx, device.id, order.run_id)
    row = _own(tx, device.id, order)
    if row is None:
        row = ConfigurationChange(
            id=order.id,
            device_id=device.id,
            at=tx.now,
            username=order.username,
            preset_name=order.preset_name,
            run_id=order.run_id,
            reverts=order.reverts,
        )
        tx.session.add(row)
    elif row.status != "pending" and row.error != INTERRUPTED:
        return view(row)
    row.at, row.status, row.error, row.changes = tx.now, "pending", None, order.changes
    tx.session.flush()
    tx.emit("devices", device.id)
    return Change(order, row.id, device.id, address, device.mac, device.desired, row.before)


def _own(tx: Tx, device_id: uuid.UUID, order: Order) -> ConfigurationChange | None:
    """The row of this very change, where it was begun before; Conflict if another is under way.

    A run does one thing at a time to a device: what it left pending is an interrupted try.
    """
    own = tx.session.get(ConfigurationChange, order.id)
    pending = select(ConfigurationChange).where(
        col(ConfigurationChange.device_id) == device_id,
        col(ConfigurationChange.status) == "pending",
        col(ConfigurationChange.id) != order.id,
    )
    for row in tx.session.scalars(pending):
        if order.run_id is not None and row.run_id == order.run_id:
            own = own or row
        elif row.at > tx.now - PENDING:
            raise Conflict(UNDER_WAY)
        else:
            _interrupt(tx, row)
    return own


def _interrupt(tx: Tx, row: ConfigurationChange) -> None:
    row.status, row.error = "failed", INTERRUPTED
    tx.emit("devices", row.device_id)


def address_of(device: Device) -> str:
    """Where to call it; BadRequest if it has no address, or none that may be called."""
    if device.kind not in POLLED:
        raise BadRequest(f"A device of the kind {device.kind} takes no settings from the bench.")
    if not device.ip:
        raise BadRequest("The device has no IP address.")
    try:
        addresses.allowed(device.ip, settings().discovery_networks)
    except Forbidden as error:
        raise BadRequest(f"{error.detail} They are named by DISCOVERY_NETWORKS.") from error
    return device.ip


def check_free(tx: Tx, device_id: uuid.UUID, run_id: uuid.UUID | None) -> None:
    """Conflict while another run than this one holds the device."""
    held = tx.session.get(Reservation, device_id, populate_existing=True)
    if held is not None and held.run_id != run_id:
        raise Conflict("The device is in a run.")


def restartable(tx: Tx, device_id: str | uuid.UUID, run_id: uuid.UUID | None) -> str:
    """The address of a device that may be restarted now; NotFound, BadRequest, Conflict."""
    device = devices.find(tx, device_id)
    address = address_of(device)
    check_free(tx, device.id, run_id)
    others = select(col(ConfigurationChange.id)).where(
        col(ConfigurationChange.device_id) == device.id,
        col(ConfigurationChange.status) == "pending",
        col(ConfigurationChange.at) > tx.now - PENDING,
    )
    if run_id is None and tx.session.scalar(others.limit(1)):
        raise Conflict(UNDER_WAY)
    return address


def ready(tx: Tx, change: Change, info: Mapping[str, Any]) -> None:
    """What was there, before it is sent; Conflict if it was taken for dead, or a run came."""
    row = tx.session.get(ConfigurationChange, change.id, with_for_update=True)
    if row is None or row.status != "pending":
        raise Conflict(INTERRUPTED)
    check_free(tx, change.device_id, change.order.run_id)
    row.before = change.before
    ignored = {key: change.order.changes[key] for key in change.plan.ignored}
    row.differences = _documents(ignored, info)


def finish(tx: Tx, change: Change, info: Mapping[str, Any]) -> ChangeView:
    """It was sent, and this was read back."""
    device, row = _close(tx, change)
    row.status, row.error = "applied", None
    row.differences = _documents(change.order.changes, info)
    device.info = without_secrets(info)
    device.hostname = name_of(info.get("hostname")) or device.hostname
    return view(row)


def fail(tx: Tx, change: Change, reason: str) -> None:
    """It was not sent, or nobody knows what came of it."""
    _, row = _close(tx, change)
    row.status, row.error = "failed", reason


def _close(tx: Tx, change: Change) -> tuple[Device, ConfigurationChange]:
    """Both rows, locked; what the device took, or ignored, is desired from now on."""
    device = tx.session.get_one(Device, change.device_id, with_for_update=True)
    row = tx.session.get_one(ConfigurationChange, change.id, with_for_update=True)
    row.before, row.restarted = change.before, change.restarted
    if change.sent or (change.plan.ignored and not change.plan.send):
        wanted = {**device.desired, **change.order.changes}
        device.desired = rules.keeping_secrets(wanted, device.desired)
    tx.emit("devices", device.id)
    return device, row


def _documents(wanted: Mapping[str, Any], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [found.model_dump(mode="json") for found in differences(wanted, info)]


def end_interrupted() -> int:
    """Mark the changes of those who died while they made them; how many."""
    with db.transaction() as tx:
        late = select(ConfigurationChange).where(
            col(ConfigurationChange.status) == "pending",
            col(ConfigurationChange.at) < tx.now - PENDING,
        )
        rows = list(tx.session.scalars(late.with_for_update(skip_locked=True)))
        for row in rows:
            _interrupt(tx, row)
    return len(rows)
