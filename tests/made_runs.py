"""Runs made by the real verbs, with chosen readings, for the tests of what is shown of them."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from testbench.adapters import db, stores
from testbench.adapters.stores import Reading, partitions
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.domain.times import ms
from testbench.models import Presence
from testbench.services import devices, environments, runs, test_cases
from testbench.services.devices import NewDevice, RegisteredDevice
from testbench.services.environments import EnvironmentBody
from testbench.services.runs import NewRun, RunView
from testbench.services.runs.finishing import Ending
from testbench.services.runs.views import find
from testbench.services.test_cases import TestCaseBody

LIMITS = {"kind": "range", "name": "temperature", "metric": "temp", "unit": "°C", "high": 30.0}


def online_device(name: str | None = None) -> RegisteredDevice:
    """A device that is available."""
    new = NewDevice(name=name or f"d-{new_id()}", kind="http")
    made = db.run(lambda tx: devices.create(tx, BENCH, new))
    heard(made.id, ahead_s=300)
    return made


def heard(device_id: uuid.UUID, ahead_s: float = 0) -> None:
    """The device was last heard of now, or counts as if that were so many seconds later."""
    with db.transaction() as tx:
        seen = tx.now + timedelta(seconds=ahead_s)
        tx.session.merge(Presence(device_id=device_id, last_seen=seen))


def case(*criteria: dict[str, Any], **fields: Any) -> test_cases.TestCaseView:
    """A test case that is judged 100 ms after its start."""
    body = {"name": f"c-{new_id()}", "duration_s": 0.1, "grace_s": 0.0, **fields}
    body["criteria"] = list(criteria) or [LIMITS]
    return db.run(lambda tx: test_cases.create(tx, BENCH, TestCaseBody.model_validate(body)))


def environment(**variables: float | str) -> environments.EnvironmentView:
    """An environment with these variables."""
    body = EnvironmentBody(name=f"e-{new_id()}", variables=variables)
    return db.run(lambda tx: environments.create(tx, BENCH, body))


def started(
    test_case_id: uuid.UUID,
    device_ids: Sequence[uuid.UUID],
    environment_id: uuid.UUID | None = None,
    name: str | None = None,
) -> RunView:
    """A queued run."""
    new = NewRun(
        test_case_id=str(test_case_id),
        device_ids=[str(device_id) for device_id in device_ids],
        environment_id=environment_id and str(environment_id),
        name=name,
    )
    return db.run(lambda tx: runs.start(tx, BENCH, new))


def judged(
    test_case_id: uuid.UUID,
    readings: dict[uuid.UUID, dict[str, list[Any]]],
    environment_id: uuid.UUID | None = None,
    name: str | None = None,
) -> RunView:
    """An ended run over `readings`: device → metric → values, spread over the judged window."""
    run = started(test_case_id, list(readings), environment_id, name)
    step(run.id)
    opened = db.run(lambda tx: runs.get(tx, BENCH, run.id))
    assert opened.window_start is not None
    assert opened.window_end is not None
    store(readings, opened.window_start, opened.window_end)
    while not _ending(run.id):
        time.sleep(0.02)
        step(run.id)
    with db.transaction() as tx:
        row = find(tx, run.id, lock=True)
        runs.finish(tx, row, Ending.model_validate(row.ending))
    return db.run(lambda tx: runs.get(tx, BENCH, run.id))


def store(readings: dict[uuid.UUID, dict[str, list[Any]]], start: datetime, end: datetime) -> None:
    """Values at equal distances from `start` to `end`, both included."""
    first, span = ms(start), ms(end) - ms(start)
    rows = [
        Reading(device_id, metric, first + span * i // max(1, len(values) - 1), value)
        for device_id, metrics in readings.items()
        for metric, values in metrics.items()
        for i, value in enumerate(values)
    ]
    partitions.forget()  # another test's database had them
    with db.transaction() as tx:
        stores.store().write(tx, rows)


def step(run_id: uuid.UUID) -> None:
    """The run's next step, if it is due, as a worker does it."""
    with db.transaction() as tx:
        number = find(tx, run_id).step
        claimed = runs.claim(tx, run_id, number)
    if claimed is not None:
        with db.transaction() as tx:
            runs.perform(tx, claimed)


def _ending(run_id: uuid.UUID) -> bool:
    with db.transaction() as tx:
        return find(tx, run_id).ending is not None


def hours_ago(hours: float) -> datetime:
    """Aware UTC."""
    return datetime.now(UTC) - timedelta(hours=hours)
