"""A browser for the end-to-end tests, and a person who is logged in."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.services import Bench

TIMEOUT_MS = 10_000
CHROMIUM = "/usr/bin/chromium"
# Two test processes and their benches share two cores.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, one for all tests of a module."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def someone(browser: Browser, app_server: Bench) -> Iterator[Callable[..., Page]]:
    """Opens a page as the administrator, in a browser profile of its own."""
    contexts = []

    def open_page(path: str = "/", **options: object) -> Page:
        context = browser.new_context(base_url=app_server.url, **options)  # type: ignore[arg-type]  # Playwright's own
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        login = {"username": "admin", "password": app_server.admin_password}
        answer = context.request.post(
            "/api/auth/login", data=login, headers={"Origin": app_server.url}
        )
        assert answer.status == 200, answer.text()
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(someone: Callable[..., Page]) -> Page:
    """A page of the administrator, at Home."""
    return someone()
