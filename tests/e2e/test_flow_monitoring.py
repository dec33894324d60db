"""The flow "Device Monitoring": listened to, polled, shown live; silent, flagged, and back."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.services import Bench, wait_until

SOON_MS = 40_000
"""A few polls, on two busy cores."""


@pytest.fixture
def lab(page: Page, app_server: Bench) -> Iterator[Fleet]:
    """Two devices, imprinted, which nobody polls yet."""
    with labs.undisturbed(page, app_server), labs.lab(2, versions=["2.12.0"]) as fleet:
        labs.call(page, app_server, "GET", "/api/devices/discover")
        macs = [device.mac for device in fleet.devices]
        answer = labs.call(page, app_server, "PUT", "/api/devices/imprint", {"macs": macs})
        assert answer.ok, answer.text()
        yield fleet


def listen(page: Page, server: Bench, **body: Any) -> list[dict[str, Any]]:
    answer = labs.call(page, server, "PUT", "/api/devices/listen", body)
    assert answer.ok, answer.text()
    listed: list[dict[str, Any]] = answer.json()
    return listed


def quick(page: Page, server: Bench, mac: str) -> dict[str, Any]:
    """Asked every second, offline after three."""
    patch = {"poll_interval_s": 1, "offline_after_s": 3}
    device: dict[str, Any] = labs.call(page, server, "PATCH", f"/api/devices/{mac}", patch).json()
    return device


def device(page: Page, mac: str) -> dict[str, Any]:
    found: dict[str, Any] = page.context.request.get(f"/api/devices/{mac}").json()
    return found


def figure(page: Page, metric: str) -> Locator:
    """A value on the device's page, in the list of all readings."""
    named = page.locator(".tb-reading").filter(has=page.get_by_text(metric, exact=True))
    return named.locator(".tb-reading-value")


def head(page: Page) -> Locator:
    """The line with state, last seen, error."""
    return page.locator("main .tb-filters").first


def test_an_imprinted_device_is_polled_once_it_is_listened_to(
    page: Page, lab: Fleet, app_server: Bench
) -> None:
    first, second = lab.devices
    assert not device(page, first.mac)["monitored"]

    listed = listen(page, app_server, macs=[first.mac])

    assert [one["mac"] for one in listed] == [first.mac]
    assert listed[0]["monitored"]
    page.goto(f"/devices/{listed[0]['id']}")
    expect(head(page)).to_contain_text("Available", timeout=SOON_MS)
    expect(figure(page, "power")).to_contain_text("W", timeout=SOON_MS)
    assert device(page, first.mac)["info"]["version"] == first.firmware.shown_version
    assert second.polls <= 2  # as it was found, and as it was imprinted


def test_the_page_follows_the_polls(page: Page, lab: Fleet, app_server: Bench) -> None:
    mac = lab.devices[0].mac
    id = quick(page, app_server, mac)["id"]
    listen(page, app_server, macs=[mac])
    page.goto(f"/devices/{id}")
    expect(figure(page, "uptime")).to_be_visible(timeout=SOON_MS)
    before = figure(page, "uptime").inner_text()

    expect(figure(page, "uptime")).not_to_have_text(before, timeout=SOON_MS)
    lab.devices[0].settings["frequency"] = 333
    expect(figure(page, "frequency")).to_contain_text("333", timeout=SOON_MS)


def test_how_often_a_device_is_asked_is_set_on_its_page(
    page: Page, lab: Fleet, app_server: Bench
) -> None:
    mac = lab.devices[0].mac
    page.goto(f"/devices/{device(page, mac)['id']}?tab=details")
    field = page.get_by_label("Asked every")
    field.fill("0.2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("must be at least 1")).to_be_visible()
    field.fill("2.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert device(page, mac)["poll_interval_s"] == 2.5

    field.fill("")
    page.get_by_role("button", name="Save").click()
    wait_until(lambda: device(page, mac)["poll_interval_s"] is None, 20)


@pytest.mark.parametrize("fault", [{"dead": True}, {"hanging": True}, {"garbage": True}])
def test_a_device_that_falls_silent_is_shown_so_and_comes_back(
    page: Page, lab: Fleet, app_server: Bench, fault: dict[str, Any]
) -> None:
    mac = lab.devices[0].mac
    id = quick(page, app_server, mac)["id"]
    listen(page, app_server)
    page.goto(f"/devices/{id}")
    expect(head(page)).to_contain_text("Available", timeout=SOON_MS)

    lab.switch([0], **fault)

    expect(head(page).locator(".tb-fault")).to_contain_text("The device", timeout=SOON_MS)
    expect(head(page)).to_contain_text("Offline", timeout=SOON_MS)
    failing = device(page, mac)
    assert (failing["monitored"], failing["tracing"]) == (True, False)
    wait_until(lambda: device(page, lab.devices[1].mac)["online"], 20)

    lab.heal()
    expect(head(page)).to_contain_text("Available", timeout=SOON_MS)
    expect(head(page).locator(".tb-fault")).to_have_count(0, timeout=SOON_MS)


def test_a_device_no_longer_listed_is_asked_no_more(
    page: Page, lab: Fleet, app_server: Bench
) -> None:
    first, second = lab.devices
    listen(page, app_server)
    wait_until(lambda: device(page, first.mac)["online"], 30)

    listen(page, app_server, macs=[second.mac])

    page.wait_for_timeout(4000)
    asked, others = first.polls, second.polls
    wait_until(lambda: second.polls > others + 1, 30)
    assert first.polls == asked
    assert not device(page, first.mac)["monitored"]


def test_logs_are_read_where_they_are_traced(page: Page, lab: Fleet, app_server: Bench) -> None:
    listen(page, app_server, macs=[lab.devices[0].mac], trace_logs=True)

    wait_until(lambda: lab.servers[0]._listeners == 1, 30)
    assert lab.servers[1]._listeners == 0
    assert device(page, lab.devices[0].mac)["trace_logs"]

    listen(page, app_server, macs=[lab.devices[0].mac], trace_logs=False)
    wait_until(lambda: lab.servers[0]._listeners == 0, 30)


def test_what_a_device_calls_itself_is_shown_as_text(
    page: Page, lab: Fleet, app_server: Bench
) -> None:
    mac = lab.devices[0].mac
    hostname = "<script>window.hurt=1</script><img src=x onerror='window.hurt=1'>"
    lab.devices[0].settings["hostname"] = hostname
    id = quick(page, app_server, mac)["id"]
    listen(page, app_server, macs=[mac])
    wait_until(lambda: device(page, mac)["hostname"] == hostname, 30)

    page.goto(f"/devices/{id}?tab=details")
    expect(page.locator(".tb-facts").first).to_contain_text(hostname)
    page.goto(f"/devices?q={mac}")
    expect(page.get_by_role("row")).not_to_have_count(0)
    assert page.evaluate("window.hurt") is None
