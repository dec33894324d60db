"""The flows "Log Streaming" and "WebSocket Connection Failure", in a browser and over SSE."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import connect

from testbench.launcher.emulator import Fleet, emulate
from tests.e2e.configuring import api, unique
from tests.e2e.test_accessibility import faults
from tests.services import Bench, wait_until
from tests.sse import Sse, followed

Open = Callable[..., Page]


@pytest.fixture
def miners() -> Iterator[Fleet]:
    """One device that writes a few lines a second; its MAC is no other test's."""
    seed = hash(unique("logs")) % 1_000_000
    with emulate(1, ["2.12.0"], log_every_s=0.3, seed=seed) as fleet:
        yield fleet


@pytest.fixture
def device(page: Page, app_server: Bench, miners: Fleet) -> Iterator[dict[str, Any]]:
    body = {"name": unique("miner"), "kind": "axeos", "ip": miners.addresses[0]}
    body["mac"] = miners.devices[0].mac
    made: dict[str, Any] = api(page, app_server, "POST", "/api/devices", body)
    yield made
    api(page, app_server, "DELETE", f"/api/devices/{made['id']}")


@pytest.fixture
def token(page: Page, app_server: Bench) -> str:
    """Of an SSE client."""
    body = {"name": unique("reader"), "scope": "read"}
    return str(api(page, app_server, "POST", "/api/auth/tokens", body)["token"])


def lines(page: Page) -> Locator:
    return page.locator(".tb-log-line")


def standing(page: Page) -> Locator:
    return page.locator("#log-standing")


def listening(page: Page, app_server: Bench, device: dict[str, Any]) -> Any:
    return api(page, app_server, "GET", f"/api/devices/{device['id']}/logs/listening")


def open_logs(page: Page, device: dict[str, Any]) -> None:
    page.goto(f"/devices/{device['id']}")
    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Logs").click()
    expect(page.get_by_role("heading", name="Log", exact=True)).to_be_visible()


def updates(stream: Sse, device: dict[str, Any]) -> list[dict[str, Any]]:
    told = [json.loads(data) for data in stream.data("logs_update")]
    return [one for one in told if one["mac"] == device["mac"]]


def test_enabled_lines_reach_browser_and_client_and_disabled_they_do_not(
    page: Page, app_server: Bench, device: dict[str, Any], miners: Fleet, token: str
) -> None:
    open_logs(page, device)
    expect(page.get_by_role("heading", name="The log is not traced")).to_be_visible()
    expect(standing(page)).to_have_text("Not traced")
    assert listening(page, app_server, device) == {"listening": False}
    assert miners.servers[0]._listeners == 0

    events = f"{app_server.url}/api/devices/events"
    log = f"{app_server.url}/api/devices/{device['id']}/logs?tail=10"
    with followed(events, token) as fleet, followed(log, token) as lines_alone:
        # Enable
        page.get_by_label("Trace logs").click()
        expect(standing(page)).to_have_text("Connected")
        assert miners.servers[0]._listeners == 1
        # Reception, emission: browser and clients see the device's lines.
        expect(lines(page).nth(5)).to_be_visible()
        wait_until(lambda: len(updates(fleet, device)) > 5, 20, lambda: str(fleet.events[-3:]))
        lines_alone.until(lambda: len(lines_alone.events) > 5)
        assert updates(fleet, device)[0].keys() == {"mac", "ip", "info"}
        assert updates(fleet, device)[0]["ip"] == miners.addresses[0]
        shown = lines(page).locator("span").all_text_contents()
        told = {one["info"] for one in updates(fleet, device)}
        assert len(told & set(shown)) > 5
        assert len(told & set(lines_alone.data())) > 5
        # Check status
        assert listening(page, app_server, device) == {"listening": True}
        # Disable
        door = f"/api/devices/{device['id']}/logs/listening"
        off = api(page, app_server, "PUT", door, {"enabled": False})
        assert off == {"listening": False}
        expect(standing(page)).to_have_text("Not traced")
        wait_until(lambda: miners.servers[0]._listeners == 0, 20)
        page.wait_for_timeout(1000)
        before = len(updates(fleet, device)), len(lines_alone.events), lines(page).count()
        page.wait_for_timeout(2000)
        assert (len(updates(fleet, device)), len(lines_alone.events), lines(page).count()) == before

    # What was written stays to be read.
    page.reload()
    expect(lines(page).first).to_be_visible()
    expect(page.get_by_label("Trace logs")).not_to_be_checked()


