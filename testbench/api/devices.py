"""Devices over REST."""

import uuid

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.domain.devices import Kind, State
from testbench.services import devices
from testbench.services.devices import (
    DeviceList,
    DevicePatch,
    DeviceView,
    NewDevice,
    RegisteredDevice,
)

router = APIRouter(prefix="/api/devices", tags=["devices"], route_class=Door)


class NewCredential(BaseModel):
    """A credential, shown this once."""

    id: uuid.UUID
    token: str


@router.get("")
@allow("viewer")
def list_devices(
    actor: Caller,
    state: State | None = None,
    tag: str | None = None,
    q: str | None = None,
    kind: Kind | None = None,
    limit: int = Query(100, ge=1, le=500),
    cursor: str | None = None,
) -> DeviceList:
    """Devices with their live state, and how many are in each."""
    return db.run(
        lambda tx: devices.list_(
            tx, actor, state=state, tag=tag, q=q, kind=kind, limit=limit, cursor=cursor
        )
    )


@router.post("", status_code=201)
@allow("engineer")
def register_device(actor: Caller, body: NewDevice) -> RegisteredDevice:
    """Register a device; `token` is its credential, shown this once."""
    return devices.register(actor, body)


@router.get("/{device_id}")
@allow("viewer")
def get_device(actor: Caller, device_id: str) -> DeviceView:
    """One device."""
    return db.run(lambda tx: devices.get(tx, actor, device_id))


@router.patch("/{device_id}")
@allow("engineer")
def change_device(actor: Caller, device_id: str, body: DevicePatch) -> DeviceView:
    """Rename, tag, hold for maintenance."""
    return db.run(lambda tx: devices.change(tx, actor, device_id, body))


@router.delete("/{device_id}", status_code=204)
@allow("engineer")
def remove_device(actor: Caller, device_id: str) -> Response:
    """Take a device out of the bench; 409 while it is in a run."""
    devices.remove_fully(actor, device_id)
    return Response(status_code=204)


@router.post("/{device_id}/token", status_code=201)
@allow("engineer")
def renew_token(actor: Caller, device_id: str) -> NewCredential:
    """A new credential; the old one stops working within 5 s."""
    renewed, token = devices.renew_token(actor, device_id)
    return NewCredential(id=renewed, token=token)
