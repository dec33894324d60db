"""The fleet page with 10,000 devices: from a key or a click to the rows, as a browser sees it."""

import time
from collections.abc import Iterator
from statistics import median

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.bench.figures import percentile, tell
from tests.large_fleets import clear, fill
from tests.services import Bench

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SIZE, ROUNDS = 10_000, 10
GOAL_MS = 150
# Milliseconds from the act until the table's rows say something else, and have been drawn.
UNTIL_ROWS = """(act) => new Promise((done) => {
  const rows = () => [...document.querySelectorAll("tbody tr a.tb-open")].map((a) => a.textContent)
    .join();
  const before = rows();
  let began;
  const seen = new MutationObserver(() => {
    const now = rows();
    if (!now || now === before) return;
    seen.disconnect();
    requestAnimationFrame(() => done(performance.now() - began));
  });
  seen.observe(document.body, {childList: true, subtree: true, characterData: true});
  began = performance.now();
  if (act.click) document.querySelector(act.click).click();
  else if (act.scroll) document.querySelector(".tb-windowed").scrollTop = act.scroll * 40;
  else {
    const box = document.querySelector("input[type=search]");
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(box, act.type);
    box.dispatchEvent(new Event("input", {bubbles: true}));
  }
})"""
ACTS = {
    "sort": [
        {"click": "th:nth-child(3) a"},
        {"click": "th:nth-child(2) a"},
        {"click": "th:last-child a"},
    ],
    "filter by text": [{"type": "bench-09"}, {"type": "bench-091"}, {"type": "rack 17"}],
    "filter by state": [
        {"click": 'a.tb-chip[href*="state=maintenance"]'},
        {"click": 'a.tb-chip[href*="state=offline"]'},
        {"click": 'a.tb-chip[href*="state=available"]'},
    ],
    "scroll": [{"scroll": 9_000}, {"scroll": 4_000}, {"scroll": 200}],
}


@pytest.fixture(scope="module")
def page(app_server: Bench) -> Iterator[Page]:
    """The administrator's, at a fleet of ten thousand."""
    assert app_server.servers is not None
    clear(app_server.servers.url("postgres"))
    fill(app_server.servers.url("postgres"), SIZE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        context = browser.new_context(base_url=app_server.url)
        login = {"username": "admin", "password": app_server.admin_password}
        origin = {"Origin": app_server.url}
        assert context.request.post("/api/auth/login", data=login, headers=origin).ok
        yield context.new_page()
        browser.close()


@pytest.mark.parametrize("name", ACTS)
def test_rows_follow_in_time(page: Page, name: str) -> None:
    took: list[float] = []
    for _ in range(ROUNDS):
        page.goto("/devices")
        page.get_by_text("bench-00001").first.wait_for()
        for act in ACTS[name]:
            time.sleep(0.3)
            took.append(page.evaluate(UNTIL_ROWS, act))
    tell(
        f"fleet page with {SIZE:,} devices: {name} → rows",
        f"median {median(took):.0f} ms, p95 {percentile(took, 0.95):.0f} ms",
        f"median ≤ {GOAL_MS} ms",
        median(took) <= GOAL_MS,
    )
    assert median(took) > 0