def test_lines_are_paused_filtered_and_taken_along(
    page: Page, app_server: Bench, device: dict[str, Any], miners: Fleet
) -> None:
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: frames.append(str(f))))
    open_logs(page, device)
    page.get_by_role("button", name="Trace logs").click()
    expect(lines(page).nth(8)).to_be_visible()

    # Pause: what is shown stays, what comes is counted.
    page.get_by_role("button", name="Pause").click()
    paused = lines(page).count()
    expect(page.get_by_text(re.compile(r"Paused, [1-9]\d* new"))).to_be_visible()
    assert lines(page).count() == paused
    page.get_by_role("button", name="Resume").click()
    expect(lines(page).nth(paused + 3)).to_be_attached()

    # Filter: only lines with the text, also those that come.
    page.get_by_role("searchbox", name="Filter lines").fill("ASIC_result")
    expect(page.get_by_text(re.compile(r"^\d+ of \d+ lines$"))).to_be_visible()
    some = lines(page).count()
    expect(lines(page).nth(some + 2)).to_be_attached()
    assert all("asic_result" in text for text in lines(page).all_text_contents())
    page.get_by_role("searchbox", name="Filter lines").fill("no such line")
    expect(page.get_by_text("No line has this in it.")).to_be_visible()
    page.get_by_role("searchbox", name="Filter lines").fill("stratum")

    # Along: what is shown, as a file.
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    taken = download.value.path().read_text()
    assert download.value.suggested_filename.endswith(".log")
    assert "stratum_task" in taken
    assert "asic_result" not in taken

    # A line costs no state of the page: none came over its socket.
    assert frames
    assert not any("asic_result" in frame for frame in frames)


def test_failing_connections_are_tried_again_five_times_and_polling_goes_on(
    page: Page, app_server: Bench, device: dict[str, Any], miners: Fleet
) -> None:
    with ExitStack() as places:
        url = f"ws://{miners.addresses[0]}/api/ws"
        for _ in range(10):
            places.enter_context(connect(url, ping_interval=None, close_timeout=0.1))
        open_logs(page, device)
        page.get_by_label("Trace logs").click()

        # Each attempt is shown, with the device's own words.
        expect(standing(page)).to_contain_text(re.compile(r"Reconnecting.*attempt [1-5] of 5"))
        expect(page.get_by_text("Max WebSocket clients reached", exact=False)).to_be_visible()
        expect(standing(page)).to_contain_text("Given up", timeout=60_000)
        expect(standing(page)).to_contain_text("after 5 attempts")
        again = page.get_by_role("button", name="Try again")
        expect(again).to_be_visible()
        polls = miners.devices[0].polls
        wait_until(lambda: miners.devices[0].polls > polls, 30)
        shown = api(page, app_server, "GET", f"/api/devices/{device['id']}")
        assert (shown["online"], shown["tracing"], shown["trace_logs"]) == (True, True, True)

    # There is a place again: somebody asks, and it connects.
    if again.count():  # else a poll that came late was taken for the device coming back
        again.click()
    expect(standing(page)).to_have_text("Connected")
    expect(lines(page).nth(3)).to_be_visible()

    # Auto-reconnect: a restart cuts the log off, and it goes on by itself.
    before = lines(page).count()
    miners.restart(0)
    wait_until(lambda: miners.devices[0].restarts == 1, 20)
    expect(standing(page)).to_have_text("Connected")
    expect(lines(page).nth(before + 5)).to_be_attached(timeout=30_000)


def test_a_web_process_that_stops_holds_nobody_and_the_log_goes_on(
    page: Page, app_server: Bench, device: dict[str, Any], token: str
) -> None:
    open_logs(page, device)
    page.get_by_label("Trace logs").click()
    expect(lines(page).nth(5)).to_be_visible()
    pid = app_server.pid("web")

    with followed(f"{app_server.url}/api/devices/events", token) as fleet:
        fleet.until(lambda: fleet.events)
        os.kill(pid, signal.SIGTERM)
        assert fleet.ended.wait(3)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)

    # Its successor is asked for what came after the last line that was seen.
    before = lines(page).count()
    expect(lines(page).nth(before + 5)).to_be_attached(timeout=60_000)
    assert "refused to gracefully stop" not in (app_server.folder / "logs/web.log").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_is_fit_for_phones_and_screen_readers(
    someone: Open, app_server: Bench, device: dict[str, Any], theme: str
) -> None:
    options = {"color_scheme": theme, "reduced_motion": "reduce"}
    page = someone(viewport={"width": 390, "height": 800}, **options)
    open_logs(page, device)
    expect(page.get_by_role("heading", name="The log is not traced")).to_be_visible()
    found = list(faults(page))

    page.get_by_label("Trace logs").click()
    expect(lines(page).nth(8)).to_be_visible()
    expect(page.locator("[data-sonner-toast]")).to_have_count(0)
    found += faults(page)

    assert found == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
