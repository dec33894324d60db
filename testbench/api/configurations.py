"""Settings of devices over REST: change, restart, history, revert."""

from fastapi import APIRouter, Query, Response

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import configurations
from testbench.services.configurations import ChangeView, ConfiguredDevice, SystemBody
from testbench.services.lists import Page

router = APIRouter(prefix="/api/devices", tags=["devices"], route_class=Door)


@router.patch("/{device_id}/system")
@allow("engineer")
def change_system(actor: Caller, device_id: str, body: SystemBody) -> ConfiguredDevice:
    """Send settings to a device (id or MAC), restart it where needed, and read them back.

    A preset's settings come first, without its pools' users; those of `info` win. `differences`
    shows each one beside what the device reports. 400: no address, or an unknown preset; 409: in
    a run, or another change is under way; 502: what the device answered.
    """
    return configurations.change_system(actor, device_id, body)


@router.post("/{device_id}/restart", status_code=202)
@allow("engineer")
def restart_device(actor: Caller, device_id: str) -> Response:
    """Have a device (id or MAC) restart; 409 while it is in a run."""
    configurations.restart(actor, device_id)
    return Response(status_code=202)


@router.get("/{device_id}/changes")
@allow("viewer")
def list_changes(
    actor: Caller,
    device_id: str,
    limit: int = Query(100, ge=1, le=500),
    cursor: str | None = None,
) -> Page[ChangeView]:
    """Who changed which settings, newest first; secrets left out."""
    return db.run(
        lambda tx: configurations.history(tx, actor, device_id, limit=limit, cursor=cursor)
    )


@router.post("/{device_id}/changes/{change_id}/revert")
@allow("engineer")
def revert_change(actor: Caller, device_id: str, change_id: str) -> ChangeView:
    """Put back the values from before a change, whatever came after it; the new change.

    `not_restorable` of the old one names what stays: secrets that nobody knew.
    """
    return configurations.revert(actor, change_id, device_id=device_id)
