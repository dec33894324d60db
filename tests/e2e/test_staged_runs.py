"""A test that reconfigures its device first: on a whole bench, with real workers and polling."""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from testbench.launcher.emulator import Fleet, emulate
from tests.services import Bench, wait_until

HOLDS = [
    {"kind": "ratio", "name": "holds its hashrate", "metric": "hashrate",
     "other_metric": "expected_hashrate", "low": 0.95},
    {"kind": "range", "name": "stays cool", "metric": "temp", "high": 65},
]  # fmt: skip


@pytest.fixture
def api(app_server: Bench) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app_server.url, timeout=20) as client:
        login = {"username": "admin", "password": app_server.admin_password}
        token = client.post("/api/auth/login", json=login).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with emulate(1, ["2.15.0"], restart_s=0.3, speed=10) as fleet:
        yield fleet


@pytest.fixture
def miner(api: httpx.Client, fleet: Fleet) -> Iterator[str]:
    """A polled device's id."""
    body = {"name": named("miner"), "kind": "axeos", "ip": fleet.addresses[0]}
    made = posted(api, "/api/devices", body | {"mac": fleet.devices[0].mac})
    often = api.patch(f"/api/devices/{made['id']}", json={"poll_interval_s": 1})
    assert often.status_code == 200, often.text
    wait_until(lambda: got(api, f"/api/devices/{made['id']}")["state"] == "available", 30)
    yield made["id"]
    api.delete(f"/api/devices/{made['id']}")


def named(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:8]}"


def posted(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def got(api: httpx.Client, path: str) -> dict[str, Any]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def case(api: httpx.Client, **configuration: Any) -> dict[str, Any]:
    """Sets the chip, restarts it, waits until it is back and warm; then judges."""
    body = {"name": named("preset"), "configuration": configuration}
    preset = posted(api, "/api/presets", body)
    setup = [
        {"kind": "apply_preset", "preset_id": preset["id"], "timeout_s": 30},
        {"kind": "restart", "timeout_s": 30},
        {"kind": "wait_online", "timeout_s": 60},
    ]
    body = {
        "name": named("case"),
        "duration_s": 4,
        "warmup_s": 5,
        "grace_s": 3,
        "setup": setup,
        "teardown": "restore",
        "criteria": HOLDS,
    }
    return posted(api, "/api/test-cases", body)


def ran(api: httpx.Client, test_case: dict[str, Any], device: str) -> dict[str, Any]:
    body = {"test_case_id": test_case["id"], "device_ids": [device]}
    run = posted(api, "/api/test-runs", body)
    path = f"/api/test-runs/{run['id']}"
    wait_until(lambda: got(api, path)["ended_at"], 120, lambda: str(got(api, path)))
    return got(api, path)


def test_600_mhz_hold_95_percent_of_the_expected_hashrate_below_65_degrees(
    api: httpx.Client, fleet: Fleet, miner: str
) -> None:
    fleet.devices[0].settings |= {"frequency": 525, "coreVoltage": 1150}
    before = dict(fleet.devices[0].settings)

    run = ran(api, case(api, frequency=600, coreVoltage=1200), miner)

    assert (run["status"], run["outcome"]) == ("completed", "pass"), run["reason"]
    lines = [line["event"] for line in run["timeline"]]
    assert lines == [
        "queued", "started", "setup", "setup", "setup", "window", "judged", "teardown", "restored",
        "callback", "completed",
    ]  # fmt: skip
    assert fleet.devices[0].patches == [
        {"frequency": 600, "coreVoltage": 1200},
        {"frequency": 525, "coreVoltage": 1150},
    ]
    assert dict(fleet.devices[0].settings) == before
    assert fleet.devices[0].restarts == 1
    judged = {v["name"]: v for v in run["devices"][0]["criteria"]}
    assert 0.95 <= judged["holds its hashrate"]["measured"] <= 1.05
    assert judged["stays cool"]["measured"] < 65


def test_too_little_voltage_for_the_frequency_fails_for_its_hashrate(
    api: httpx.Client, fleet: Fleet, miner: str
) -> None:
    before = dict(fleet.devices[0].settings)

    run = ran(api, case(api, frequency=750, coreVoltage=1150), miner)

    assert (run["status"], run["outcome"]) == ("completed", "fail"), run["reason"]
    assert "hashrate" in run["reason"]
    assert dict(fleet.devices[0].settings) == before


def test_a_still_fan_fails_for_the_heat(api: httpx.Client, fleet: Fleet, miner: str) -> None:
    before = dict(fleet.devices[0].settings)
    still = {"autofanspeed": False, "manualFanSpeed": 0}

    run = ran(api, case(api, frequency=600, coreVoltage=1200, **still), miner)

    verdicts = {v["name"]: v["verdict"] for v in run["devices"][0]["criteria"]}
    assert (run["outcome"], verdicts["stays cool"]) == ("fail", "fail"), run["reason"]
    assert {key: fleet.devices[0].settings[key] for key in still} == {
        key: before[key] for key in still
    }


def test_a_setup_is_written_in_the_form_and_followed_on_the_runs_page(
    api: httpx.Client, fleet: Fleet, miner: str, someone: Callable[..., Page]
) -> None:
    posted(api, "/api/presets", {"name": named("Aaa"), "configuration": {"frequency": 575}})
    chosen = posted(
        api, "/api/presets", {"name": named("Eco"), "configuration": {"frequency": 550}}
    )
    page = someone("/test-cases/new")
    name = named("case")
    page.get_by_label("Name", exact=True).first.fill(name)
    page.get_by_label("Duration").fill("20")
    page.locator("#criterion-metric").fill("temp")
    page.locator("#criterion-high").fill("80")
    for kind in ("Wait until online", "Apply a preset"):
        page.locator("#add-part").click()
        page.get_by_role("menuitem", name=kind).click()
        expect(page.get_by_role("menu")).to_have_count(0)
    page.locator("#part-preset_id").select_option(chosen["id"])
    page.locator("#part-timeout_s").fill("45")
    page.get_by_role("button", name=re.compile("^Move up: Apply preset")).click()
    page.locator("#restore").click()
    page.locator("#save").click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    parts = page.locator("#setup .tb-sentence")
    expect(parts).to_have_text(
        [f"Apply preset {chosen['name']}, at most 45 s",
         "Wait until every device is online, at most 60 s"]
    )  # fmt: skip

    page.get_by_role("link", name="Run it").wait_for()
    saved = got(api, f"/api/test-cases/{page.url.rpartition('/')[2]}")
    fleet.switch(slow_s=2)
    body = {"test_case_id": saved["id"], "device_ids": [miner]}
    run = posted(api, "/api/test-runs", body)
    page.goto(f"/runs/{run['id']}")
    expect(page.locator("#headline")).to_have_text(
        f"Setting up: applying preset {chosen['name']} on 1 of 1 device"
    )
    fleet.heal()
    expect(page.get_by_text(f"preset {chosen['name']} applied")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#headline")).to_contain_text("Aborted", timeout=30_000)
    expect(page.get_by_text("Frequency put back")).to_be_visible()
    assert [part["kind"] for part in saved["setup"]] == ["apply_preset", "wait_online"]
    assert saved["teardown"] == "restore"
    assert fleet.devices[0].settings["frequency"] == 600
