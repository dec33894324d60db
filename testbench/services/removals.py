"""What follows a removal that takes the data along: readings, refusals, changes, dashboard.

The removed row is the outbox: `forget_before` stands in it until all up to then is deleted. It
holds also for a device that was imprinted again meanwhile; what it has sent since then stays.
Runs keep their results.
"""

import time
import uuid
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import col

from testbench.adapters import db, stores
from testbench.adapters.db import Tx
from testbench.domain.times import ms
from testbench.models import ConfigurationChange, Device, Presence, ValidationError
from testbench.services import grafana

BUDGET_S = 1.0
"""A turn of the clock's house; there is other work to do."""
AT_ONCE = 100


def forget_removed() -> int:
    """Delete for about a second; how many devices are done. The clock calls it again."""
    end = time.monotonic() + BUDGET_S
    done = 0
    for device_id in _due():
        if not _forgotten(device_id, end):
            break
        done += 1
        if time.monotonic() > end:
            break
    return done


def _due() -> list[uuid.UUID]:
    with db.transaction() as tx:
        query = select(col(Device.id)).where(col(Device.forget_before).is_not(None))
        return list(tx.session.scalars(query.order_by(col(Device.forget_before)).limit(AT_ONCE)))


def _forgotten(device_id: uuid.UUID, end: float) -> bool:
    with db.transaction() as tx:
        device = tx.session.get(Device, device_id, with_for_update=True)
        if device is None or device.forget_before is None:
            return True
        gone = device.removed_at is not None
        before = None if gone else ms(device.forget_before) + 1
        left = max(0.0, end - time.monotonic())
        if not stores.store().delete(tx, device.id, before=before, seconds=left):
            return False
        _forget_rows(tx, device)
        device.forget_before = None
    return True


def _forget_rows(tx: Tx, device: Device) -> None:
    """What is written about it elsewhere; of one that is back, what is from before."""
    tables: tuple[Any, ...] = (ValidationError, ConfigurationChange)
    for table in tables:
        rows = delete(table).where(col(table.device_id) == device.id)
        tx.session.execute(rows.where(col(table.at) <= device.forget_before))
    if device.removed_at is not None:
        tx.session.execute(delete(Presence).where(col(Presence.device_id) == device.id))
        grafana.forget(tx, device.id)
        device.info, device.desired = {}, {}
