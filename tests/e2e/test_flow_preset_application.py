"""The seed's Preset Application flow, step by step and error by error, and on to many devices."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from testbench.launcher.emulator import Fleet, emulate
from tests.e2e.configuring import LONG_MS, add, api, known, proceed, quiet, setting, toast, unique
from tests.services import Bench

POOL = {"stratumURL": "pool.lab.example", "stratumPort": 3334, "stratumPassword": "hush hush"}


@pytest.fixture(autouse=True)
def _quiet(page: Page) -> Iterator[None]:
    with quiet(page):
        yield


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    seed = hash(unique("")) % 1_000_000
    with emulate(3, ["2.12.0", "2.12.0", "2.15.0"], seed=seed) as fleet:
        yield fleet


@pytest.fixture
def device(page: Page, app_server: Bench, fleet: Fleet) -> dict[str, Any]:
    made = add(page, app_server, fleet.addresses[0])
    known(page, app_server, made)
    return made


def preset(page: Page, bench: Bench, configuration: dict[str, Any]) -> dict[str, Any]:
    body = {"name": unique("preset"), "configuration": configuration}
    made: dict[str, Any] = api(page, bench, "POST", "/api/presets", body)
    return made


def choose(page: Page, made: dict[str, Any]) -> None:
    page.reload()
    page.locator("#preset").select_option(label=made["name"])


def row(page: Page, text: str) -> Any:
    return page.get_by_role("row").filter(has_text=text)


# --- making one


def test_a_preset_is_written_from_known_settings_and_free_keys(
    page: Page, app_server: Bench
) -> None:
    name = unique("night")
    page.goto("/presets/new")
    page.locator("#name").fill(name)
    page.locator("#add-setting").select_option("frequency")
    page.get_by_label("Frequency", exact=True).fill("490")
    page.locator("#add-setting").select_option("wifiPass")
    page.get_by_label("Wi-Fi password", exact=True).fill("hush hush")
    page.locator("#add-setting").select_option("*")
    page.get_by_label("Key of the setting").fill("customKey")
    page.get_by_label("customKey", exact=True).fill("5")
    page.get_by_role("button", name="Save").click()

    line = row(page, name)
    expect(line).to_contain_text("Frequency 490 MHz")
    expect(line).to_contain_text("customKey 5")
    expect(line).to_contain_text("Wi-Fi password (secret)")
    expect(line).to_contain_text("Not yet")
    expect(page.get_by_text("hush hush")).to_have_count(0)
    line.get_by_role("link", name=name).click()
    expect(page.get_by_label("Frequency", exact=True)).to_have_value("490")
    expect(page.get_by_text("Set", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Replace Wi-Fi password")).to_be_visible()


def test_limits_and_taken_names_are_said_at_their_fields(page: Page, app_server: Bench) -> None:
    taken = preset(page, app_server, {"frequency": 500})
    page.goto("/presets/new")
    page.locator("#name").fill(taken["name"])
    page.locator("#add-setting").select_option("temptarget")
    field = page.get_by_label("Target temperature", exact=True)
    field.fill("90")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("must be 35 to 66")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")

    field.fill("60")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("is taken")).to_be_visible()
    expect(page.locator("#name")).to_be_focused()


def test_a_secret_is_kept_replaced_and_removed_without_being_shown(
    page: Page, app_server: Bench
) -> None:
    made = preset(page, app_server, POOL)
    path = f"/api/presets/{made['id']}"
    page.goto(f"/presets/{made['id']}")
    page.get_by_label("Pool port", exact=True).fill("3335")
    page.get_by_role("button", name="Save").click()
    toast(page, "is saved")
    kept = api(page, app_server, "GET", path)
    assert kept["configuration"] == {"stratumURL": "pool.lab.example", "stratumPort": 3335}
    assert kept["secrets"] == ["stratumPassword"]

    page.goto(f"/presets/{made['id']}")
    page.get_by_role("button", name="Replace Pool password").click()
    page.get_by_label("Pool password", exact=True).fill("another one")
    page.get_by_role("button", name="Keep the old one").click()
    page.get_by_role("button", name="Remove Pool password").click()
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(re.compile("/presets$"))

    assert api(page, app_server, "GET", path)["secrets"] == []


def test_a_preset_is_duplicated_and_deleted_with_its_uses_named(
    page: Page, app_server: Bench
) -> None:
    made = preset(page, app_server, {"frequency": 500})
    page.goto(f"/presets/{made['id']}")
    page.get_by_role("link", name="Duplicate").click()
    expect(page.locator("#name")).to_have_value(f"{made['name']} (copy)")
    page.get_by_role("button", name="Save").click()
    expect(row(page, f"{made['name']} (copy)")).to_be_visible()

    page.goto(f"/presets/{made['id']}")
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("It is not used anywhere.")
    dialog.get_by_role("button", name="Delete the preset").click()

    toast(page, "is deleted")
    expect(page).to_have_url(re.compile("/presets$"))
    expect(row(page, f"{made['name']} (copy)")).to_be_visible()
    expect(page.get_by_role("link", name=made["name"], exact=True)).to_have_count(0)


# --- applying it to one device


def test_a_preset_is_previewed_applied_and_read_back(
    page: Page, device: dict[str, Any], fleet: Fleet, app_server: Bench
) -> None:
    user = fleet.devices[0].settings["stratumUser"]
    made = preset(page, app_server, POOL | {"stratumUser": "somebody else"})
    choose(page, made)
    preview = page.get_by_role("list", name="What the preset would change")
    expect(preview).to_contain_text("pool.lab.example")
    expect(preview).not_to_contain_text("somebody else")

    page.get_by_role("button", name="Apply the preset…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("away for about a second")
    expect(dialog).to_contain_text("The pool users stay the device's own")
    expect(dialog).not_to_contain_text("hush")
    proceed(page)

    toast(page, f"“{made['name']}” is applied.")
    expect(setting(page, "stratumURL")).to_contain_text("Same")
    expect(setting(page, "stratumPort")).to_contain_text("3334")
    assert fleet.devices[0].patches == [POOL]
    assert fleet.devices[0].settings["stratumUser"] == user
    assert fleet.devices[0].restarts == 1
    history = page.get_by_role("region", name="History of changes")
    expect(history).to_contain_text(f"Preset “{made['name']}”")
    expect(history).to_contain_text("admin")
    page.goto("/presets")
    expect(row(page, made["name"])).to_contain_text("On 1 device")


def test_what_new_firmware_ignores_of_a_preset_is_said_before_it_is_sent(
    page: Page, app_server: Bench, fleet: Fleet
) -> None:
    device = add(page, app_server, fleet.addresses[2])
    known(page, app_server, device)
    choose(page, preset(page, app_server, {"stratumPort": 3334, "frequency": 510}))

    preview = page.get_by_role("list", name="What the preset would change")
    ignored = preview.get_by_role("listitem").filter(has_text="Pool port")
    expect(ignored).to_contain_text("Ignored by this firmware; “Pools” counts.")
    page.get_by_role("button", name="Apply the preset…").click()
    expect(page.get_by_role("dialog")).to_contain_text("does not restart")
    proceed(page)

    toast(page, "not all of it is in force")
    expect(page.locator("#outcome")).to_contain_text("Pool port")
    assert fleet.devices[2].patches == [{"frequency": 510}]


def test_a_preset_that_is_gone_is_said_and_nothing_is_sent(
    page: Page, device: dict[str, Any], fleet: Fleet, app_server: Bench
) -> None:
    made = preset(page, app_server, {"frequency": 510})
    choose(page, made)
    expect(page.get_by_role("button", name="Apply the preset…")).to_be_visible()
    api(page, app_server, "DELETE", f"/api/presets/{made['id']}")

    page.get_by_role("button", name="Apply the preset…").click()

    toast(page, "There is no preset")
    assert fleet.devices[0].patches == []


def test_a_device_that_does_not_answer_is_said_with_what_failed(
    page: Page, device: dict[str, Any], fleet: Fleet, app_server: Bench
) -> None:
    made = preset(page, app_server, {"frequency": 510})
    choose(page, made)
    fleet.switch([0], dead=True)

    page.get_by_role("button", name="Apply the preset…").click()
    proceed(page)

    refused = page.locator("#refused")
    expect(refused).to_contain_text(f"Applying “{made['name']}”", timeout=LONG_MS)
    expect(refused).to_contain_text("does not answer")
    history = page.get_by_role("region", name="History of changes")
    expect(history.get_by_role("row").nth(1)).to_contain_text("Failed")
    assert fleet.devices[0].patches == []


# --- to many devices


def test_a_rollout_stops_at_its_canary_goes_on_and_is_taken_back_on_one_device(
    page: Page, app_server: Bench, fleet: Fleet
) -> None:
    tag, made = unique("rack"), preset(page, app_server, {"frequency": 505})
    devices = [add(page, app_server, address, tags=[tag]) for address in fleet.addresses]
    for device in devices:
        known(page, app_server, device)
    before = fleet.devices[1].settings["frequency"]
    page.goto(f"/presets/{made['id']}")
    page.get_by_role("link", name="Apply to devices…").click()
    page.get_by_role("searchbox", name="Only with the tag").fill(tag)
    expect(page.get_by_role("checkbox", name=re.compile("^Apply to"))).to_have_count(3)
    for device in devices:
        page.get_by_label(f"Apply to {device['name']}").click()
        expect(page.get_by_label(f"Apply to {device['name']}")).to_be_checked()
    expect(page.locator("#summary")).to_have_text(
        f"Apply “{made['name']}” to 3 devices, {devices[0]['name']} first."
    )

    fleet.switch([0], dead=True)
    page.get_by_role("button", name="Start the roll-out").click()

    expect(page.locator("#headline")).to_contain_text("canary", timeout=LONG_MS)
    expect(row(page, devices[0]["name"])).to_contain_text("Failed")
    expect(row(page, devices[0]["name"])).to_contain_text("does not answer")
    expect(row(page, devices[1]["name"])).to_contain_text("Waiting")
    assert fleet.devices[1].patches == []

    fleet.heal()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#headline")).to_have_text("Done: every device took it.", timeout=LONG_MS)
    assert [one.settings["frequency"] for one in fleet.devices] == [505, 505, 505]

    page.get_by_role("button", name=f"Revert {devices[1]['name']}").click()
    dialog = page.get_by_role("alertdialog")
    dialog.get_by_role("button", name="Revert the device").click()
    expect(dialog).to_have_count(0)
    expect(row(page, devices[1]["name"])).to_contain_text("Reverted", timeout=LONG_MS)
    assert [one.settings["frequency"] for one in fleet.devices] == [505, before, 505]
    page.goto("/presets")
    expect(row(page, made["name"]).filter(has_text="3 of 3")).to_contain_text("Completed")


def test_a_rollout_is_stopped_by_hand(page: Page, app_server: Bench, fleet: Fleet) -> None:
    made = preset(page, app_server, {"frequency": 505})
    devices = [add(page, app_server, address) for address in fleet.addresses]
    fleet.switch([0], slow_s=3.0)
    body = {"preset_id": made["id"], "device_ids": [one["id"] for one in devices]}
    rollout = api(page, app_server, "POST", "/api/rollouts", body)
    page.goto(f"/rollouts/{rollout['id']}")

    page.get_by_role("button", name="Stop").click()

    expect(page.locator("#headline")).to_contain_text("Stopped by admin")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_device_in_a_run_or_without_an_answer_cannot_be_chosen(
    page: Page, app_server: Bench
) -> None:
    device = add(page, app_server, "127.0.0.1:9")
    page.goto("/rollouts/new")

    page.get_by_role("searchbox", name="Find a device").fill(device["name"])

    expect(row(page, device["name"])).to_contain_text("is offline")
    expect(page.get_by_label(f"Apply to {device['name']}")).to_be_disabled()
    expect(page.get_by_role("button", name="Start the roll-out")).to_be_disabled()
