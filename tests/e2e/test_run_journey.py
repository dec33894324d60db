"""A test from a person's first click to its report, on a device that really sends."""

import csv
import io
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.services import Bench

Open = Callable[..., Page]
EVERY_S = 0.25
DURATION_S = 6


class Feeder:
    """A device that sends its temperature until it is told to stop."""

    def __init__(self, url: str, token: str) -> None:
        self.temp = 21.5
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            answer = self._client.post("/api/telemetry", json={"temp": self.temp})
            assert answer.status_code == 200, answer.text

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()


@contextmanager
def feeding(url: str, token: str) -> Iterator[Feeder]:
    feeder = Feeder(url, token)
    try:
        yield feeder
    finally:
        feeder.stop()


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def quiet(someone: Open) -> Iterator[Callable[..., Page]]:
    """Opens pages, and fails the test for whatever they complain about in the console."""
    said: list[str] = []

    def open_page(path: str, **options: object) -> Page:
        page = someone(path, **options)
        listen(page, said)
        return page

    yield open_page
    assert not said


def listen(page: Page, said: list[str]) -> None:
    """Collects what a page complains about."""

    def note(message: Any) -> None:
        if message.type in ("error", "warning"):
            said.append(f"{message.type}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))


def api(page: Page, bench: Bench, method: str, path: str, body: Any = None) -> Any:
    answer = page.context.request.fetch(
        path, method=method, data=body, headers={"Origin": bench.url}
    )
    assert answer.ok, answer.text()
    return answer.json()


def device(page: Page, bench: Bench, **more: Any) -> dict[str, Any]:
    body = {"name": unique("dut"), "kind": "http", **more}
    made: dict[str, Any] = api(page, bench, "POST", "/api/devices", body)
    return made


def case(page: Page, bench: Bench, **more: Any) -> dict[str, Any]:
    criterion = {"kind": "range", "name": "cool", "metric": "temp", "unit": "°C", "high": 30.0}
    body = {
        "name": unique("case"),
        "duration_s": DURATION_S,
        "grace_s": 1,
        "criteria": [criterion],
        **more,
    }
    made: dict[str, Any] = api(page, bench, "POST", "/api/test-cases", body)
    return made


def ended(page: Page) -> None:
    expect(page.locator("#headline")).to_contain_text(
        re.compile("^(Passed|Failed|Error|Timed out|Aborted)"), timeout=45_000
    )


def log_in(page: Page, bench: Bench) -> None:
    page.goto("/devices")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(bench.admin_password)
    page.get_by_role("button", name="Log in").click()


def register(page: Page, name: str) -> str:
    """By the form; returns the device's token."""
    page.get_by_role("button", name="Register", exact=True).click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Kind").select_option("http")
    form.get_by_role("button", name="Register").click()
    token = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Done").click()
    return token


def build(page: Page, name: str) -> None:
    """A test case with two criteria, in the builder."""
    page.goto("/test-cases/new")
    page.locator("#name").fill(name)
    page.locator("#duration_s").fill(str(DURATION_S))
    page.locator("#grace_s").fill("1")
    page.locator("#criterion-metric").fill("temp")
    page.locator("#criterion-unit").fill("°C")
    page.locator("#criterion-low").fill("10")
    expect(page.get_by_text("temp stays within 10–30 °C")).to_be_visible()
    page.locator("#add").click()
    page.get_by_role("menuitem", name="Coverage").click()
    page.locator("#criterion-metric").fill("temp")
    expect(page.get_by_text("temp has at least 10 readings")).to_be_visible()
    page.get_by_role("button", name="Save").click()


def start(page: Page, case_name: str, device_name: str) -> None:
    page.get_by_role("link", name="Run it").click()
    page.get_by_label(f"Run on {device_name}").click()
    expect(page.locator("#summary")).to_have_text(f"Run “{case_name}” on {device_name}.")
    page.get_by_role("button", name="Start").click()


@pytest.mark.parametrize("parts", ["app_server", "embedded_server"])
def test_from_login_to_a_passing_report(
    browser: Browser, parts: str, request: pytest.FixtureRequest
) -> None:
    bench: Bench = request.getfixturevalue(parts)
    context = browser.new_context(base_url=bench.url)
    context.set_default_timeout(15_000)
    page, said = context.new_page(), list[str]()
    listen(page, said)
    name, built = unique("dut"), unique("burn-in")
    log_in(page, bench)
    with feeding(bench.url, register(page, name)):
        build(page, built)
        start(page, built, name)
        expect(page.locator("#headline")).to_contain_text("Observing")
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(page.locator(".recharts-line-curve").first).to_be_attached()
        ended(page)

    expect(page.locator("#headline")).to_have_text("Passed: all 2 required criteria held")
    check_exports(page, name)
    assert not said
    context.close()


def check_exports(page: Page, device_name: str) -> None:
    def text(label: str) -> str:
        href = page.get_by_role("link", name=label).get_attribute("href")
        return page.context.request.get(href or "").text()

    rows = list(csv.DictReader(io.StringIO(text("CSV"))))
    assert [(row["device"], row["verdict"]) for row in rows] == [(device_name, "pass")] * 2
    assert ET.fromstring(text("JUnit")).get("failures") == "0"
    assert text("HTML").count("<svg") == 2
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert re.fullmatch(r"run-\d+-burn-in-.*\.json", download.value.suggested_filename)


def test_a_failing_run_shows_what_happened_where(quiet: Open, app_server: Bench) -> None:
    page = quiet("/runs")
    made, judged = device(page, app_server), case(page, app_server)
    with feeding(app_server.url, made["token"]) as feeder:
        page.goto(f"/runs/new?case={judged['id']}")
        page.get_by_label(f"Run on {made['name']}").click()
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#headline")).to_contain_text("Observing")
        feeder.temp = 35.0
        expect(page.locator("#headline")).to_contain_text("1 of 1 criteria violated so far")
        ended(page)

    expect(page.locator("#headline")).to_contain_text("Failed: temp reached 35.0 °C")
    expect(page.locator("#headline")).to_contain_text("limit 30 °C")
    expect(page.locator("#headline")).to_contain_text(made["name"])
    expect(page.locator(".recharts-reference-dot").first).to_be_visible()
    page.get_by_role("link", name="Run again").click()
    expect(page.get_by_label(f"Run on {made['name']}")).to_be_checked()
    expect(page.locator("#summary")).to_contain_text(judged["name"])


def test_two_runs_are_compared_with_what_changed_first(quiet: Open, app_server: Bench) -> None:
    page = quiet("/runs")
    made = device(page, app_server)
    short = case(page, app_server, duration_s=3, grace_s=2)
    body = {"test_case_id": short["id"], "device_ids": [made["id"]]}
    with feeding(app_server.url, made["token"]) as feeder:
        for temp in (20.0, 40.0):
            feeder.temp = temp
            expect_temp(page, app_server, made["id"], temp)
            run = api(page, app_server, "POST", "/api/test-runs", body)
            page.goto(f"/runs/{run['id']}")
            ended(page)

    page.get_by_role("link", name="Compare").click()

    expect(page.locator("#differences")).to_contain_text("1 difference")
    first = page.locator("#differences tbody tr").first
    expect(first).to_contain_text("Verdict")
    expect(first).to_contain_text("+100.0%")
    expect(page.locator(".recharts-line-curve")).to_have_count(2)


def expect_temp(page: Page, bench: Bench, device_id: str, temp: float) -> None:
    """Waits until the device's newest reading is `temp`."""
    for _ in range(100):
        latest = api(page, bench, "GET", f"/api/devices/{device_id}")["latest"]
        if latest.get("temp", {}).get("value") == temp:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"temp never was {temp}")


