"""Roll-outs over REST: how they begin, are watched and steered; who may."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from testbench.adapters import db
from testbench.launcher.emulator import Fleet, emulate
from testbench.services import rollouts
from testbench.services.rollouts import stepping
from tests import fleets
from tests.callers import Api, problem
from tests.services import Env

UNKNOWN = "01890000-0000-7000-8000-000000000000"
SECRET = "roll-secret-31"


@pytest.fixture
def fleet(api: Api, bench_env: Env, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    monkeypatch.setattr(stepping, "WATCH_S", 0.5)
    with emulate(3, ["2.12.0"], restart_s=0.2) as fleet:
        yield fleet


def body(api: Api, ids: list[Any], **more: Any) -> dict[str, Any]:
    configuration = {"frequency": 500, "wifiPass": SECRET}
    preset = api.made("/api/presets", {"name": "p", "configuration": configuration})
    return {"preset_id": preset["id"], "device_ids": [str(id) for id in ids], **more}


def work(rollout: dict[str, Any]) -> None:
    """Do its steps, as workers would, until it no longer runs."""
    for number in range(20):
        with db.transaction() as tx:
            step = rollouts.claim(tx, uuid.UUID(rollout["id"]), number)
        if step is None:
            return
        rollouts.perform(step)


def test_a_roll_out_is_begun_watched_and_one_device_reverted(api: Api, fleet: Fleet) -> None:
    ids = fleets.register_all(fleet)
    before = fleet.devices[1].settings["frequency"]
    made = api.engineer.post("/api/rollouts", json=body(api, ids, max_failures=2))

    assert made.status_code == 201, made.text
    rollout = made.json()
    path = f"/api/rollouts/{rollout['id']}"
    assert rollout["status"] == "running"
    assert [device["status"] for device in rollout["devices"]] == ["pending"] * 3
    work(rollout)
    done = api.viewer.get(path)
    assert done.json()["status"] == "completed"
    assert done.json()["counts"] == {"pending": 0, "applied": 3, "failed": 0, "reverted": 0}
    reverted = api.engineer.post(f"{path}/devices/{fleet.devices[1].mac}/revert")

    assert reverted.status_code == 200, reverted.text
    assert [d["status"] for d in reverted.json()["devices"]] == ["applied", "reverted", "applied"]
    assert fleet.devices[1].settings["frequency"] == before
    listed = api.viewer.get("/api/rollouts")
    assert [entry["id"] for entry in listed.json()["items"]] == [rollout["id"]]
    assert "devices" not in listed.json()["items"][0]
    for answer in (made, done, reverted, listed):
        assert SECRET not in answer.text
        assert "sealed" not in answer.text


def test_it_is_stopped_and_resumed(api: Api, fleet: Fleet) -> None:
    rollout = api.made("/api/rollouts", body(api, fleets.register_all(fleet)))
    path = f"/api/rollouts/{rollout['id']}"

    assert api.engineer.post(f"{path}/stop").json()["status"] == "stopped"
    problem(api.engineer.post(f"{path}/stop"), 409)
    assert api.engineer.post(f"{path}/resume").json()["status"] == "running"
    problem(api.engineer.post(f"{path}/resume"), 409)


def test_how_it_is_refused(api: Api, fleet: Fleet) -> None:
    ids = fleets.register_all(fleet)
    good = body(api, ids)
    post = api.engineer.post
    other = api.device()

    problem(post("/api/rollouts", json=good | {"preset_id": UNKNOWN}), 404)
    problem(post("/api/rollouts", json=good | {"device_ids": [UNKNOWN]}), 404)
    problem(post("/api/rollouts", json=good | {"device_ids": []}), 422, "device_ids")
    problem(post("/api/rollouts", json=good | {"device_ids": [other["id"]]}), 422, other["id"])
    problem(post("/api/rollouts", json=good | {"max_failures": 0}), 422, "max_failures")
    problem(post("/api/rollouts", json=good | {"more": 1}), 422, "more")
    problem(api.viewer.post("/api/rollouts", json=good), 403)
    problem(api.nobody.get("/api/rollouts"), 401)
    for verb in ("stop", "resume", f"devices/{ids[0]}/revert"):
        problem(post(f"/api/rollouts/{UNKNOWN}/{verb}"), 404)
        problem(api.viewer.post(f"/api/rollouts/{UNKNOWN}/{verb}"), 403)
    problem(api.viewer.get(f"/api/rollouts/{UNKNOWN}"), 404)
    rollout = api.made("/api/rollouts", good)
    problem(post(f"/api/rollouts/{rollout['id']}/devices/{ids[0]}/revert"), 409)
    problem(post(f"/api/rollouts/{rollout['id']}/devices/{UNKNOWN}/revert"), 404)
