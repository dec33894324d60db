"""The newcomer's journey of docs/first-fleet.md, on a bench as `make up` starts it.

`IMAGES=docs/images` also takes the pictures of that page.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from testbench.domain.simulation import MINERS
from tests.e2e.configuring import proceed, quiet, setting, toast
from tests.services import Bench, bench

IMAGES = os.environ.get("IMAGES")
MINER = "bitaxe_E303"
TOGETHER_MS = 60_000
RUN_MS = 180_000

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def demo_server(folder: Path) -> Iterator[Bench]:
    """A bench with its demo, on nothing but what comes with it."""
    with bench(folder / "demo", {}, demo=True) as running:
        yield running


@pytest.fixture
def page(browser: Browser, demo_server: Bench) -> Iterator[Page]:
    """A browser that was never here."""
    context = browser.new_context(
        base_url=demo_server.url, viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    with quiet(page):
        yield page
    context.close()


def picture(page: Page, name: str) -> None:
    """For the documentation, where it is asked for; what is pointed at or said is left out."""
    if IMAGES:
        page.mouse.move(0, 0)
        expect(page.locator("[data-sonner-toast]")).to_have_count(0, timeout=30_000)
        page.screenshot(path=Path(IMAGES) / f"{name}.png")


def log_in(page: Page, bench: Bench) -> None:
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(bench.admin_password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()


def discover(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Devices").click()
    page.get_by_role("link", name="Discover").last.click()
    page.get_by_role("button", name="Search now").first.click()
    expect(page.get_by_text(f"{len(MINERS)} found").first).to_be_visible(timeout=TOGETHER_MS)
    page.get_by_role("button", name="Select all new").click()
    expect(page.get_by_text(f"{len(MINERS)} selected")).to_be_visible()
    picture(page, "fleet-discover")


def imprint(page: Page) -> None:
    page.get_by_role("button", name="Imprint selected").click()
    said = f"{len(MINERS)} devices are imprinted and monitored."
    expect(page.get_by_text(said).first).to_be_visible(timeout=TOGETHER_MS)
    page.get_by_role("link", name="Open the fleet").click()


def watch(page: Page) -> None:
    expect(page.get_by_text(f"{len(MINERS)} devices", exact=True)).to_be_visible()
    line = page.get_by_role("row").filter(has_text=MINER)
    expect(line).to_contain_text("Available", timeout=TOGETHER_MS)
    expect(line).to_contain_text("°C")
    page.get_by_role("searchbox").fill("bitaxe")
    expect(page.get_by_text(f"{len(MINERS) - 1} devices", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(line.locator("svg path[d^=M]").first).to_be_attached(timeout=180_000)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Devices").click()
    expect(page.get_by_text("demo-sensor-01")).to_be_visible()
    expect(line.locator("svg path[d^=M]").first).to_be_attached(timeout=TOGETHER_MS)
    picture(page, "fleet-devices")
    page.get_by_role("link", name=MINER).click()
    expect(page.get_by_role("heading", level=1, name=MINER)).to_be_visible()
    expect(page.locator(".recharts-line-curve").first).to_be_attached(timeout=TOGETHER_MS)
    picture(page, "fleet-device")


def reconfigure(page: Page) -> None:
    sections = page.get_by_role("navigation", name="Sections")
    sections.get_by_role("link", name="Configuration").click()
    page.locator("#preset").select_option(label="Efficient 485 MHz (demo)")
    page.get_by_role("button", name="Apply the preset…").click()
    proceed(page)
    toast(page, "“Efficient 485 MHz (demo)” is applied.")
    expect(setting(page, "frequency")).to_contain_text("485")
    expect(setting(page, "frequency")).to_contain_text("Same")
    picture(page, "fleet-configuration")


def run_a_test(page: Page) -> None:
    page.get_by_role("link", name=re.compile("Start run")).first.click()
    page.locator("#case").select_option(label="600 MHz, 30 s (demo)")
    expect(page.locator("#summary")).to_have_text(f"Run “600 MHz, 30 s (demo)” on {MINER}.")
    page.get_by_role("button", name="Start").click()
    headline = page.locator("#headline")
    expect(headline).to_contain_text(re.compile("^(Passed|Failed|Error|Timed)"), timeout=RUN_MS)
    expect(headline).to_have_text("Passed: all 2 required criteria held")
    picture(page, "fleet-run")


def remove(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Devices").click()
    page.get_by_role("searchbox").fill(MINER)
    expect(page.get_by_text("1 device", exact=True)).to_be_visible()
    page.get_by_role("checkbox", name=f"Select {MINER}").click()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Remove").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("Remove 1 device?")
    asked.get_by_role("button", name="Remove them").click()
    expect(asked).to_have_count(0)
    expect(page.get_by_text("No device matches")).to_be_visible(timeout=TOGETHER_MS)


def remove_the_demo(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="System").click()
    page.get_by_role("button", name="Remove the demo").click()
    asked = page.get_by_role("alertdialog")
    asked.get_by_role("button", name="Remove the demo").click()
    expect(asked).to_have_count(0)
    page.goto("/devices")
    expect(page.get_by_text("No devices yet")).to_be_visible(timeout=TOGETHER_MS)


def test_a_first_fleet_from_discovery_to_removal(page: Page, demo_server: Bench) -> None:
    log_in(page, demo_server)
    discover(page)
    imprint(page)
    watch(page)
    reconfigure(page)
    run_a_test(page)
    # What the run had changed for its time stands again as it was before.
    page.goto("/devices")
    page.get_by_role("link", name=MINER).click()
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Config").click()
    expect(setting(page, "frequency")).to_contain_text("485", timeout=TOGETHER_MS)
    remove(page)
    remove_the_demo(page)