def test_a_run_is_cancelled_only_after_asking(quiet: Open, app_server: Bench) -> None:
    page = quiet("/runs")
    made, long = device(page, app_server), case(page, app_server, duration_s=600)
    with feeding(app_server.url, made["token"]):
        expect_temp(page, app_server, made["id"], 21.5)
        body = {"test_case_id": long["id"], "device_ids": [made["id"]]}
        run = api(page, app_server, "POST", "/api/test-runs", body)
        page.goto(f"/runs/{run['id']}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alertdialog")).to_contain_text("without a verdict")
        page.get_by_role("button", name="Cancel the run").click()

        expect(page.locator("#headline")).to_have_text("Aborted: Cancelled by admin.")
        device_now = api(page, app_server, "GET", f"/api/devices/{made['id']}")
        assert device_now["state"] == "available"


def test_devices_that_cannot_be_taken_say_why(quiet: Open, app_server: Bench) -> None:
    page = quiet("/runs")
    offline = device(page, app_server)
    tagged = case(page, app_server, required_tags=["oven"])
    with feeding(app_server.url, device(page, app_server)["token"]) as _:
        page.goto(f"/runs/new?case={tagged['id']}")
        page.get_by_label("Find a device").fill(offline["name"])
        line = page.get_by_role("row").filter(has_text=offline["name"])

        expect(line).to_contain_text("is offline")
        expect(line.get_by_role("checkbox")).to_be_disabled()
        expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_a_test_case_is_tried_on_stored_data_before_it_is_saved(
    quiet: Open, app_server: Bench
) -> None:
    page = quiet("/test-cases/new")
    made = device(page, app_server)
    with feeding(app_server.url, made["token"]) as feeder:
        feeder.temp = 35.0
        expect_temp(page, app_server, made["id"], 35.0)
    page.reload()
    metric = page.locator("#criterion-metric")
    known = page.locator(f"#{metric.get_attribute('list')} option")
    expect(known.and_(page.locator("[value=temp]"))).to_have_count(1)
    metric.fill("temp")
    page.locator("#try-device").select_option(made["id"])
    page.get_by_role("button", name="Try").click()

    expect(page.locator("#trial-outcome")).to_contain_text("Fail")
    expect(page.locator("#try-card")).to_contain_text("temp reached 35.0")
    expect(page.locator("#try-card .recharts-reference-dot").first).to_be_visible()


