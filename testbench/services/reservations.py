"""A run's exclusive hold on its devices: all or none, by primary key, in sorted order."""

import uuid
from collections.abc import Sequence

from testbench.adapters.db import Tx
from testbench.domain.errors import Conflict

_HELD = """
INSERT INTO reservations (device_id, run_id)
SELECT device_id, %s FROM unnest(%s::uuid[]) AS device_id
ON CONFLICT (device_id) DO NOTHING
RETURNING device_id
"""


def reserve(tx: Tx, run_id: uuid.UUID, device_ids: Sequence[uuid.UUID]) -> None:
    """Hold every device for the run; Conflict naming those another run holds."""
    wanted = sorted(device_ids)
    cursor = tx.cursor()
    held = {row[0] for row in cursor.execute(_HELD, (run_id, wanted), prepare=True)}
    if len(held) < len(wanted):
        taken = [(str(device), "is in a run") for device in wanted if device not in held]
        raise Conflict("Not all devices are free.", errors=taken)


def release(tx: Tx, run_id: uuid.UUID) -> None:
    """Free whatever the run holds."""
    tx.cursor().execute("DELETE FROM reservations WHERE run_id = %s", (run_id,), prepare=True)
