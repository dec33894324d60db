"""axe-core (tests/data/axe) finds nothing serious on any page, in both themes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

AXE = (Path(__file__).parents[1] / "data/axe/axe.min.js").read_text()
FIND = """axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then(
  (found) => found.violations.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => [v.id, v.nodes.map((node) => node.html.slice(0, 200))]))"""
PAGES = (
    "/",
    "/devices",
    "/runs",
    "/runs/new",
    "/test-cases",
    "/environments",
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
    for tab in ("Telemetry", "Runs", "Access", "Details"):
        page.get_by_role("navigation", name="Sections").get_by_role("link", name=tab).click()
        settle(page)
        found += faults(page)
    page.get_by_role("button", name="Remove device").click()
    page.get_by_role("alertdialog").wait_for()
    found += faults(page)

    assert found == []