def test_errors_stand_at_their_fields_and_leaving_asks(quiet: Open, app_server: Bench) -> None:
    page = quiet("/test-cases/new")
    page.locator("#duration_s").fill("soon")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("#duration_s-error")).to_have_text("Must be a number.")
    expect(page.locator("#name-error")).to_have_text("This is needed.")
    expect(page.locator("#criterion-metric-error")).to_have_text("This is needed.")
    expect(page.locator("#name")).to_be_focused()
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("link", name="Runs", exact=True).click()
    assert asked == ["You have unsaved changes. Leave without saving?"]
    expect(page.locator("#duration_s")).to_have_value("soon")


def test_an_older_revision_is_read_and_brought_back(quiet: Open, app_server: Bench) -> None:
    page = quiet("/test-cases")
    made = case(page, app_server)
    body = {k: v for k, v in made.items() if k not in ("id", "revision", "created_at")}
    body["criteria"] = [{**body["criteria"][0], "high": 99.0}]
    api(page, app_server, "PUT", f"/api/test-cases/{made['id']}", body)

    page.goto(f"/test-cases/{made['id']}")
    expect(page.get_by_text("temp stays at most 99 °C")).to_be_visible()
    page.get_by_role("link", name="Revision 1").click()
    expect(page.get_by_text("temp stays at most 30 °C")).to_be_visible()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("link", name="Revision 3")).to_be_visible()
    now = api(page, app_server, "GET", f"/api/test-cases/{made['id']}")
    assert (now["revision"], now["criteria"][0]["high"]) == (3, 30.0)


def test_environments_keep_numbers_as_numbers(quiet: Open, app_server: Bench) -> None:
    page = quiet("/environments/new")
    name = unique("oven")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_placeholder("max_temp").fill("hot")
    page.get_by_placeholder("30").fill("42.5")
    page.get_by_placeholder("30").press("Enter")

    page.wait_for_url(re.compile(r"/environments/?$"))
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("42.5")
    found = api(page, app_server, "GET", "/api/environments?limit=500")["items"]
    assert next(one for one in found if one["name"] == name)["variables"] == {"hot": 42.5}


def test_filters_of_the_list_are_in_the_address(quiet: Open, app_server: Bench) -> None:
    page = quiet("/runs")
    page.get_by_role("link", name="Timeout").click()
    page.wait_for_url(re.compile("outcome=timeout"))
    page.get_by_label("Name of a run").fill("nothing has this name")
    page.wait_for_url(re.compile("q=nothing"))
    expect(page.get_by_text("No run fits")).to_be_visible()

    page.reload()
    expect(page.get_by_label("Name of a run")).to_have_value("nothing has this name")
    expect(page.get_by_role("link", name="Timeout")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="Show all runs").click()
    page.wait_for_url(re.compile(r"/runs/?$"))
