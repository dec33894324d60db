"""What a run does to one device: apply, restart, put back; each may be done again without harm."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from testbench.adapters import db, sealing
from testbench.adapters.drivers.axeos import Axeos
from testbench.adapters.drivers.base import DeviceFailed
from testbench.domain.axeos.restoring import what_was
from testbench.domain.axeos.words import in_order, words_of
from testbench.domain.errors import BadRequest, BenchError, Invalid, NotFound
from testbench.domain.identity import BENCH
from testbench.services import configurations, devices
from testbench.services.configurations import ChangeView
from testbench.services.configurations.applying import ask, check_same
from testbench.services.configurations.claiming import address_of
from testbench.services.configurations.views import sendable

Done = str
"""What was done, in words."""
MEASURED = frozenset({"fanspeed"})
"""Settings whose report is what is measured: while the fan is automatic they differ."""


class NotYet(Exception):
    """The device took it, and reports something else: a later look may find it."""


def is_final(error: BenchError) -> bool:
    """Whether another try would meet the same: a refusal, no silence, no fault of the bench."""
    if isinstance(error, DeviceFailed):
        return error.answer is not None and error.answer != 200
    return isinstance(error, BadRequest | Invalid | NotFound)


def before(
    device_id: uuid.UUID, wanted: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """What the device has of all that it will be sent, sealed; and what nobody can tell."""
    with db.transaction() as tx:
        device = devices.find(tx, device_id)
        address = address_of(device)
    info = ask(Axeos(address).info())
    check_same(device.mac, info)
    kept, lost = what_was(info, wanted, device.desired)
    kept = sealing.seal(kept)
    taken = sendable(kept)
    return taken, sorted({*lost, *(kept.keys() - taken.keys())})


def apply(run_id: uuid.UUID, device_id: uuid.UUID, preset: str, wanted: Mapping[str, Any]) -> Done:
    """Send a preset's settings; done once the device reports them."""
    change = configurations.apply(BENCH, device_id, dict(wanted), preset_name=preset, run_id=run_id)
    return f"preset {preset} applied{_told(change)}"


def restart(run_id: uuid.UUID, device_id: uuid.UUID) -> Done:
    """Order a restart."""
    configurations.restart(BENCH, device_id, run_id=run_id)
    return "restart ordered"


def restore(run_id: uuid.UUID, device_id: uuid.UUID, settings: Mapping[str, Any]) -> Done:
    """Send what was; done once the device reports it."""
    if not settings:
        return "nothing to put back"
    change = configurations.apply(BENCH, device_id, dict(settings), run_id=run_id)
    names = ", ".join(words_of(key).label for key in in_order(settings))
    return f"{names} put back{_told(change)}"


def _told(change: ChangeView) -> str:
    """What came of it; raises NotYet where the device reports something else."""
    unlike = [
        f"{one.key} is {one.reported!r} instead of {one.desired!r}"
        for one in change.differences
        if one.standing == "differs" and one.key not in MEASURED
    ]
    if unlike:
        raise NotYet(f"The device took the settings and reports others: {', '.join(unlike)}.")
    ignored = [one.key for one in change.differences if one.standing == "ignored"]
    said = ", restarted" if change.restarted else ""
    return said + (f"; ignored by its firmware: {', '.join(ignored)}" if ignored else "")
