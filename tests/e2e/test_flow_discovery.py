"""The flow "Device Discovery": a request with filters, the network or a service, the answer."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, Page, expect

from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.e2e.labs import sign_in
from tests.services import Bench, bench
from tests.services.test_discovery import entry, service

Open = Callable[..., Page]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def lab(page: Page, app_server: Bench) -> Iterator[Fleet]:
    """Five devices are on the bench's network."""
    with labs.undisturbed(page, app_server), labs.lab(5) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def listing() -> dict[str, Any]:
    """What the named discovery service answers."""
    return {"answer": [entry(1, hostname="from-the-service")]}


@pytest.fixture(scope="module")
def named_service_server(folder: Path, listing: dict[str, Any]) -> Iterator[Bench]:
    """A bench that asks a discovery service, embedded otherwise."""
    with (
        service(lambda _: listing["answer"]) as url,
        bench(folder / "discovery-app", {"DISCOVERY_URL": url}) as running,
    ):
        yield running


def listed(request: APIRequestContext, path: str) -> list[dict[str, Any]]:
    answer = request.get(path, timeout=60_000)
    assert answer.ok, answer.text()
    found: list[dict[str, Any]] = answer.json()
    return found


def search(page: Page) -> None:
    page.get_by_role("button", name="Search now").first.click()
    expect(page.get_by_text("Search done").first).to_be_visible(timeout=60_000)


def test_client_requests_devices_with_filters(page: Page, lab: Fleet) -> None:
    request, macs = page.context.request, [device.mac for device in lab.devices]

    found = listed(request, "/api/devices/discover")
    by_mac = listed(request, f"/api/devices/discovered?macs={macs[0]},{macs[3].upper()}")
    by_ip = listed(request, f"/api/devices/discovered?ip={lab.servers[1].host}")
    by_part = listed(request, f"/api/devices/discover?mac={macs[4][9:]}&partialMatch=true")

    assert [device["mac"] for device in found] == macs
    assert [device["mac"] for device in by_mac] == [macs[0], macs[3]]
    assert [device["mac"] for device in by_ip] == [macs[1]]
    assert [device["mac"] for device in by_part] == [macs[4]]


def test_each_device_of_the_answer_has_mac_ip_hostname_and_info(page: Page, lab: Fleet) -> None:
    for device, address in zip(
        listed(page.context.request, "/api/devices/discover"), lab.addresses, strict=True
    ):
        assert device["ip"] == address
        assert device["hostname"] == device["info"]["hostname"]
        assert device["info"]["ASICModel"]
        assert not [key for key in device["info"] if "pass" in key.lower()]


def test_a_person_searches_and_sees_what_answers(page: Page, lab: Fleet) -> None:
    lab.switch([0], dead=True)
    page.goto("/discover")

    search(page)

    table = page.get_by_role("table", name="Found devices")
    expect(table.get_by_role("row")).to_have_count(5)
    for device, address in list(zip(lab.devices, lab.addresses, strict=True))[1:]:
        line = table.get_by_role("row").filter(has_text=device.mac)
        expect(line).to_contain_text(address)
        expect(line).to_contain_text(device.settings["hostname"])
        expect(line).to_contain_text(device.firmware.asic)
    expect(page.get_by_text("4 found")).to_be_visible()
    expect(page.get_by_text("Last search")).to_be_visible()


def test_devices_appear_while_the_search_goes_on_and_it_can_be_cancelled(
    page: Page, lab: Fleet
) -> None:
    lab.switch([0], hanging=True)
    page.goto("/discover")
    page.get_by_role("button", name="Search now").first.click()

    expect(page.get_by_role("progressbar", name="Search")).to_be_visible()
    expect(page.get_by_role("table").get_by_text(lab.devices[3].mac)).to_be_visible()
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_text("The search was called off")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Search")).to_have_count(0)


def test_the_list_is_filtered_in_the_address(page: Page, lab: Fleet) -> None:
    lab.devices[2].settings["hostname"] = "kitchen-oven"
    page.goto("/discover")
    search(page)

    page.get_by_role("searchbox").fill("kitchen")

    expect(page).to_have_url(re.compile("q=kitchen"))
    expect(page.get_by_role("table").get_by_role("row")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("table").get_by_text("kitchen-oven")).to_be_visible()
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No device matches")).to_be_visible()


def test_what_a_device_says_is_shown_as_text(page: Page, lab: Fleet) -> None:
    lab.devices[1].settings["hostname"] = HOSTILE
    page.goto("/discover")
    search(page)

    expect(page.get_by_role("table").get_by_text(HOSTILE)).to_be_visible()
    assert page.locator("table img").count() == 0


def test_a_named_service_is_asked_in_place_of_the_network(
    browser: Browser, named_service_server: Bench, listing: dict[str, Any]
) -> None:
    page = sign_in(browser, named_service_server)
    listing["answer"] = [entry(1, hostname="from-the-service")]

    page.goto(f"{named_service_server.url}/discover")
    expect(page.get_by_text("Find the devices of your network")).to_be_visible()
    search(page)

    expect(page.get_by_role("table").get_by_text("from-the-service")).to_be_visible()


def test_a_service_that_is_unavailable_is_an_error_and_no_devices(
    browser: Browser, named_service_server: Bench, listing: dict[str, Any]
) -> None:
    page = sign_in(browser, named_service_server)
    listing["answer"] = 500

    answer = page.context.request.get("/api/devices/discover")
    page.goto(f"{named_service_server.url}/discover")
    page.get_by_role("button", name="Search now").first.click()

    assert answer.status == 502
    assert answer.json()["title"] == "Bad answer from another system"
    expect(page.get_by_text("The discovery service fails")).to_be_visible()
