"""Workers that die while they set a stage or clear it: the device is as it was in the end."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from testbench.launcher.emulator import Fleet, emulate
from tests.faults.stage import Device, Stage
from tests.services import wait_until

FAST = {"frequency": 575, "coreVoltage": 1180}
BOTH = ("worker", "worker-2")


@pytest.fixture
def fleet(stage: Stage) -> Iterator[Fleet]:
    with emulate(1, ["2.12.0"], restart_s=0.2, speed=10) as fleet:
        yield fleet


@pytest.fixture
def miner(stage: Stage, fleet: Fleet) -> Iterator[Device]:
    """An emulated device that is polled, and gone from the bench after the test."""
    body = {
        "name": f"miner-{uuid.uuid4().hex[:8]}",
        "kind": "axeos",
        "ip": fleet.addresses[0],
        "mac": fleet.devices[0].mac,
        "offline_after_s": 3600,
    }
    made = stage.http.post("/api/devices", json=body)
    assert made.status_code == 201, made.text
    device = Device(uuid.UUID(made.json()["id"]), made.json()["token"])
    often = stage.http.patch(f"/api/devices/{device.id}", json={"poll_interval_s": 1})
    assert often.status_code == 200, often.text
    wait_until(lambda: shown(stage, device)["state"] == "available", 20)
    yield device
    fleet.heal()
    wait_until(lambda: stage.http.delete(f"/api/devices/{device.id}").status_code == 204, 20)


def shown(stage: Stage, device: Device) -> dict[str, Any]:
    found: dict[str, Any] = stage.http.get(f"/api/devices/{device.id}").json()
    return found


def staged(stage: Stage) -> str:
    """A case that applies a preset first, and restores what was."""
    body = {"name": uuid.uuid4().hex, "configuration": FAST}
    preset = stage.http.post("/api/presets", json=body).json()["id"]
    part = {"kind": "apply_preset", "preset_id": preset, "timeout_s": 30}
    cool = {"kind": "range", "name": "cool", "metric": "temp", "high": 90}
    return stage.case(4, setup=[part], teardown="restore", grace_s=2, criteria=[cool])


def restore(stage: Stage, run: str) -> dict[str, Any] | None:
    query = "SELECT restore FROM run_devices WHERE run_id = %s"
    row = stage.db.execute(query, (run,)).fetchone()
    assert row
    return row[0]


def patches(fleet: Fleet) -> list[dict[str, Any]]:
    return fleet.devices[0].patches


def as_it_was(stage: Stage, fleet: Fleet, run: str, before: dict[str, Any]) -> None:
    """Passed or not, the stage was set and cleared, and each said once."""
    assert dict(fleet.devices[0].settings) == before
    assert restore(stage, run) is None
    lines = stage.lines(run)
    assert [lines.count(event) for event in ("started", "teardown", "restored")] == [1, 1, 1]
    assert fleet.devices[0].patches[-1] == {key: before[key] for key in FAST}


def test_a_worker_killed_before_it_has_asked_the_device(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    before = dict(fleet.devices[0].settings)
    fleet.switch(hanging=True)
    run = stage.start(staged(stage), miner)
    wait_until(lambda: "applying" in (stage.run(run, "message")[0] or ""), 10)

    stage.kill(*BOTH)
    fleet.heal()

    assert stage.ended(run, within_s=60) == ["pass"]
    as_it_was(stage, fleet, run, before)


def test_a_worker_killed_between_what_it_wrote_down_and_what_it_sends(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    before = dict(fleet.devices[0].settings)
    fleet.switch(slow_s=1)
    run = stage.start(staged(stage), miner)
    wait_until(lambda: restore(stage, run) is not None, 20)

    stage.kill(*BOTH)
    assert patches(fleet) == []
    kept = restore(stage, run)
    fleet.heal()

    assert kept == {key: before[key] for key in FAST}
    assert stage.ended(run, within_s=60) == ["pass"]
    as_it_was(stage, fleet, run, before)


def test_a_worker_killed_after_it_has_changed_the_device(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    before = dict(fleet.devices[0].settings)
    with stage.run_up_to("setup>setup", staged(stage), miner) as (run, gate):
        worker = gate.reached(within_s=40)
        assert patches(fleet) == [FAST]
        stage.kill(worker)

    assert stage.ended(run, within_s=60) == ["pass"]
    as_it_was(stage, fleet, run, before)
    assert len(patches(fleet)) == 2


def test_a_worker_killed_while_it_puts_back_what_was(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    before = dict(fleet.devices[0].settings)
    run = stage.start(staged(stage), miner)
    wait_until(lambda: stage.run(run, "phase")[0] == "observe", 30)
    fleet.switch(hanging=True)
    wait_until(lambda: "Restoring" in (stage.run(run, "message")[0] or ""), 30)

    stage.kill(*BOTH)
    fleet.heal()

    stage.ended(run, within_s=60)
    as_it_was(stage, fleet, run, before)


def test_a_worker_killed_after_all_was_put_back(stage: Stage, fleet: Fleet, miner: Device) -> None:
    before = dict(fleet.devices[0].settings)
    with stage.run_up_to("teardown>callback", staged(stage), miner) as (run, gate):
        stage.kill(gate.reached(within_s=40))

    assert stage.ended(run, within_s=60) == ["pass"]
    as_it_was(stage, fleet, run, before)
    assert len(patches(fleet)) == 2


def test_a_run_cancelled_while_its_worker_is_dead_is_cleared_by_another(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    before = dict(fleet.devices[0].settings)
    with stage.run_up_to("setup>setup", staged(stage), miner) as (run, gate):
        worker = gate.reached(within_s=40)
        stage.kill(worker)
    assert stage.http.post(f"/api/test-runs/{run}/cancel").status_code == 200

    assert stage.ended(run, within_s=60) == ["aborted"]
    as_it_was(stage, fleet, run, before)


def test_a_device_that_hangs_at_its_teardown_goes_into_maintenance_and_the_run_ends(
    stage: Stage, fleet: Fleet, miner: Device
) -> None:
    with stage.run_up_to("observe>teardown", staged(stage), miner) as (run, gate):
        gate.reached(within_s=30)
        fleet.switch(hanging=True)
    outcomes = stage.ended(run, within_s=60)

    assert outcomes == ["pass"]
    device = shown(stage, miner)
    assert device["state"] == "maintenance"
    assert (
        "could not restore its settings: The device did not answer" in device["maintenance_reason"]
    )
    assert stage.lines(run)[-3:] == ["maintenance", "callback", "completed"]
