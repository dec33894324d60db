"""What the tests of devices' settings do alike: devices of an emulated fleet, the tab, a yes."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.services import Bench

LONG_MS = 40_000
"""A restart, a device that hangs, and two busy cores."""


def unique(word: str) -> str:
    """A name nobody has."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def api(page: Page, bench: Bench, method: str, path: str, body: Any = None) -> Any:
    """The REST API, in the name of who is at `page`."""
    answer = page.context.request.fetch(
        path, method=method, data=body, headers={"Origin": bench.url}
    )
    assert answer.ok, answer.text()
    return answer.json() if answer.status != 204 else None


def add(page: Page, bench: Bench, address: str | None, **more: Any) -> dict[str, Any]:
    """An emulated device, registered."""
    body = {"name": unique("miner"), "kind": "axeos", **more}
    body |= {"ip": address} if address else {}
    made: dict[str, Any] = api(page, bench, "POST", "/api/devices", body)
    return made


def known(page: Page, bench: Bench, device: dict[str, Any]) -> None:
    """Returns once the bench has read the device's settings."""
    page.goto(f"/devices/{device['id']}?tab=configuration")
    expect(setting(page, "frequency")).to_be_visible(timeout=LONG_MS)


def setting(page: Page, key: str) -> Locator:
    """A line of the table of settings."""
    return page.locator(f'[data-setting="{key}"]')


def edit(page: Page, **fields: str) -> None:
    """Types into the form and sends it; what waits then is the confirmation, or an error."""
    page.get_by_role("button", name="Edit settings").click()
    for key, text in fields.items():
        field = page.locator(f"form [id='{key.replace('__', '-')}']")
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)
    page.get_by_role("button", name="Review the change").click()


def proceed(page: Page) -> None:
    """Says yes; the dialog is gone afterwards."""
    dialog = page.get_by_role("dialog")
    page.locator("#proceed").click()
    expect(dialog).to_have_count(0)


def toast(page: Page, text: str) -> None:
    """A toast has said it."""
    expect(page.locator("[data-sonner-toast]").filter(has_text=text).first).to_be_visible(
        timeout=LONG_MS
    )


@contextmanager
def quiet(page: Page) -> Iterator[None]:
    """Fails for whatever the page complains about in the console meanwhile."""
    said: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning"):
            said.append(f"{message.type}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield
    assert said == []
