"""axe-core (tests/data/axe) finds nothing serious on any page, in both themes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from testbench.launcher.emulator import emulate
from tests.e2e.configuring import add, api, edit, known, proceed, unique
from tests.services import Bench

AXE = (Path(__file__).parents[1] / "data/axe/axe.min.js").read_text()
FIND = """axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then(
  (found) => found.violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => [v.id, v.nodes.map((node) => node.html.slice(0, 200))]))"""
PAGES = (
    "/",
    "/devices",
    "/discover",
    "/runs",
    "/runs/new",
    "/test-cases",
    "/environments",
    "/presets",
    "/presets/new",
    "/rollouts/new",
    "/discover",
    "/system",
    "/account",
    "/users",
    "/nowhere",
)
Open = Callable[..., Page]


def faults(page: Page) -> Any:
    page.evaluate(AXE)
    return page.evaluate(FIND)


def settle(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_have_no_serious_fault(someone: Open, theme: str) -> None:
    page = someone(color_scheme=theme)
    found = {}

    for path in PAGES:
        page.goto(path)
        settle(page)
        found[path] = faults(page)

    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_device_and_its_dialogs_have_no_serious_fault(someone: Open, theme: str) -> None:
    # A dialog that is still fading in has no contrast yet.
    page = someone("/devices", color_scheme=theme, reduced_motion="reduce")
    found = []

    page.get_by_role("button", name="Register", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Register").click()
    expect(page.get_by_text("must not be empty")).to_be_visible()
    found += faults(page)
    dialog.get_by_label("Name").fill(f"axe-{theme}")
    dialog.get_by_role("button", name="Register").click()
    page.locator("#secret").wait_for()
    found += faults(page)
    page.get_by_role("button", name="Open device").click()
    for tab in ("Telemetry", "Configuration", "Runs", "Logs", "Access", "Details"):
        page.get_by_role("navigation", name="Sections").get_by_role("link", name=tab).click()
        settle(page)
        found += faults(page)
    page.get_by_role("button", name="Remove device").click()
    page.get_by_role("alertdialog").wait_for()
    found += faults(page)

    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_settings_presets_and_rollouts_have_no_serious_fault(
    someone: Open, app_server: Bench, theme: str
) -> None:
    page = someone("/devices", color_scheme=theme, reduced_motion="reduce")
    found = []
    body = {"name": unique("axe"), "configuration": {"frequency": 500, "wifiPass": "hush hush"}}
    preset = api(page, app_server, "POST", "/api/presets", body)
    # Each device needs a MAC of its own, also among those of other tests.
    with emulate(1, ["2.12.0"], seed=hash(body["name"]) % 1_000_000) as fleet:
        device = add(page, app_server, fleet.addresses[0])
        known(page, app_server, device)
        found += faults(page)
        page.locator("#preset").select_option(label=preset["name"])
        expect(page.get_by_role("list", name="What the preset would change")).to_be_visible()
        found += faults(page)
        page.get_by_role("button", name="Apply the preset…").click()
        page.get_by_role("dialog").wait_for()
        found += faults(page)
        proceed(page)
        page.locator("#outcome").wait_for()
        # A toast that is fading has no contrast any more.
        expect(page.locator("[data-sonner-toast]")).to_have_count(0)
        edit(page, temptarget="90")
        expect(page.get_by_text("must be 35 to 66", exact=False).first).to_be_visible()
        found += faults(page)
        page.goto(f"/presets/{preset['id']}")
        page.get_by_role("button", name="Replace Wi-Fi password").click()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("is required; remove the setting")).to_be_visible()
        found += faults(page)
        body = {"preset_id": preset["id"], "device_ids": [device["id"]]}
        rollout = api(page, app_server, "POST", "/api/rollouts", body)
        page.goto(f"/rollouts/{rollout['id']}")
        expect(page.locator("#headline")).to_have_text("Done: every device took it.")
        found += faults(page)

    assert found == []
