"""What happened in a run, line by line."""

import uuid

from testbench.adapters.db import Tx

_INSERT = (
    "INSERT INTO run_events (run_id, at, event, detail) VALUES (%s, clock_timestamp(), %s, %s)"
)


def note(tx: Tx, run_id: uuid.UUID, event: str, detail: str = "") -> None:
    """Append one line, on the database's clock."""
    tx.cursor().execute(_INSERT, (run_id, event, detail[:2000]), prepare=True)
