"""Emulated AxeOS devices that are registered in the bench, for tests that configure them."""

import uuid

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.launcher.emulator import Device, Fleet
from testbench.models import Device as Row
from testbench.services import devices
from testbench.services.devices import NewDevice


def register(fleet: Fleet, number: int, **fields: object) -> uuid.UUID:
    """The emulated device `number` as a device of the bench; its id."""
    new = {"name": f"axe-{number}-{new_id()}", "kind": "axeos", "ip": fleet.addresses[number]}
    body = NewDevice.model_validate({**new, "mac": fleet.devices[number].mac, **fields})
    return db.run(lambda tx: devices.create(tx, BENCH, body)).id


def register_all(fleet: Fleet) -> list[uuid.UUID]:
    """Every device of the fleet, in its order."""
    return [register(fleet, number) for number in range(len(fleet.addresses))]


def settings_of(device: Device) -> dict[str, object]:
    """What the emulated device holds."""
    return dict(device.settings)


def row(device_id: uuid.UUID) -> Row:
    """The device as stored."""
    with db.transaction() as tx:
        return tx.session.get_one(Row, device_id)
