"""The bench's promises, checked against its database once it has healed and come to rest.

I5 (credits) and I7 (who may use what) have tests of their own; no fault touches them here.
"""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

_SHARED = """
SELECT device_id, count(*) FROM run_devices JOIN runs ON runs.id = run_id
WHERE status IN ('queued', 'running') GROUP BY device_id HAVING count(*) > 1
"""
_ENDS = """
SELECT runs.id, status, outcome, phase,
    (SELECT count(*) FROM run_events e WHERE e.run_id = runs.id
        AND e.event IN ('completed', 'failed', 'cancelled')) AS ends,
    (SELECT count(*) FROM run_devices d WHERE d.run_id = runs.id AND d.outcome IS NULL) AS open
FROM runs
"""
_OUTLIVED = """
SELECT device_id, run_id FROM reservations LEFT JOIN runs ON runs.id = run_id
WHERE status IS NULL OR status NOT IN ('queued', 'running')
"""
_UNHELD = """
SELECT run_id, device_id FROM run_devices JOIN runs ON runs.id = run_id
LEFT JOIN reservations USING (run_id, device_id)
WHERE status IN ('queued', 'running') AND reservations.run_id IS NULL
"""
_UNSENT = """
SELECT id, phase, step FROM runs WHERE due_at IS NOT NULL AND due_at < now() - interval '2 s'
"""
_UNSENT_ROLLOUTS = """
SELECT id, step FROM rollouts WHERE status = 'running' AND due_at < now() - interval '2 s'
    AND coalesce(lease_until < now(), true) AND coalesce(sent_until < now(), true)
"""
_STORED = """
SELECT device_id, metric, (extract(epoch FROM ts) * 1000)::bigint
FROM readings JOIN series ON series.id = series_id
"""


def hold(connection: Connection, accepted: Collection[str]) -> None:
    """All that is true of a bench at rest; `accepted`: the runs it said 201 to."""
    no_device_is_in_two_active_runs(connection)
    every_accepted_run_has_one_end(connection, accepted)
    no_reservation_outlives_its_run(connection)
    no_due_row_stays_unsent(connection)


def no_device_is_in_two_active_runs(connection: Connection) -> None:
    """I1; and what an active run has, it has reserved."""
    assert connection.execute(_SHARED).fetchall() == []
    assert connection.execute(_UNHELD).fetchall() == []


def every_accepted_run_has_one_end(connection: Connection, accepted: Collection[str]) -> None:
    """I2: one terminal status, one terminal line in its timeline, an outcome for each device."""
    rows = {str(row[0]): row[1:] for row in connection.execute(_ENDS)}
    assert set(accepted) <= set(rows), "an accepted run is gone"
    status_of = {
        "pass": "completed",
        "fail": "completed",
        "timeout": "failed",
        "error": "failed",
        "aborted": "cancelled",
    }
    wrong = {
        run: row
        for run, row in rows.items()
        if row != (status_of.get(row[1] or "", "no outcome"), row[1], "done", 1, 0)
    }
    assert wrong == {}, "not ended, or not ended once (status, outcome, phase, ends, open devices)"


def no_reservation_outlives_its_run(connection: Connection) -> None:
    """I3."""
    assert connection.execute(_OUTLIVED).fetchall() == []


def every_reading_is_accounted_for(
    connection: Connection, sent: Mapping[uuid.UUID, Collection[tuple[str, int]]]
) -> None:
    """I4: what was acknowledged of each device, as (metric, ms), is stored, once, and is all."""
    stored: dict[uuid.UUID, list[tuple[str, int]]] = {device: [] for device in sent}
    for device, metric, ts in connection.execute(_STORED):
        if device in stored:
            stored[device].append((metric, ts))
    for device, readings in sent.items():
        assert len(stored[device]) == len(set(stored[device])), "stored twice"
        lost = set(readings) - set(stored[device])
        assert not lost, f"{len(lost)} of {len(set(readings))} acknowledged readings were lost"


def no_due_row_stays_unsent(connection: Connection) -> None:
    """I6, of the rows there are so far: the steps of runs and of roll-outs."""
    assert connection.execute(_UNSENT).fetchall() == []
    assert connection.execute(_UNSENT_ROLLOUTS).fetchall() == []
