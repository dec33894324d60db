"""The flow "Device Removal": out of the bench, no longer polled, its data gone where wanted."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.e2e.labs import call, sign_in
from tests.services import LAB, LAB_PORT, Bench, bench, wait_until

Open = Callable[..., Page]


@pytest.fixture
def lab(page: Page, app_server: Bench) -> Iterator[Fleet]:
    """A device that the bench has never seen."""
    with labs.undisturbed(page, app_server), labs.lab(1) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def forgetful_server(folder: Path) -> Iterator[Bench]:
    """A bench that deletes the data of what is removed, on embedded services."""
    env = {
        "DISCOVERY_NETWORKS": LAB,
        "DISCOVERY_PORTS": str(LAB_PORT),
        "DELETE_DATA_ON_DEVICE_REMOVE": "true",
    }
    with bench(folder / "forgetful", env) as running:
        yield running


def monitored(page: Page, server: Bench, lab: Fleet) -> dict[str, Any]:
    """The first device, imprinted and polled; its readings have come."""
    mac = lab.devices[0].mac
    answer = call(page, server, "PUT", "/api/devices/imprint", {"macs": [mac]})
    assert answer.ok, answer.text()
    device: dict[str, Any] = answer.json()[0]
    listen = call(page, server, "PUT", "/api/devices/listen", {"macs": [mac]})
    assert listen.ok, listen.text()
    wait_until(lambda: readings(page, server, device["id"]) > 0, 60)
    return device


def readings(page: Page, server: Bench, device_id: str) -> int:
    answer = call(page, server, "GET", f"/api/devices/{device_id}/telemetry?metric=power")
    return sum(len(one["points"]) for one in answer.json().get("series", []))


def test_deleting_answers_the_device_and_404_for_an_unknown_one(
    page: Page, app_server: Bench, lab: Fleet
) -> None:
    device = monitored(page, app_server, lab)
    mac = device["mac"]

    deleted = call(page, app_server, "DELETE", f"/api/devices/imprint/{mac}")

    assert deleted.status == 200
    assert deleted.json()["mac"] == mac
    assert call(page, app_server, "DELETE", f"/api/devices/imprint/{mac}").status == 404
    left = call(page, app_server, "GET", "/api/devices/imprint").json()
    assert mac not in [one["mac"] for one in left]


def test_a_removed_device_is_polled_no_more(page: Page, app_server: Bench, lab: Fleet) -> None:
    device = monitored(page, app_server, lab)

    call(page, app_server, "DELETE", f"/api/devices/imprint/{device['mac']}")
    page.wait_for_timeout(3_000)  # polls that were under way end
    polls = lab.devices[0].polls
    page.wait_for_timeout(8_000)

    assert lab.devices[0].polls == polls


def test_open_pages_hear_of_it(someone: Open, app_server: Bench, lab: Fleet) -> None:
    fleet = someone("/")
    device = monitored(fleet, app_server, lab)
    fleet.goto(f"/devices?q={device['name']}")
    page = someone(f"/devices/{device['id']}")
    line = fleet.get_by_role("row").filter(has_text=device["name"])
    expect(line).to_be_visible()
    expect(page.get_by_role("heading", level=1, name=device["name"])).to_be_visible()

    call(fleet, app_server, "DELETE", f"/api/devices/imprint/{device['mac']}")

    expect(line).to_have_count(0)
    expect(page.get_by_text(f"{device['name']} was removed")).to_be_visible()


def test_a_person_removes_it_on_its_page_and_it_can_be_imprinted_again(
    page: Page, app_server: Bench, lab: Fleet
) -> None:
    device = monitored(page, app_server, lab)
    page.goto(f"/devices/{device['id']}?tab=details")
    page.get_by_role("button", name="Remove device").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Remove device").click()
    page.wait_for_url(re.compile("/devices/?$"))

    again = call(page, app_server, "PUT", "/api/devices/imprint", {"macs": [device["mac"]]})

    assert again.json()[0]["id"] == device["id"]
    # Without the setting its readings are still there.
    assert readings(page, app_server, device["id"]) > 0


def test_with_the_setting_its_data_is_deleted(
    browser: Browser, forgetful_server: Bench, lab: Fleet
) -> None:
    page = sign_in(browser, forgetful_server)
    device = monitored(page, forgetful_server, lab)

    call(page, forgetful_server, "DELETE", f"/api/devices/imprint/{device['mac']}")
    again = call(page, forgetful_server, "PUT", "/api/devices/imprint", {"macs": [device["mac"]]})

    assert again.json()[0]["id"] == device["id"]
    wait_until(lambda: readings(page, forgetful_server, device["id"]) == 0, 30)
