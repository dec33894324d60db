"""Imprinting: what was found becomes a device of the bench; one device a MAC, however often."""

import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from testbench.adapters import db, mqtt
from testbench.adapters.db import Tx
from testbench.domain.axeos import without_secrets
from testbench.domain.devices import POLLED, Kind, default_offline_after_s, normal_mac
from testbench.domain.discovery import Filters, Found
from testbench.domain.errors import BadGateway, BenchError, Conflict, Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.models import Device
from testbench.services import devices, fleet
from testbench.services.devices import DeviceView
from testbench.services.discovery.searching import NO_NETWORKS, discover, known
from testbench.settings import settings

KIND: Kind = "axeos"
AT_ONCE = 100
TRIES = 3
MAX_NAME = 150
"""Leaves room for the end of the MAC."""
log = structlog.get_logger()
_one_here = threading.Lock()
"""Who waits for another imprint of this process holds no connection meanwhile."""


def imprint(actor: Actor, macs: Sequence[str], *, monitored: bool = False) -> list[DeviceView]:
    """Make devices of what was found with these MACs, in their order; known ones are updated.

    What is not among the last results is searched for once. A removed device returns as it was,
    with its id. `monitored` (and AUTO_LISTEN) polls the new ones from now on. Opens its own
    transactions. Raises Invalid naming what is no MAC, NotFound where none was found, else as
    `discover`.
    """
    require(actor, "engineer")
    wanted = _normal(macs)
    found = db.run(lambda tx: known(tx, wanted))
    missing = [mac for mac in wanted if mac not in found]
    if missing:
        found |= _looked_for(actor, missing, any_known=bool(found))
    if not found:
        reason = "" if _can_search() else f" {NO_NETWORKS}"
        raise NotFound(f"None of these devices was found on the network.{reason}")
    chosen = [found[mac] for mac in wanted if mac in found]
    polled = monitored or settings().auto_listen
    made: list[DeviceView] = []
    for first in range(0, len(chosen), AT_ONCE):
        made += _one_by_one(actor, chosen[first : first + AT_ONCE], polled)
    return made


def imprinted(tx: Tx, actor: Actor) -> list[DeviceView]:
    """Every device the bench can poll, in the order of their registration."""
    require(actor, "viewer")
    query = devices.query().where(col(Device.kind).in_(POLLED), col(Device.mac).is_not(None))
    return devices.views(list(tx.session.execute(query.order_by(col(Device.id)))))


def release(actor: Actor, mac: str) -> DeviceView:
    """Remove an imprinted device; NotFound if it is none, Conflict while it is in a run."""
    require(actor, "engineer")
    with suppress(Invalid):
        mac = normal_mac(mac)
    device = db.run(lambda tx: devices.get(tx, actor, mac))
    if device.kind not in POLLED or device.mac is None:
        raise NotFound(f"There is no imprinted device {mac[:64]!r}.")
    return devices.remove_fully(actor, str(device.id))


def _normal(macs: Sequence[str]) -> list[str]:
    """Each once, in one form; Invalid names those that are none by their place."""
    normal: list[str] = []
    faults: list[tuple[str, str]] = []
    for place, mac in enumerate(macs):
        try:
            normal.append(normal_mac(mac))
        except Invalid:
            faults.append((f"macs.{place}", f"{mac[:40]!r} must be six pairs of hex digits"))
    if not macs:
        raise Invalid("No MAC address.", errors=[("macs", "name at least one")])
    if faults:
        raise Invalid("Not a MAC address.", errors=faults[:100])
    return list(dict.fromkeys(normal))


def _can_search() -> bool:
    return bool(settings().discovery_url or settings().discovery_networks)


def _looked_for(actor: Actor, macs: Sequence[str], *, any_known: bool) -> dict[str, Found]:
    """Those of `macs` that answer now; a search that fails is no reason to leave the others."""
    if not _can_search():
        return {}
    try:
        return {one.mac: one for one in discover(actor, Filters(macs=tuple(macs)))}
    except BadGateway as error:
        if not any_known:
            raise
        log.warning("imprint_without_search", error=error.detail)
        return {}


