"""The seed's flows "Preset Application" and "Device Configuration Update" over REST."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbench.adapters import logs
from testbench.launcher.emulator import Fleet, emulate
from tests import fleets, made_runs
from tests.callers import Api, problem
from tests.services import Env, wait_until

SECRET = "over-rest-4242"
UNKNOWN = "01890000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def served() -> Iterator[Fleet]:
    with emulate(3, ["2.12.0", "2.15.0", "2.0.4"], restart_s=0.2) as fleet:
        yield fleet


@pytest.fixture
def fleet(served: Fleet, api: Api, bench_env: Env) -> Iterator[Fleet]:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    yield served
    for device in served.devices:
        device.reset()


def preset(api: Api, **configuration: Any) -> str:
    made = api.made("/api/presets", {"name": "pool", "configuration": configuration})
    return str(made["id"])


@pytest.mark.parametrize("field", ["preset_id", "presetUuid"])
def test_a_preset_is_applied_by_mac_and_read_back(api: Api, fleet: Fleet, field: str) -> None:
    device, device_id = fleet.devices[0], fleets.register(fleet, 0)
    chosen = preset(
        api, stratumURL="p.example", stratumPort=1234, stratumPassword=SECRET, stratumUser="no"
    )

    answer = api.engineer.patch(
        f"/api/devices/{device.mac}/system", json={field: chosen, "info": {"frequency": 500}}
    )

    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert view["id"] == str(device_id)
    assert view["desired"] == {"stratumURL": "p.example", "stratumPort": 1234, "frequency": 500}
    assert view["info"]["stratumURL"] == "p.example"
    assert view["info"]["frequency"] == 500
    assert {d["key"]: d["standing"] for d in view["differences"]} == {
        "stratumURL": "same",
        "stratumPort": "same",
        "stratumPassword": "write_only",
        "frequency": "same",
    }
    assert device.settings["stratumPassword"] == SECRET
    assert device.settings["stratumUser"] != "no"
    assert SECRET not in answer.text
    history = api.viewer.get(f"/api/devices/{device_id}/changes")
    assert [c["id"] for c in history.json()["items"]] == [view["change"]["id"]]
    assert SECRET not in history.text
    shown = api.viewer.get(f"/api/devices/{device_id}")
    assert SECRET not in shown.text
    assert shown.json()["info"]["stratumURL"] == "p.example"


def test_what_firmware_ignores_is_said(api: Api, fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 1)

    pools = [{"url": "y.example", "password": SECRET}]
    body = {"info": {"stratumURL": "x.example", "pools": pools}}
    answer = api.engineer.patch(f"/api/devices/{device_id}/system", json=body)

    found = {d["key"]: (d["standing"], d["note"]) for d in answer.json()["differences"]}
    assert found == {
        "stratumURL": ("ignored", "ignored by this firmware; pools counts"),
        "pools": ("same", None),
    }
    assert SECRET not in answer.text


def test_how_it_is_refused(api: Api, fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 0)
    path = f"/api/devices/{device_id}/system"
    change = {"info": {"frequency": 500}}

    problem(api.engineer.patch(f"/api/devices/{UNKNOWN}/system", json=change), 404)
    problem(api.engineer.patch("/api/devices/02:00:00:00:00:09/system", json=change), 404)
    problem(api.engineer.patch(path, json=change | {"preset_id": UNKNOWN}), 400, "preset_id")
    problem(api.engineer.patch(path, json=change | {"presetUuid": "x"}), 400, "preset_id")
    problem(api.engineer.patch(path, json={}), 422, "info")
    problem(api.engineer.patch(path, json={"info": {"temptarget": 20}}), 422, "info.temptarget")
    problem(api.engineer.patch(path, json={"info": {"x": "\u0000"}}), 422, "info.x")
    problem(api.viewer.patch(path, json=change), 403)
    problem(api.nobody.patch(path, json=change), 401)
    without = api.device(kind="axeos")
    refused = api.engineer.patch(f"/api/devices/{without['id']}/system", json=change)
    assert "no IP address" in problem(refused, 400)["detail"]
    outside = api.device(kind="axeos", ip="8.8.8.8")
    refused = api.engineer.patch(f"/api/devices/{outside['id']}/system", json=change)
    assert "DISCOVERY_NETWORKS" in problem(refused, 400)["detail"]


def test_a_device_in_a_run_answers_409(api: Api, fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 0)
    made_runs.heard(device_id, ahead_s=300)
    api.run(device_ids=[str(device_id)])

    change = {"info": {"frequency": 500}}
    problem(api.engineer.patch(f"/api/devices/{device_id}/system", json=change), 409)
    problem(api.engineer.post(f"/api/devices/{device_id}/restart"), 409)


def test_a_device_that_refuses_or_is_away_answers_502_with_its_words(
    api: Api, fleet: Fleet
) -> None:
    device_id = fleets.register(fleet, 0)
    path = f"/api/devices/{device_id}/system"

    refused = api.engineer.patch(path, json={"info": {"overheat_mode": True}})
    assert problem(refused, 502)["detail"] == "The device answered 400: Wrong API input"
    fleet.switch([0], dead=True)
    problem(api.engineer.patch(path, json={"info": {"frequency": 500}}), 502)
    problem(api.engineer.post(f"/api/devices/{device_id}/restart"), 502)

    history = api.viewer.get(f"/api/devices/{device_id}/changes").json()["items"]
    assert [change["status"] for change in history] == ["failed", "failed"]


def test_a_change_is_taken_back(api: Api, fleet: Fleet) -> None:
    device, device_id = fleet.devices[0], fleets.register(fleet, 0)
    other_id = fleets.register(fleet, 1)
    before = device.settings["frequency"]
    changed = api.engineer.patch(
        f"/api/devices/{device_id}/system", json={"info": {"frequency": 500}}
    )
    change_id = changed.json()["change"]["id"]

    problem(api.viewer.post(f"/api/devices/{device_id}/changes/{change_id}/revert"), 403)
    problem(api.engineer.post(f"/api/devices/{other_id}/changes/{change_id}/revert"), 404)
    problem(api.engineer.post(f"/api/devices/{device_id}/changes/{UNKNOWN}/revert"), 404)
    answer = api.engineer.post(f"/api/devices/{device.mac}/changes/{change_id}/revert")

    assert answer.status_code == 200
    assert answer.json()["reverts"] == change_id
    assert device.settings["frequency"] == before
    assert api.viewer.get(f"/api/devices/{device_id}").json()["desired"] == {"frequency": before}


def test_a_device_restarts(api: Api, fleet: Fleet) -> None:
    device, device_id = fleet.devices[1], fleets.register(fleet, 1)
    start = device.restarts

    answer = api.engineer.post(f"/api/devices/{device.mac}/restart")

    assert (answer.status_code, answer.content) == (202, b"")
    wait_until(lambda: device.restarts == start + 1, 10)
    problem(api.viewer.post(f"/api/devices/{device_id}/restart"), 403)
    problem(api.engineer.post(f"/api/devices/{UNKNOWN}/restart"), 404)


def test_no_log_line_holds_a_secret(
    api: Api, fleet: Fleet, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    device_id = fleets.register(fleet, 0)
    path = f"/api/devices/{device_id}/system"
    assert api.engineer.patch(path, json={"info": {"wifiPass": SECRET}}).status_code == 200
    api.engineer.patch(path, json={"info": {"wifiPass": SECRET, "overheat_mode": True}})
    fleet.switch([0], dead=True)
    api.engineer.patch(path, json={"info": {"wifiPass": SECRET}})
    made = api.engineer.post(
        "/api/presets", json={"name": "x", "configuration": {"wifiPass": SECRET}}
    )
    again = api.engineer.post(
        "/api/presets", json={"name": "x", "configuration": {"wifiPass": SECRET}}
    )

    said = capfd.readouterr()
    assert (made.status_code, again.status_code) == (201, 409)
    assert SECRET not in said.out + said.err
