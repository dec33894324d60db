"""A change of a device's state, until two browsers among fifty clients show it; what it costs."""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from websockets import connect

from tests.bench.figures import percentile, tell
from tests.services import Bench, wait_until

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

CLIENTS, CHANGES = 50, 30
SIZES = (200, 10_000)
SHOWN_S, COST_KB = 0.5, 8.0
_FLEET = """
WITH made AS (
    INSERT INTO devices (id, name, kind, tags, offline_after_s, maintenance, info, desired, tracing,
        trace_logs, log_listening, demo, created_at)
    SELECT gen_random_uuid(), 'bench-' || lpad(n::text, 5, '0'), 'simulated', '{}', 86400, false,
        '{}', '{}', false, false, false, false, now()
    FROM generate_series(1, %s) AS n RETURNING id)
INSERT INTO presence (device_id, last_seen, online, missing, gaps, clock_off_ms)
SELECT id, now(), true, 0, '[]', 0 FROM made
"""
# When the row of the device that is being changed says something else than before.
_WATCH = """name => {
  const row = () => [...document.querySelectorAll("tbody tr")]
    .find((row) => row.textContent.includes(name))?.textContent;
  window.seen = []; window.last = row();
  new MutationObserver(() => {
    const now = row();
    if (now !== window.last) { window.last = now; window.seen.push([Date.now(), now]); }
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


@dataclass
class Tabs:
    """Tabs without a browser: they say what one did, and count what they are told."""

    url: str
    hello: str
    cookie: str
    subprotocol: str
    received: list[int] = field(default_factory=list[int])

    @contextmanager
    def opened(self, count: int) -> Iterator[None]:
        """`count` of them, until the end of this block."""
        self.received = [0] * count
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        tasks = [asyncio.run_coroutine_threadsafe(self._tab(i), loop) for i in range(count)]
        try:
            wait_until(lambda: all(self.received), 60, lambda: str(self.received))
            yield
        finally:
            for task in tasks:
                task.cancel()
            time.sleep(0.5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _tab(self, number: int) -> None:
        url = f"{self.url}/_event/?token={uuid.uuid4()}&EIO=4&transport=websocket"
        headers = {"Cookie": self.cookie, "Origin": self.url.replace("ws", "http", 1)}
        async with connect(
            url, additional_headers=headers, subprotocols=[self.subprotocol], max_size=None
        ) as socket:
            await socket.recv()
            await socket.send(self.hello)
            async for frame in socket:
                if frame == "2":
                    await socket.send("3")
                elif frame[:2] == "42":
                    self.received[number] += len(frame)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_change_until_two_browsers_show_it(
    app_server: Bench, browser: Browser, size: int
) -> None:
    assert app_server.servers is not None
    with psycopg.connect(app_server.servers.url("postgres"), autocommit=True) as connection:
        connection.execute("UPDATE devices SET removed_at = now()")
        connection.execute(_FLEET, (size,))
        connection.execute("ANALYZE devices, presence")  # as autovacuum does within a minute
        found = connection.execute(
            "SELECT id FROM devices WHERE name = 'bench-00001' AND removed_at IS NULL"
        ).fetchone()
    assert found
    contexts = [_logged_in(browser, app_server) for _ in range(2)]
    opened = [_open(context) for context in contexts]
    pages = [page for page, _, _ in opened]
    _, hello, subprotocol = opened[0]
    cookie = "; ".join(f"{c['name']}={c['value']}" for c in contexts[0].cookies())
    tabs = Tabs(app_server.url.replace("http", "ws", 1), hello, cookie, subprotocol)
    with tabs.opened(CLIENTS - len(pages)):
        time.sleep(2)
        before = sum(tabs.received)
        waits = [_change(app_server, contexts[0], pages, str(found[0]), i) for i in range(CHANGES)]
        cost = (sum(tabs.received) - before) / len(tabs.received) / CHANGES / 1024
    for context in contexts:
        context.close()
    p95 = percentile(waits, 0.95)
    tell(
        f"a device's state changes → both of two browsers show it; {CLIENTS} clients, "
        f"{size:,} devices",
        f"p50 {median(waits) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms; {cost:.1f} KB a client",
        "p95 ≤ 500 ms; ≤ 8 KB a client",
        p95 <= SHOWN_S and cost <= COST_KB,
    )
    assert cost > 0


def _logged_in(browser: Browser, bench: Bench) -> BrowserContext:
    context = browser.new_context(base_url=bench.url)
    body = {"username": "admin", "password": bench.admin_password}
    answer = context.request.post("/api/auth/login", data=body, headers={"Origin": bench.url})
    assert answer.status == 200, answer.text()
    return context


def _open(context: BrowserContext) -> tuple[Page, str, str]:
    """The list of devices; what its tab said first; the protocol it spoke."""
    page, sent = context.new_page(), list[str]()
    asked: list[Any] = []

    def note(frame: Any) -> None:
        sent.append(frame)

    def note_asked(event: Any) -> None:
        asked.append(event)

    page.on("websocket", lambda socket: socket.on("framesent", note))
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.webSocketWillSendHandshakeRequest", note_asked)
    page.goto("/devices")
    page.get_by_text("bench-00001").first.wait_for()
    page.evaluate(_WATCH, "bench-00001")
    headers = {name.lower(): value for name, value in asked[-1]["request"]["headers"].items()}
    hello = next(frame for frame in reversed(sent) if frame.startswith("40/_event,"))
    return page, hello, headers["sec-websocket-protocol"]


def _change(
    bench: Bench, context: BrowserContext, pages: list[Page], device: str, number: int
) -> float:
    """Seconds from the request to the later of the two browsers."""
    time.sleep(0.6 + random.Random(number).random() / 4)
    for page in pages:
        page.evaluate("window.seen = []")
    began = time.time()
    answer = context.request.patch(
        f"/api/devices/{device}",
        data={"maintenance": number % 2 == 0},
        headers={"Origin": bench.url},
    )
    assert answer.status == 200, answer.text()
    for page in pages:
        page.wait_for_function("window.seen.length > 0", polling=20, timeout=10_000)
    return max(page.evaluate("window.seen[0][0]") / 1000 for page in pages) - began
