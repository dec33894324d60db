"""The seed's Device Configuration Update flow, step by step and error by error, in a browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from testbench.launcher.emulator import Fleet, emulate
from tests.e2e.configuring import (
    LONG_MS,
    add,
    api,
    edit,
    known,
    proceed,
    quiet,
    setting,
    toast,
    unique,
)
from tests.services import Bench, wait_until

Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def _quiet(page: Page) -> Iterator[None]:
    with quiet(page):
        yield


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with emulate(2, ["2.12.0", "2.15.0"], seed=hash(unique("")) % 1_000_000) as fleet:
        yield fleet


@pytest.fixture
def device(page: Page, app_server: Bench, fleet: Fleet) -> dict[str, Any]:
    made = add(page, app_server, fleet.addresses[0])
    known(page, app_server, made)
    return made


def test_only_what_was_changed_is_sent_and_read_back(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    edit(page, frequency="550", hostname="bench-left")

    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("does not restart")
    expect(dialog.get_by_role("listitem").filter(has_text="Frequency")).to_contain_text("550 MHz")
    proceed(page)

    toast(page, f"{device['name']} took the change.")
    expect(setting(page, "frequency")).to_contain_text("550 MHz")
    expect(setting(page, "frequency")).to_contain_text("Same")
    expect(setting(page, "hostname")).to_contain_text("bench-left")
    assert fleet.devices[0].patches == [{"frequency": 550, "hostname": "bench-left"}]
    assert fleet.devices[0].restarts == 0


def test_a_change_that_needs_it_restarts_the_device(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    edit(page, stratumURL="pool.lab.example", stratumPassword="hush hush")

    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("away for about a second")
    expect(dialog).not_to_contain_text("hush")
    proceed(page)

    toast(page, "took the change")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert fleet.devices[0].restarts == 1
    assert fleet.devices[0].patches[-1]["stratumPassword"] == "hush hush"
    expect(setting(page, "stratumURL")).to_contain_text("Same")
    expect(setting(page, "stratumPassword")).to_contain_text("Write-only")
    expect(page.get_by_text("hush hush")).to_have_count(0)
    page.get_by_role("button", name="Edit settings").click()
    expect(page.locator("form [id='stratumPassword']")).to_have_value("")


def test_what_does_not_fit_is_said_at_its_field_and_not_sent(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    edit(page, temptarget="90", hostname="x" * 40)

    field = page.locator("form [id='temptarget']")
    expect(page.get_by_text("must be 35 to 66", exact=False).first).to_be_visible()
    expect(page.get_by_text("must be 1 to 32 characters")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("90")
    assert fleet.devices[0].patches == []


def test_a_devices_refusal_is_said_with_its_own_text(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    edit(page, overheat_mode="true", frequency="540")
    proceed(page)

    refused = page.locator("#refused")
    expect(refused).to_contain_text("Wrong API input", timeout=LONG_MS)
    expect(refused).to_contain_text("400")
    expect(page.locator("form [id='frequency']")).to_have_value("540")
    assert fleet.devices[0].settings["frequency"] != 540
    history = page.get_by_role("region", name="History of changes")
    expect(history).to_contain_text("Failed")
    expect(history).to_contain_text("Wrong API input")
    refused.get_by_role("button", name="Dismiss").click()
    expect(refused).to_have_count(0)


def test_a_device_that_does_not_answer_is_said_and_nothing_is_lost(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    fleet.switch([0], dead=True)
    edit(page, frequency="540")
    proceed(page)

    expect(page.locator("#refused")).to_contain_text("does not answer", timeout=LONG_MS)
    fleet.heal()
    page.get_by_role("button", name="Review the change").click()
    proceed(page)

    toast(page, "took the change")
    expect(setting(page, "frequency")).to_contain_text("540 MHz")


def test_settings_this_firmware_ignores_are_named_with_what_counts(
    page: Page, device: dict[str, Any], fleet: Fleet, app_server: Bench
) -> None:
    api(
        page,
        app_server,
        "PATCH",
        f"/api/devices/{device['id']}/system",
        {"info": {"fanspeed": 70, "manualFanSpeed": 60}},
    )

    line = setting(page, "fanspeed")
    expect(line).to_contain_text("Ignored by this firmware; “Manual fan speed” counts.")
    expect(line).to_contain_text("Ignored")
    expect(setting(page, "manualFanSpeed")).to_contain_text("Same")
    page.get_by_role("button", name="Edit settings").click()
    expect(page.locator("form [id='fanspeed']")).to_have_count(0)
    expect(page.get_by_text("Ignored by this firmware: “Fan speed”")).to_be_visible()


def test_pools_of_new_firmware_are_changed_one_field_at_a_time(
    page: Page, app_server: Bench, fleet: Fleet
) -> None:
    made = add(page, app_server, fleet.addresses[1])
    known(page, app_server, made)

    edit(page, **{"pools__0__url": "pool.lab.example"})
    expect(page.get_by_role("dialog")).to_contain_text("pool.lab.example")
    proceed(page)

    toast(page, "took the change")
    expect(setting(page, "pools-0-url")).to_contain_text("Same")
    first, second = fleet.devices[1].settings["pools"]
    assert (first["url"], first["password"]) == ("pool.lab.example", "x")
    assert second["url"] == "solo.ckpool.org"


def test_history_says_who_changed_what_and_takes_it_back(
    page: Page, device: dict[str, Any], fleet: Fleet
) -> None:
    before = fleet.devices[0].settings["frequency"]
    edit(page, frequency="525", wifiPass="a new secret")
    proceed(page)
    toast(page, "took the change")
    history = page.get_by_role("region", name="History of changes")
    line = history.get_by_role("row").filter(has_text="525 MHz")
    expect(line).to_contain_text("admin")
    expect(line).to_contain_text("hidden")
    expect(line).not_to_contain_text("a new secret")

    line.get_by_role("button", name="Revert").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem").filter(has_text="Frequency")).to_contain_text(
        f"{before:g} MHz"
    )
    expect(dialog).to_contain_text("Wi-Fi password cannot be put back")
    proceed(page)

    toast(page, "former settings are back")
    expect(history).to_contain_text("Reverted a change")
    expect(setting(page, "frequency")).to_contain_text(f"{before:g} MHz")
    assert fleet.devices[0].settings["frequency"] == before
    assert fleet.devices[0].settings["wifiPass"] == "a new secret"


def test_restart_is_asked_for_and_done(page: Page, device: dict[str, Any], fleet: Fleet) -> None:
    page.get_by_role("button", name="Restart…").click()
    expect(page.get_by_role("dialog")).to_contain_text("away for about a second")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert fleet.devices[0].restarts == 0

    page.get_by_role("button", name="Restart…").click()
    proceed(page)

    toast(page, "restarts")
    wait_until(lambda: fleet.devices[0].restarts == 1, 20)


def test_in_a_run_nothing_can_be_changed_and_the_run_is_a_click_away(
    page: Page, device: dict[str, Any], app_server: Bench
) -> None:
    case = {
        "name": unique("case"),
        "duration_s": 60,
        "criteria": [{"kind": "coverage", "name": "c", "metric": "temp", "min_samples": 1}],
    }
    made = api(page, app_server, "POST", "/api/test-cases", case)
    body = {"test_case_id": made["id"], "device_ids": [device["id"]]}
    run = api(page, app_server, "POST", "/api/test-runs", body)
    try:
        blocked = page.locator("#blocked")
        expect(blocked).to_contain_text("is in a run")
        expect(page.get_by_role("button", name="Edit settings")).to_be_disabled()
        expect(page.get_by_role("button", name="Restart…")).to_be_disabled()
        blocked.get_by_role("link", name="Open its run").click()
        expect(page).to_have_url(f"{app_server.url}/runs/{run['id']}")
    finally:
        api(page, app_server, "POST", f"/api/test-runs/{run['id']}/cancel")


def test_a_device_without_an_address_says_so(page: Page, app_server: Bench) -> None:
    made = add(page, app_server, None)
    page.goto(f"/devices/{made['id']}?tab=configuration")

    expect(page.locator("#blocked")).to_contain_text("has no address")
    expect(page.get_by_text("No settings are known yet")).to_be_visible()
    expect(page.get_by_role("button", name="Restart…")).to_be_disabled()


def test_a_device_of_another_kind_says_that_it_is_not_configured_here(
    page: Page, app_server: Bench
) -> None:
    made = add(page, app_server, None, kind="http")
    page.goto(f"/devices/{made['id']}?tab=configuration")

    expect(
        page.get_by_text("A device of the kind http is configured where it runs")
    ).to_be_visible()


def test_a_device_that_is_gone_is_an_error_with_words(
    page: Page, device: dict[str, Any], app_server: Bench
) -> None:
    api(page, app_server, "DELETE", f"/api/devices/{device['id']}")
    page.goto(f"/devices/{device['id']}?tab=configuration")

    expect(page.get_by_text("There is no device")).to_be_visible()


def test_a_viewer_sees_the_settings_and_cannot_touch_them(
    someone: Open, page: Page, device: dict[str, Any], app_server: Bench
) -> None:
    name, password = unique("viewer"), "correct horse battery"
    user = {"username": name, "password": password, "role": "viewer"}
    api(page, app_server, "POST", "/api/users", user)
    other = someone("/")
    other.context.clear_cookies()
    other.context.request.post(
        "/api/auth/login",
        data={"username": name, "password": password},
        headers={"Origin": app_server.url},
    )
    other.goto(f"/devices/{device['id']}?tab=configuration")

    expect(setting(other, "frequency")).to_be_visible()
    expect(other.get_by_role("button", name="Edit settings")).to_have_count(0)
    expect(other.get_by_role("button", name="Restart…")).to_have_count(0)
