"""Users and one's own account, as a person sees them."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.services import Bench

PASSWORD = "correct horse battery"
Open = Callable[..., Page]


@pytest.fixture
def add(page: Page, app_server: Bench) -> Callable[[str], str]:
    """Makes a person of a role; returns the name."""

    def make(role: str) -> str:
        name = f"p{uuid.uuid4().hex[:10]}"
        body = {"username": name, "password": PASSWORD, "role": role}
        origin = {"Origin": app_server.url}
        assert page.context.request.post("/api/users", data=body, headers=origin).status == 201
        return name

    return make


@pytest.fixture
def log_in(browser: Browser, app_server: Bench) -> Any:
    """A page of somebody, logged in through the form."""
    contexts = []

    def as_person(name: str, password: str = PASSWORD) -> Page:
        context = browser.new_context(base_url=app_server.url)
        contexts.append(context)
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        return page

    yield as_person
    for context in contexts:
        context.close()


def line(page: Page, name: str) -> Any:
    return page.get_by_role("row").filter(has_text=name)


def at_home(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()


def test_added_person_can_log_in(page: Page, log_in: Any) -> None:
    name = f"p{uuid.uuid4().hex[:10]}"
    page.goto("/users")
    page.get_by_role("button", name="Add user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Username").fill(name)
    dialog.get_by_label("Password").fill("short")
    dialog.get_by_role("button", name="Add user").click()
    expect(dialog.get_by_text("at least 8 characters")).to_have_count(2)
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Add user").click()

    expect(line(page, name)).to_contain_text("May log in")
    at_home(log_in(name))


def test_shutting_out_ends_the_persons_open_page(page: Page, add: Any, log_in: Any) -> None:
    name = add("viewer")
    theirs = log_in(name)
    at_home(theirs)
    page.goto("/users")

    line(page, name).get_by_role("button", name="Shut out").click()

    expect(line(page, name)).to_contain_text("Shut out")
    theirs.wait_for_url(re.compile("/login"))


def test_last_administrator_stays(page: Page) -> None:
    page.goto("/users")
    mine = page.get_by_role("combobox", name="Role of admin")

    mine.select_option("viewer")

    expect(page.get_by_text("This is the last administrator")).to_be_visible()
    expect(mine).to_have_value("admin")


def test_viewer_sees_the_fleet_and_no_button_to_change_it(add: Any, log_in: Any) -> None:
    page = log_in(add("viewer"))
    at_home(page)

    page.goto("/devices")

    expect(page.get_by_role("heading", level=1, name="Devices")).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("Register"))).to_have_count(0)
    nav = page.get_by_role("navigation", name="Main")
    expect(nav.get_by_role("link", name="System")).to_be_visible()
    expect(nav.get_by_role("link", name="Users")).to_have_count(0)


def test_viewer_is_refused_on_the_users_page(add: Any, log_in: Any) -> None:
    page = log_in(add("viewer"))
    at_home(page)

    page.goto("/users")

    expect(page.get_by_text("This needs the role admin.").first).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(0)


def test_own_password_is_changed(add: Any, log_in: Any) -> None:
    name = add("viewer")
    page = log_in(name)
    at_home(page)
    page.goto("/account")

    def change(current: str, new: str, again: str) -> None:
        page.get_by_label("Current password").fill(current)
        page.get_by_label("New password", exact=True).fill(new)
        page.get_by_label("New password again").fill(again)
        page.get_by_role("button", name="Change password").click()

    change(PASSWORD, "another long one", "another long two")
    expect(page.get_by_text("is not the same as the new password")).to_be_visible()
    # The focus goes to the first field with an error: typing goes on when it is there.
    expect(page.get_by_label("New password again")).to_be_focused()
    change("wrong one", "another long one", "another long one")
    expect(page.get_by_text("is wrong", exact=True)).to_be_visible()
    expect(page.get_by_label("Current password")).to_be_focused()
    change(PASSWORD, "another long one", "another long one")

    expect(page.get_by_text("The password is changed")).to_be_visible()
    at_home(log_in(name, "another long one"))


def test_token_works_until_it_is_deleted(page: Page, app_server: Bench, browser: Browser) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    page.goto("/account")
    page.get_by_role("button", name="New token").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Make token").click()
    token = page.locator("#secret").inner_text()
    program = browser.new_context(
        base_url=app_server.url, extra_http_headers={"Authorization": f"Bearer {token}"}
    )
    assert program.request.get("/api/devices").status == 200
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text(token)).to_have_count(0)

    page.get_by_role("button", name=f"Delete the token {name}").click()
    asked = page.get_by_role("alertdialog")
    expect(asked).to_contain_text("refused from then on")
    asked.get_by_role("button", name="Delete token").click()

    # While a dialog is open, what is behind it has no roles: wait until it is gone.
    expect(asked).to_have_count(0)
    expect(line(page, name)).to_have_count(0)
    assert program.request.get("/api/devices").status == 401
    program.close()


def test_system_page_names_each_part_and_how_fast_it_answers(page: Page) -> None:
    page.goto("/system")

    parts = page.get_by_role("table", name="Parts of the bench")
    for name in ("Database", "Cache, sessions and bus"):
        expect(parts.get_by_role("row", name=name)).to_contain_text("Answers")
        expect(parts.get_by_role("row", name=name)).to_contain_text("ms")


def test_form_with_changes_asks_before_it_is_left(page: Page, app_server: Bench) -> None:
    body = {"name": f"d{uuid.uuid4().hex[:8]}", "kind": "http"}
    made = page.context.request.post(
        "/api/devices", data=body, headers={"Origin": app_server.url}
    ).json()
    page.goto(f"/devices/{made['id']}?tab=details")
    page.get_by_label("Name").fill("not saved")
    asked = []

    def refuse(dialog: Any) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="System").click()

    assert asked == ["You have unsaved changes. Leave without saving?"]
    expect(page.get_by_label("Name")).to_have_value("not saved")
