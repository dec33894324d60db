"""What the clock does for the house: notice silence, rebuild the snapshot, make room, forget."""

from datetime import timedelta

from testbench.adapters import db, live, stores
from testbench.services import devices
from testbench.services.runs import purge_keys

_SILENT = """
UPDATE presence p SET online = false FROM devices d
WHERE d.id = p.device_id AND p.online
    AND p.last_seen < now() - make_interval(secs => d.offline_after_s)
RETURNING p.device_id
"""
_KEEP_ERRORS = timedelta(days=30)


def notice_silence() -> int:
    """Tell the pages of devices that went offline; how many."""
    with db.transaction() as tx:
        silent = [row[0] for row in tx.cursor().execute(_SILENT)]
        for device_id in silent:
            tx.emit("devices", device_id)
        _note_in_runs(tx, silent)
    return len(silent)


def _note_in_runs(tx: db.Tx, silent: list[object]) -> None:
    """A device that drops out during a test stands in the run's timeline."""
    if silent:
        tx.cursor().execute(
            "INSERT INTO run_events (run_id, at, event, detail)"
            " SELECT r.run_id, clock_timestamp(), 'device offline', d.name"
            " FROM reservations r JOIN devices d ON d.id = r.device_id"
            " WHERE r.device_id = ANY(%s)",
            (silent,),
        )


def rebuild_snapshot() -> None:
    """After a restart of the cache, fill it from the store again."""
    if live.is_empty():
        with db.transaction() as tx:
            live.rebuild(tx)


def revoke_removed() -> None:
    """Tell the broker of devices removed while it was away, until it has heard."""
    with db.transaction() as tx:
        removed = devices.removed_with_account(tx)
    for device_id in removed:
        if not devices.revoke(device_id):
            return


def prepare_partitions() -> None:
    """Make tomorrow's partition before midnight needs it."""
    stores.prepare(days_ahead=2)


def purge() -> None:
    """Forget idempotency keys after a day, validation errors after thirty."""
    with db.transaction() as tx:
        purge_keys(tx)
        tx.cursor().execute("DELETE FROM validation_errors WHERE at < now() - %s", (_KEEP_ERRORS,))
