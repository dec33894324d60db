"""The fleet and a device, as a person sees them."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Page, expect

from tests.large_fleets import clear, fill
from tests.services import Bench

LARGE = 10_000
Open = Callable[..., Page]


class Api:
    """The REST API, in the administrator's name."""

    def __init__(self, context: APIRequestContext, origin: str) -> None:
        self.context, self.origin = context, origin

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.context.fetch(
            path, method=method, data=body, headers={"Origin": self.origin, **headers}
        )
        assert answer.ok, answer.text()
        return answer.json() if answer.status != 204 else None

    def device(self, name: str = "", **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call(
            "POST", "/api/devices", {"name": name or unique(), "kind": "http", **more}
        )
        return made

    def send(self, device: dict[str, Any], **values: Any) -> None:
        token = {"Authorization": f"Bearer {device['token']}"}
        self.call("POST", "/api/telemetry", values, **token)


def unique() -> str:
    return f"bench-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def api(page: Page, app_server: Bench) -> Api:
    return Api(page.context.request, app_server.url)


@pytest.fixture(scope="module")
def large(app_server: Bench) -> Iterator[str]:
    """Ten thousand devices whose names begin so."""
    assert app_server.servers is not None
    url, prefix = app_server.servers.url("postgres"), f"{unique()}-"
    fill(url, LARGE, prefix)
    yield prefix
    clear(url, prefix)


def row(page: Page, name: str) -> Any:
    return page.get_by_role("row").filter(has_text=name)


def test_device_is_registered_and_its_token_works_and_is_shown_once(page: Page, api: Api) -> None:
    name = unique()
    page.goto("/devices")
    page.get_by_role("button", name="Register", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Kind").select_option("http")
    dialog.get_by_label("Tags (optional)").fill("rack a, spare")
    dialog.get_by_role("button", name="Register").click()

    token = page.locator("#secret").inner_text()
    assert token.startswith("tbd_")
    api.send({"token": token}, temp=21.5)
    page.get_by_role("button", name="Done").click()

    line = row(page, name)
    expect(line).to_contain_text("Available")
    expect(line).to_contain_text("rack a")
    expect(line).to_contain_text("21.50")
    expect(page.get_by_text(token)).to_have_count(0)


def test_taken_name_is_said_at_the_field(page: Page, api: Api) -> None:
    taken = api.device()["name"]
    page.goto("/devices")
    page.get_by_role("button", name="Register", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(taken)
    dialog.get_by_role("button", name="Register").click()

    field = dialog.get_by_label("Name")
    expect(page.get_by_text("is taken")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_value(taken)


def test_change_shows_in_both_browsers_within_half_a_second(someone: Open, api: Api) -> None:
    device = api.device()
    pages = [someone(f"/devices?q={device['name']}") for _ in range(2)]
    for one in pages:
        expect(row(one, device["name"])).to_contain_text("Offline")
    took = []

    for on in (True, False) * 4:
        began = time.monotonic()
        api.call("PATCH", f"/api/devices/{device['id']}", {"maintenance": on})
        for one in pages:
            word = "Maintenance" if on else "Offline"
            one.locator("tbody tr", has_text=word).wait_for()
        took.append(time.monotonic() - began)

    assert sorted(took)[-2] <= 0.5, took


def test_figures_follow_the_readings(page: Page, api: Api) -> None:
    device = api.device()
    api.send(device, temp=20.25)
    page.goto(f"/devices?q={device['name']}")
    expect(row(page, device["name"])).to_contain_text("20.25")

    api.send(device, temp=31.75)

    expect(row(page, device["name"])).to_contain_text("31.75")


def test_filters_live_in_the_address_and_back_works(page: Page, api: Api) -> None:
    tag = unique()
    kept, other = api.device(tags=[tag]), api.device()
    page.goto(f"/devices?tag={tag}")
    expect(row(page, kept["name"])).to_be_visible()
    expect(row(page, other["name"])).to_have_count(0)

    page.get_by_role("link", name=re.compile("^Maintenance")).click()
    expect(page.get_by_text("No device matches")).to_be_visible()
    expect(page).to_have_url(re.compile(f"tag={tag}.*state=maintenance"))
    page.reload()
    expect(page.get_by_text("No device matches")).to_be_visible()
    page.go_back()

    expect(row(page, kept["name"])).to_be_visible()


def test_search_finds_by_a_part_of_the_name(page: Page, api: Api) -> None:
    device = api.device()
    page.goto("/devices")

    page.get_by_role("searchbox").fill(device["name"][3:])

    expect(page).to_have_url(re.compile("q="))
    expect(page.locator("tbody tr")).to_have_count(1)


def test_table_sorts_on_the_server(page: Page, api: Api) -> None:
    tag = unique()
    for name in (f"b-{tag}", f"a-{tag}", f"c-{tag}"):
        api.device(name, tags=[tag])
    page.goto(f"/devices?tag={tag}")
    names = page.locator("tbody a.tb-open")
    expect(names).to_have_text([f"a-{tag}", f"b-{tag}", f"c-{tag}"])

    page.get_by_role("columnheader", name="Device").get_by_role("link").click()

    expect(names).to_have_text([f"c-{tag}", f"b-{tag}", f"a-{tag}"])
    header = page.get_by_role("columnheader", name="Device")
    expect(header).to_have_attribute("aria-sort", "descending")


def scrolled(page: Page) -> int:
    return int(page.locator(".tb-windowed").evaluate("(box) => Math.round(box.scrollTop / 40)"))


def test_a_large_fleet_scrolls_through_all_its_rows(page: Page, api: Api, large: str) -> None:
    page.goto(f"/devices?q={large}")
    table = page.get_by_role("table", name="Devices")
    expect(page.get_by_text(f"{LARGE:,} devices")).to_be_visible()
    expect(table).to_have_attribute("aria-rowcount", str(LARGE + 1))
    box = page.get_by_role("region", name="Devices")

    box.evaluate("(box) => { box.scrollTop = 9000 * 40; }")
    line = row(page, f"{large}09005")
    expect(line).to_be_visible()
    expect(line).to_have_attribute("aria-rowindex", "9006")
    expect(page).to_have_url(re.compile("offset=9000"))

    box.focus()
    page.keyboard.press("End")
    expect(row(page, f"{large}{LARGE}")).to_be_visible()
    page.keyboard.press("Home")
    expect(row(page, f"{large}00001")).to_be_visible()
    page.keyboard.press("PageDown")
    expect(row(page, f"{large}00020")).to_be_visible()

    page.goto(f"/devices?q={large}&offset=9000")
    expect(row(page, f"{large}09003")).to_be_visible()
    assert scrolled(page) == 9000


def test_back_returns_to_the_row_and_to_the_view_before(page: Page, api: Api, large: str) -> None:
    page.goto(f"/devices?q={large}&offset=5000")
    expect(row(page, f"{large}05003")).to_be_visible()
    page.get_by_role("link", name=f"{large}05003").click()
    expect(page.get_by_role("heading", level=1, name=f"{large}05003")).to_be_visible()
    page.go_back()
    expect(row(page, f"{large}05003")).to_be_visible()

    page.get_by_role("columnheader", name="Device").get_by_role("link").click()
    expect(row(page, f"{large}{LARGE}")).to_be_visible()
    expect(page).to_have_url(re.compile("sort=-name"))
    page.go_back()

    expect(row(page, f"{large}05003")).to_be_visible()


def test_everything_that_matches_is_selected_tagged_and_removed(
    page: Page, api: Api, large: str
) -> None:
    tag = unique()
    page.goto(f"/devices?q={large}00")
    expect(page.get_by_text("999 devices")).to_be_visible()
    page.get_by_role("checkbox", name="Select all that match").click()
    expect(page.get_by_text("999 selected")).to_be_visible()
    expect(page).to_have_url(re.compile("selected=many"))

    page.get_by_role("button", name="Tags").click()
    page.get_by_role("textbox", name="Add tags").fill(tag)
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_text("999 devices are tagged.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row(page, f"{large}00001")).to_contain_text(tag)
    page.goto(f"/devices?tag={tag}&q={large}0000")
    expect(page.get_by_text("9 devices", exact=True)).to_be_visible()

    page.get_by_role("checkbox", name="Select all that match").click()
    page.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Remove").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("Remove 9 devices?")
    asked.get_by_role("button", name="Remove them").click()

    expect(asked).to_have_count(0)
    expect(page.get_by_text("9 devices are removed.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("No device matches")).to_be_visible()


def test_columns_are_chosen_and_remembered(page: Page, api: Api) -> None:
    device = api.device(ip="10.9.8.7")
    page.goto(f"/devices?q={device['name']}")
    expect(row(page, device["name"])).to_be_visible()
    expect(page.get_by_role("columnheader", name="Address")).to_have_count(0)

    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Address").click()
    page.keyboard.press("Escape")

    expect(row(page, device["name"])).to_contain_text("10.9.8.7")
    page.reload()
    expect(row(page, device["name"])).to_contain_text("10.9.8.7")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Address").click()
    expect(page.get_by_role("columnheader", name="Address")).to_have_count(0)


def test_selection_is_held_and_tagged_together_and_survives_a_reload(page: Page, api: Api) -> None:
    tag = unique()
    names = [api.device(tags=[tag])["name"] for _ in range(2)]
    page.goto(f"/devices?tag={tag}")
    for name in names:
        page.get_by_role("checkbox", name=f"Select {name}").click()
    expect(page).to_have_url(re.compile("selected=[0-9a-f-]+%2C[0-9a-f-]+"))

    page.reload()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Maintenance", exact=True).click()

    for name in names:
        expect(row(page, name)).to_contain_text("Maintenance")
    page.get_by_role("button", name="Tags").click()
    page.get_by_role("textbox", name="Add tags").fill("night shift")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    for name in names:
        expect(row(page, name)).to_contain_text("night shift")


def test_row_opens_the_device(page: Page, api: Api) -> None:
    device = api.device()
    page.goto(f"/devices?q={device['name']}")

    row(page, device["name"]).get_by_text("http").click()

    expect(page.get_by_role("heading", level=1, name=device["name"])).to_be_visible()


def test_device_without_readings_says_what_to_do(page: Page, api: Api) -> None:
    device = api.device()
    page.goto(f"/devices/{device['id']}")

    page.get_by_role("button", name="Show access").click()

    expect(page.get_by_text(f"devices/{device['id']}/telemetry")).to_be_visible()
    expect(page).to_have_url(re.compile("tab=access"))


def test_chart_draws_numbers_and_follows_them(page: Page, api: Api) -> None:
    device = api.device()
    now = int(time.time() * 1000)
    for i in range(20):
        api.send(device, ts=now - 20_000 + i * 1000, values={"temp": 20 + i / 10, "mode": "eco"})
    page.goto(f"/devices/{device['id']}")
    line = page.locator(".recharts-line-curve")
    expect(line).to_have_count(1)
    before = line.get_attribute("d")

    api.send(device, temp=40.5)

    expect(page.locator(".tb-figure", has_text="temp")).to_contain_text("40.5")
    expect(line).not_to_have_attribute("d", before or "")
    expect(page.get_by_role("img", name="temp")).to_be_visible()


def test_time_range_is_in_the_address(page: Page, api: Api) -> None:
    device = api.device()
    api.send(device, temp=20.0)
    page.goto(f"/devices/{device['id']}")

    page.get_by_role("link", name="6 h").click()

    expect(page).to_have_url(re.compile("span=6h"))
    expect(page.get_by_role("link", name="6 h")).to_have_attribute("aria-current", "true")


def test_maintenance_is_held_with_a_reason_and_released(page: Page, api: Api) -> None:
    device = api.device()
    page.goto(f"/devices/{device['id']}")
    page.get_by_role("button", name="Maintenance").click()
    page.get_by_label("Reason (optional)").fill("Fan is being replaced")
    page.get_by_role("button", name="Start maintenance").click()

    expect(page.get_by_text("Reason: Fan is being replaced")).to_be_visible()
    page.get_by_role("button", name="End maintenance").click()
    expect(page.get_by_role("main").get_by_text("Offline", exact=True)).to_be_visible()


def test_refused_messages_are_shown_with_their_reason(page: Page, api: Api) -> None:
    device = api.device()
    answer = api.context.post(
        "/api/telemetry",
        data={"temp": {"deep": 1}},
        headers={"Authorization": f"Bearer {device['token']}"},
    )
    assert answer.status == 400

    page.goto(f"/devices/{device['id']}?tab=access")

    expect(page.get_by_role("table", name="Refused messages")).to_contain_text("must be a number")


def test_new_token_replaces_the_old_one(page: Page, api: Api) -> None:
    device = api.device()
    page.goto(f"/devices/{device['id']}?tab=access")
    page.get_by_role("button", name="New token").click()
    page.get_by_role("button", name="Make a new token").click()

    token = page.locator("#secret").inner_text()

    assert token not in (device["token"], "")
    api.send({"token": token}, temp=1.0)


def test_device_is_renamed_and_a_bad_value_is_said_at_its_field(page: Page, api: Api) -> None:
    device, renamed = api.device(), unique()
    page.goto(f"/devices/{device['id']}?tab=details")
    page.get_by_label("Offline after").fill("soon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("must be a whole number")).to_be_visible()

    page.get_by_label("Name").fill(renamed)
    page.get_by_label("Offline after").fill("90")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1, name=renamed)).to_be_visible()
    assert api.call("GET", f"/api/devices/{device['id']}")["offline_after_s"] == 90


def test_removing_asks_and_says_what_is_lost(page: Page, api: Api) -> None:
    device = api.device()
    page.goto(f"/devices/{device['id']}?tab=details")
    page.get_by_role("button", name="Remove device").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("its credential stops working")
    asked.get_by_role("button", name="Keep").click()
    assert api.call("GET", f"/api/devices/{device['id']}")["name"] == device["name"]

    page.get_by_role("button", name="Remove device").click()
    asked.get_by_role("button", name="Remove device").click()

    page.wait_for_url(re.compile("/devices/?$"))
    page.goto(f"/devices/{device['id']}")
    expect(page.get_by_text("There is no device")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
