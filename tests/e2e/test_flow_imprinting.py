"""The flow "Device Imprinting": MACs in, looked up, cleaned, inserted or updated, answered."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, expect

from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.services import Bench


@pytest.fixture
def lab(page: Page, app_server: Bench) -> Iterator[Fleet]:
    """Three devices that the bench has never seen; the network was searched."""
    with labs.undisturbed(page, app_server), labs.lab(3) as fleet:
        answer = page.context.request.get("/api/devices/discover", timeout=60_000)
        assert answer.ok, answer.text()
        yield fleet


def macs(lab: Fleet) -> list[str]:
    return [device.mac for device in lab.devices]


def call(page: Page, server: Bench, method: str, body: Any) -> APIResponse:
    return labs.call(page, server, method, "/api/devices/imprint", body)


def imprinted(page: Page) -> list[str]:
    return [one["mac"] for one in page.context.request.get("/api/devices/imprint").json()]


def test_macs_are_imprinted_and_answered_without_secrets(
    page: Page, lab: Fleet, app_server: Bench
) -> None:
    answer = call(page, app_server, "PUT", {"macs": macs(lab)[:2]})

    assert answer.status == 200
    assert [device["mac"] for device in answer.json()] == macs(lab)[:2]
    assert answer.json()[0]["name"].startswith(lab.devices[0].settings["hostname"])
    text = answer.text()
    assert "stratumPassword" not in text
    assert "wifiPass" not in text
    assert set(macs(lab)[:2]) <= set(imprinted(page))


def test_one_more_is_merged_with_those_imprinted(page: Page, lab: Fleet, app_server: Bench) -> None:
    call(page, app_server, "PUT", {"macs": macs(lab)[:1]})

    answer = call(page, app_server, "PATCH", {"mac": macs(lab)[1]})

    assert answer.status == 200
    assert set(macs(lab)[:2]) <= {device["mac"] for device in answer.json()}


def test_a_known_device_is_updated(page: Page, lab: Fleet, app_server: Bench) -> None:
    first = call(page, app_server, "PUT", {"macs": macs(lab)[:1]}).json()[0]
    lab.devices[0].settings["hostname"] = "moved"
    page.context.request.get("/api/devices/discover", timeout=60_000)

    again = call(page, app_server, "PUT", {"macs": macs(lab)[:1]}).json()[0]

    assert again["id"] == first["id"]
    assert again["hostname"] == "moved"
    assert imprinted(page).count(macs(lab)[0]) == 1


def test_no_devices_found_is_404(page: Page, lab: Fleet, app_server: Bench) -> None:
    unknown = "00:00:00:00:00:01"

    assert call(page, app_server, "PUT", {"macs": [unknown]}).status == 404
    assert call(page, app_server, "PATCH", {"mac": unknown}).status == 404
    assert call(page, app_server, "PUT", {"macs": ["nonsense"]}).status == 422


def test_a_person_imprints_what_the_search_found(page: Page, lab: Fleet) -> None:
    page.goto("/discover")
    table = page.get_by_role("table", name="Found devices")
    line = table.get_by_role("row").filter(has_text=macs(lab)[0])
    expect(line).to_contain_text("New")

    page.get_by_role("button", name="Select all new").click()
    expect(page.get_by_text("3 selected")).to_be_visible()
    line.get_by_role("checkbox").click()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Imprint selected").click()

    expect(page.get_by_text("2 devices are imprinted and monitored.").first).to_be_visible()
    expect(line).to_contain_text("New")
    imprinted_line = table.get_by_role("row").filter(has_text=macs(lab)[1])
    expect(imprinted_line).not_to_contain_text("New")
    page.get_by_role("link", name="Open the fleet").click()
    expect(page).to_have_url(re.compile("/devices"))
    hostname = lab.devices[1].settings["hostname"]
    expect(page.get_by_role("row").filter(has_text=hostname).first).to_be_visible()


def test_imprinted_without_monitoring_a_device_is_not_polled(page: Page, lab: Fleet) -> None:
    page.goto("/discover")
    table = page.get_by_role("table", name="Found devices")
    table.get_by_role("row").filter(has_text=macs(lab)[2]).get_by_role("checkbox").click()
    page.get_by_label("Start monitoring").click()
    page.get_by_role("button", name="Imprint selected").click()
    expect(page.get_by_text("1 device is imprinted.").first).to_be_visible()

    made = page.context.request.get(f"/api/devices/{macs(lab)[2]}").json()
    assert made["monitored"] is False
    polls = lab.devices[2].polls
    page.wait_for_timeout(7_000)
    assert lab.devices[2].polls == polls