def _one_by_one(actor: Actor, found: Sequence[Found], polled: bool) -> list[DeviceView]:
    with _one_here:
        ids, closed = db.run(lambda tx: _imprint(tx, found, polled), attempt_s=4)
    for device_id in closed:
        with suppress(BenchError):  # its credential is gone, whether the broker hears or not
            mqtt.revoke(device_id)
    return db.run(lambda tx: fleet.some(tx, actor, ids), attempt_s=4)


def _imprint(
    tx: Tx, found: Sequence[Found], polled: bool
) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
    """The devices, and those of them whose former credential is to be closed."""
    # One imprint at a time: each sees the devices and names of the one before.
    tx.session.execute(select(func.pg_advisory_xact_lock(int(db.Lock.IMPRINT))))
    rows = _rows(tx, [one.mac for one in found])
    closed: list[uuid.UUID] = []
    ids: list[uuid.UUID] = []
    for one in found:
        device = rows.get(one.mac)
        if device is None:
            device = _added(tx, one, polled)
        elif device.removed_at is not None:
            if device.token_hash is not None:
                closed.append(device.id)
            _restore(tx, device, one.mac, polled)
        _update(device, one)
        ids.append(device.id)
        tx.emit("devices", device.id)
    tx.session.flush()
    return ids, closed


def _rows(tx: Tx, macs: Sequence[str]) -> dict[str, Device]:
    """By MAC: the device that is there, else the one that was removed last."""
    query = select(Device).where(col(Device.mac).in_(macs)).with_for_update()
    rows: dict[str, Device] = {}
    for device in tx.session.scalars(query.order_by(col(Device.removed_at), col(Device.id))):
        if device.mac is not None:  # those that are there come last: NULL sorts after all times
            rows[device.mac] = device
    return rows


def _added(tx: Tx, found: Found, polled: bool) -> Device:
    """A new device; or the one that somebody registered with this MAC at this very moment."""
    for _ in range(TRIES):
        try:
            with tx.session.begin_nested():
                device = _new(tx, found, polled)
                tx.session.add(device)
            return device
        except IntegrityError:
            there = _rows(tx, [found.mac]).get(found.mac)
            if there is not None and there.removed_at is None:
                return there
    raise Conflict("Somebody registered the same devices; try again.")


def _new(tx: Tx, found: Found, polled: bool) -> Device:
    return Device(
        id=new_id(),
        name=_free_name(tx, (found.hostname or KIND)[:MAX_NAME].strip(), found.mac),
        kind=KIND,
        mac=found.mac,
        offline_after_s=default_offline_after_s(KIND),
        tracing=polled,
        created_at=tx.now,
    )


def _restore(tx: Tx, device: Device, mac: str, polled: bool) -> None:
    """As it was, but for its credential, which its removal ended."""
    device.name = _free_name(tx, device.name[:MAX_NAME], mac)
    device.removed_at, device.token_hash = None, None
    device.tracing = polled


def _update(device: Device, found: Found) -> None:
    device.kind = KIND  # however it was registered: from now on it can be polled
    device.ip, device.hostname = found.ip, found.hostname
    device.info = without_secrets(found.info)


def _free_name(tx: Tx, wanted: str, mac: str) -> str:
    """`wanted`, with as much of the end of the MAC as makes it unique."""
    digits = mac.replace(":", "")
    names = [wanted, *(f"{wanted}-{digits[-count:]}" for count in (4, 6, 12))]
    there = (col(Device.name).in_(names), col(Device.removed_at).is_(None))
    taken = set(tx.session.scalars(select(col(Device.name)).where(*there)))
    return next((name for name in names if name not in taken), f"{wanted}-{new_id()}")
