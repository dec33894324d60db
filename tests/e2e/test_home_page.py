"""Home: is the lab all right, what is going on?"""

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.services import Bench


@pytest.fixture
def call(page: Page, app_server: Bench) -> Any:
    """Posts to the REST API as the administrator."""

    def post(path: str, body: Any, **headers: str) -> Any:
        origin = {"Origin": app_server.url, **headers}
        answer = page.context.request.post(path, data=body, headers=origin)
        assert answer.ok, answer.text()
        return answer.json()

    return post


def test_counts_lead_to_the_devices_they_count(page: Page, call: Any) -> None:
    device = call("/api/devices", {"name": f"h{uuid.uuid4().hex[:8]}", "kind": "http"})
    page.goto("/")

    page.get_by_role("main").get_by_role("link", name=re.compile("^Offline")).click()

    expect(page).to_have_url(re.compile("state=offline"))
    # Other tests' devices may fill the first page.
    page.goto(f"{page.url}&q={device['name']}")
    expect(page.get_by_role("row").filter(has_text=device["name"])).to_be_visible()


def test_run_appears_goes_on_and_is_counted_without_a_reload(page: Page, call: Any) -> None:
    name = f"h{uuid.uuid4().hex[:8]}"
    device = call("/api/devices", {"name": name, "kind": "http"})
    token = {"Authorization": f"Bearer {device['token']}"}
    call("/api/telemetry", {"temp": 20.0}, **token)
    criterion = {"kind": "range", "name": "t", "metric": "temp", "low": 10, "high": 30}
    case = call(
        "/api/test-cases",
        {"name": name, "duration_s": 3, "grace_s": 0.5, "criteria": [criterion]},
    )
    page.goto("/")
    expect(page.get_by_role("heading", name="Last 24 hours")).to_be_visible()

    call("/api/test-runs", {"test_case_id": case["id"], "device_ids": [device["id"]]})

    going_on = page.get_by_role("table", name="Runs going on")
    expect(going_on.get_by_role("row").filter(has_text=name)).to_be_visible()
    expect(going_on.get_by_role("progressbar").first).to_be_visible()
    for value in (20.5, 21.0, 21.5, 22.0):
        call("/api/telemetry", {"temp": value}, **token)
        page.wait_for_timeout(500)
    ended = page.get_by_role("table", name="Runs that ended last")
    expect(ended.get_by_role("row").filter(has_text=name)).to_contain_text("Pass", timeout=30_000)
