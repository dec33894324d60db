"""The shell around every page: navigation, jump dialog, themes, phones, a lost connection."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.services import Bench

PLACES = ("Home", "Devices", "Runs", "Test cases", "Environments", "System", "Account", "Users")
PHONE = {"width": 390, "height": 800}
Open = Callable[..., Page]


def test_who_is_not_logged_in_lands_on_the_login_page(browser: Browser, app_server: Bench) -> None:
    page = browser.new_page(base_url=app_server.url)

    page.goto("/devices?state=offline")

    page.wait_for_url(re.compile(r"/login/?\?next=%2Fdevices(%2F)?%3Fstate%3Doffline"))
    page.close()


def test_login_leads_to_where_one_wanted_to_go(browser: Browser, app_server: Bench) -> None:
    page = browser.new_page(base_url=app_server.url)
    page.goto("/system")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(app_server.admin_password)
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
    page.close()


@pytest.mark.parametrize("place", PLACES)
def test_sidebar_leads_everywhere_and_marks_the_place(page: Page, place: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=place).click()

    expect(page.get_by_role("heading", level=1, name=place)).to_be_visible()
    current = page.get_by_role("navigation", name="Main").locator("[aria-current=page]")
    expect(current).to_have_text(place)


def test_no_page_says_anything_on_the_console(someone: Open) -> None:
    page, said = someone(), []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))

    for path in ("/", "/devices", "/system", "/account", "/users"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)

    assert said == []


def test_unknown_address_says_so_and_leads_home(someone: Open) -> None:
    page = someone("/no/such/page")

    expect(page.get_by_text("There is no such page")).to_be_visible()
    page.get_by_role("button", name="Go to Home").click()
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()


def test_ctrl_k_jumps_by_a_part_of_a_name(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()

    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Devices")).to_be_visible()
    page.keyboard.type("syst")
    expect(dialog.get_by_role("link")).to_have_count(1)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()


def test_jump_says_when_nothing_fits_and_esc_closes_it(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("zzz-no-such-thing")

    expect(page.get_by_text("Nothing has this in its name.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_skip_link_is_the_first_stop_and_leads_to_the_content(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile("#content$"))


@pytest.mark.parametrize("look", ["Light", "Dark"])
def test_look_is_chosen_and_kept(page: Page, look: str) -> None:
    page.get_by_role("button", name="User menu").click()
    page.get_by_role("menuitem", name=look).click()
    expect(page.locator("html")).to_have_class(re.compile(look.lower()))

    page.reload()

    expect(page.locator("html")).to_have_class(re.compile(look.lower()))


def test_system_look_follows_the_computer(someone: Open) -> None:
    expect(someone(color_scheme="dark").locator("html")).to_have_class(re.compile("dark"))
    expect(someone(color_scheme="light").locator("html")).to_have_class(re.compile("light"))


def test_phone_has_a_drawer_and_nothing_sticks_out(someone: Open) -> None:
    page = someone("/devices", viewport=PHONE)
    expect(page.get_by_role("heading", level=1, name="Devices")).to_be_visible()
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)

    page.get_by_role("button", name="Menu", exact=True).click()
    page.get_by_role("dialog").get_by_role("link", name="System").click()

    expect(page.get_by_role("heading", level=1, name="System")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_lost_connection_shows_a_banner_that_heals(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()
    lost = page.get_by_text("The connection to the bench is lost.")

    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    expect(lost).to_be_visible(timeout=60_000)
    page.context.set_offline(False)

    expect(lost).to_have_count(0, timeout=30_000)


def test_log_out_ends_the_session_in_every_tab(page: Page) -> None:
    other = page.context.new_page()
    other.goto("/devices")
    expect(other.get_by_role("heading", level=1, name="Devices")).to_be_visible()

    page.get_by_role("button", name="User menu").click()
    page.get_by_role("menuitem", name="Log out").click()

    page.wait_for_url(re.compile("/login"))
    other.wait_for_url(re.compile("/login"))
