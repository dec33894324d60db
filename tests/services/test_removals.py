"""A removal: what stops at once, what is deleted in turns, and what stays."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from testbench.adapters import bus, db, live, stores
from testbench.adapters.stores import Reading
from testbench.domain.identity import BENCH
from testbench.models import ConfigurationChange, Device, Presence, ValidationError
from testbench.services import devices, discovery, removals, runs, telemetry
from testbench.services.telemetry import Message
from tests import made_runs
from tests.services import Env
from tests.services.test_discovery import ENGINEER, entry, keep

DAY_MS = 86_400_000
MAC = entry(1)["mac"]


@pytest.fixture(params=["postgres", "influx"])
def data_goes_too(request: pytest.FixtureRequest, bench_env: Env) -> Env:
    """A bench that deletes the data of what is removed, on each store."""
    if request.param == "influx":
        bench_env.set(**request.getfixturevalue("influx"))
    bench_env.set(DELETE_DATA_ON_DEVICE_REMOVE="true")
    return bench_env


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the bus was told."""
    told: list[tuple[str, str]] = []
    publish = bus.publish

    def noted(news: Any) -> None:
        listed = list(news)
        told.extend(listed)
        publish(listed)

    monkeypatch.setattr(bus, "publish", noted)
    return told


def imprinted(env: Env) -> uuid.UUID:
    keep(entry(1, hostname="oven", stratumUser="me"), env=env)
    [made] = discovery.imprint(ENGINEER, [MAC], monitored=True)
    return made.id


def write(device_id: uuid.UUID, days: int = 3) -> None:
    now = now_ms()
    readings = [
        Reading(device_id, metric, now - day * DAY_MS - i, 1.0)
        for metric in ("temp", "power")
        for day in range(days)
        for i in range(1, 50)
    ]
    with db.transaction() as tx:
        stores.store().write(tx, readings)


def now_ms() -> int:
    return int(time.time() * 1000)


def metrics(device_id: uuid.UUID) -> dict[str, int]:
    with db.transaction() as tx:
        found = stores.store().window(tx, device_id, ["temp", "power"], 0, 2 * now_ms())
    return {metric: len(series) for metric, series in found.items()}


def row(device_id: uuid.UUID) -> Device:
    with db.transaction() as tx:
        return tx.session.get_one(Device, device_id)


def written_about(device_id: uuid.UUID) -> list[int]:
    """How many refusals, changes and presences there are of it."""
    with db.transaction() as tx:
        tables: list[Any] = [ValidationError, ConfigurationChange, Presence]
        return [
            len(list(tx.session.scalars(select(table).where(table.device_id == device_id))))
            for table in tables
        ]


def write_about(device_id: uuid.UUID) -> None:
    now = datetime.now(UTC)
    with db.transaction() as tx:
        refused = ValidationError(device_id=device_id, at=now, door="http", payload="{")
        changed = ConfigurationChange(device_id=device_id, at=now, username="eva")
        tx.session.add_all([refused, changed])


def settled() -> None:
    """As the clock does it, turn by turn."""
    end = time.monotonic() + 60
    while row_ids_to_forget():
        assert time.monotonic() < end
        removals.forget_removed()


def row_ids_to_forget() -> list[uuid.UUID]:
    with db.transaction() as tx:
        query = select(col(Device.id)).where(col(Device.forget_before).is_not(None))
        return list(tx.session.scalars(query))


def test_a_removal_stops_polling_and_logs_and_tells_the_pages(
    bench_env: Env, events: list[tuple[str, str]]
) -> None:
    device_id = imprinted(bench_env)
    telemetry.ingest([Message(device_id, {"temp": 20.0}, "poll", now_ms())])
    with db.transaction() as tx:
        device = tx.session.get_one(Device, device_id)
        device.trace_logs = device.log_listening = True
    events.clear()

    gone = devices.remove_fully(BENCH, str(device_id))

    assert (gone.id, gone.tracing, gone.trace_logs) == (device_id, False, False)
    after = row(device_id)
    assert (after.tracing, after.trace_logs, after.log_listening) == (False, False, False)
    assert ("removed", str(device_id)) in events
    assert ("devices", str(device_id)) in events
    assert live.last_seen([device_id]) == {}


def test_without_the_setting_all_data_stays(bench_env: Env) -> None:
    device_id = imprinted(bench_env)
    write(device_id)
    write_about(device_id)

    devices.remove_fully(BENCH, str(device_id))
    removals.forget_removed()

    assert metrics(device_id) == {"temp": 147, "power": 147}
    assert written_about(device_id)[:2] == [1, 1]


def test_with_the_setting_the_data_goes(data_goes_too: Env) -> None:
    device_id, other = imprinted(data_goes_too), made_runs.online_device()
    made_runs.heard(device_id)
    for id in (device_id, other.id):
        write(id)
        write_about(id)

    devices.remove_fully(BENCH, str(device_id))
    assert row_ids_to_forget() == [device_id]
    settled()

    assert metrics(device_id) == {"temp": 0, "power": 0}
    assert written_about(device_id) == [0, 0, 0]
    assert row(device_id).info == {}
    assert metrics(other.id) == {"temp": 147, "power": 147}
    assert written_about(other.id) == [1, 1, 1]


def test_what_was_sent_since_it_returned_stays(data_goes_too: Env) -> None:
    device_id = imprinted(data_goes_too)
    write(device_id)
    devices.remove_fully(BENCH, str(device_id))
    time.sleep(0.01)

    [again] = discovery.imprint(ENGINEER, [MAC])
    telemetry.ingest([Message(device_id, {"temp": 20.0}, "poll", now_ms())])
    settled()

    assert again.id == device_id
    assert metrics(device_id) == {"temp": 1, "power": 0}
    assert row(device_id).info["hostname"] == "oven"


def test_much_data_is_deleted_in_turns(bench_env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    bench_env.set(DELETE_DATA_ON_DEVICE_REMOVE="true")
    monkeypatch.setattr(removals, "BUDGET_S", 0.005)
    device_id = imprinted(bench_env)
    write(device_id, days=30)
    devices.remove_fully(BENCH, str(device_id))

    removals.forget_removed()

    left = metrics(device_id)
    assert 0 < sum(left.values()) < 2 * 30 * 49
    settled()
    assert metrics(device_id) == {"temp": 0, "power": 0}


def test_runs_keep_their_verdicts(data_goes_too: Env) -> None:
    device_id = imprinted(data_goes_too)
    made_runs.heard(device_id, ahead_s=300)
    run = made_runs.judged(made_runs.case().id, {device_id: {"temp": [20.0, 21.0, 22.0]}})

    devices.remove_fully(BENCH, str(device_id))
    settled()

    kept = db.run(lambda tx: runs.get(tx, BENCH, run.id))
    assert kept.outcome == "pass"
    assert kept.devices[0].criteria == run.devices[0].criteria
