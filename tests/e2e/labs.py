"""A network of emulated devices that no bench polls yet, and calls of a page's own session."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from playwright.sync_api import APIResponse, Browser, Error, Page

from testbench.launcher.emulator import emulate
from testbench.launcher.emulator.fleet import Fleet
from tests.services import LAB, LAB_PORT, Bench

_seeds = iter(range(100, 100_000, 50))


def call(page: Page, server: Bench, method: str, path: str, body: Any = None) -> APIResponse:
    """What the API answers to the person at this page."""
    return page.context.request.fetch(
        server.url + path,
        method=method,
        data=body,
        headers={"Origin": server.url},
        timeout=60_000,
    )


def sign_in(browser: Browser, server: Bench) -> Page:
    """A page of the administrator of another bench than `app_server`."""
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    login = {"username": "admin", "password": server.admin_password}
    answer = call(page, server, "POST", "/api/auth/login", login)
    assert answer.status == 200, answer.text()
    return page


@contextmanager
def lab(count: int, **options: Any) -> Iterator[Fleet]:
    """Devices at `LAB` with MACs that no test had before."""
    with emulate(count, network=LAB, port=LAB_PORT, seed=next(_seeds), **options) as fleet:
        yield fleet


@contextmanager
def undisturbed(page: Page, server: Bench) -> Iterator[None]:
    """Nothing that an earlier test imprinted is polled at these addresses."""
    release(page, server)
    yield
    with suppress(Error):  # the bench may be gone
        release(page, server)


def release(page: Page, server: Bench) -> None:
    """Every imprinted device leaves the bench."""
    for device in call(page, server, "GET", "/api/devices/imprint").json():
        call(page, server, "DELETE", f"/api/devices/imprint/{device['mac']}")
