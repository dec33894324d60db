"""A roll-out whose workers, clock or queue die under way: every device gets it, none is lost."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from testbench.launcher.emulator import Fleet, emulate
from tests.faults.stage import Stage
from tests.services import wait_until

SECRET = "in-no-log-line-90210"
WANTED = {"frequency": 500, "stratumPassword": SECRET, "stratumPort": 4444}
BOTH = ("worker", "worker-2")
COUNT = 6


@pytest.fixture
def fleet(stage: Stage) -> Iterator[Fleet]:
    with emulate(COUNT, ["2.12.0"], restart_s=0.2) as fleet:
        yield fleet


@pytest.fixture
def miners(stage: Stage, fleet: Fleet) -> Iterator[list[str]]:
    """The fleet in the bench; gone after the test."""
    ids: list[str] = []
    for number, device in enumerate(fleet.devices):
        body = {"kind": "axeos", "ip": fleet.addresses[number], "mac": device.mac}
        made = stage.http.post("/api/devices", json=body | {"name": uuid.uuid4().hex})
        assert made.status_code == 201, made.text
        ids.append(made.json()["id"])
    yield ids
    for device_id in ids:
        wait_until(lambda id=device_id: gone(stage, id), 20)


def gone(stage: Stage, device_id: str) -> bool:
    return stage.http.delete(f"/api/devices/{device_id}").status_code == 204


def begun(stage: Stage, miners: list[str]) -> str:
    body: dict[str, Any] = {"name": uuid.uuid4().hex, "configuration": WANTED}
    preset = stage.http.post("/api/presets", json=body).json()["id"]
    wanted = {"preset_id": preset, "device_ids": miners}
    made = stage.http.post("/api/rollouts", json=wanted)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def shown(stage: Stage, rollout: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.http.get(f"/api/rollouts/{rollout}").json()
    return found


def applied(stage: Stage, rollout: str) -> int:
    return int(shown(stage, rollout)["counts"]["applied"])


def completed(stage: Stage, fleet: Fleet, rollout: str) -> None:
    """It came to its end by itself, on every device, and nobody is left in the dark."""

    def ended() -> bool:
        return shown(stage, rollout)["status"] != "running"

    wait_until(ended, 90, lambda: str(shown(stage, rollout)))
    done = shown(stage, rollout)
    assert (done["status"], done["counts"]["applied"]) == ("completed", COUNT), done
    assert all(device.settings["frequency"] == 500 for device in fleet.devices)
    pending = "SELECT count(*) FROM configuration_changes WHERE status = 'pending'"
    assert stage.db.execute(pending).fetchone() == (0,)
    changes = "SELECT count(*) FROM configuration_changes WHERE device_id = ANY(%s::uuid[])"
    ids = [device["device_id"] for device in done["devices"]]
    # Whoever was interrupted goes on with the same change.
    assert stage.db.execute(changes, (ids,)).fetchone() == (COUNT,)


def test_workers_killed_while_the_canary_takes_the_settings(
    stage: Stage, fleet: Fleet, miners: list[str]
) -> None:
    canary, before = fleet.devices[0], fleet.devices[0].settings["frequency"]
    fleet.switch([0], slow_s=1.0)
    rollout = begun(stage, miners)
    wait_until(lambda: canary.patches, 20)
    stage.kill(*BOTH)
    assert applied(stage, rollout) == 0
    fleet.heal()

    completed(stage, fleet, rollout)

    # What it was is known, though the change was begun twice.
    back = stage.http.post(f"/api/rollouts/{rollout}/devices/{miners[0]}/revert")
    assert back.status_code == 200, back.text
    assert canary.settings["frequency"] == before


def test_workers_killed_while_several_devices_are_configured(
    stage: Stage, fleet: Fleet, miners: list[str]
) -> None:
    rollout = begun(stage, miners)
    fleet.switch(range(1, COUNT), slow_s=0.7)
    wait_until(lambda: any(device.patches for device in fleet.devices[1:]), 40)
    stage.kill(*BOTH)
    fleet.heal()

    completed(stage, fleet, rollout)

    assert len(fleet.devices[0].patches) == 1


def test_a_clock_and_a_queue_that_are_killed_delay_it(
    stage: Stage, fleet: Fleet, miners: list[str]
) -> None:
    fleet.switch(slow_s=0.3)
    rollout = begun(stage, miners)
    wait_until(lambda: fleet.devices[0].patches, 20)
    stage.servers.kill("rabbitmq")
    stage.kill("clock")
    stage.servers.start("rabbitmq")

    completed(stage, fleet, rollout)

    said = [path.read_bytes() for path in stage.bench.folder.rglob("*.log")]
    assert said
    assert not any(SECRET.encode() in text for text in [*said, stage.bench.output().encode()])
