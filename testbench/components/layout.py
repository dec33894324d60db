"""The shell around every page: sidebar, title bar, user menu, jump dialog, lost connection."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors

from testbench.state.auth import AuthState
from testbench.state.search import SearchState


class Place(NamedTuple):
    """One entry of the sidebar."""

    label: str
    icon: str
    href: str


PLACES: tuple[tuple[str, tuple[Place, ...]], ...] = (
    (
        "",
        (
            Place("Home", "house", "/"),
            Place("Devices", "cpu", "/devices"),
            Place("Discover", "radar", "/discover"),
            Place("Runs", "circle-play", "/runs"),
        ),
    ),
    (
        "Tests",
        (
            Place("Test cases", "list-checks", "/test-cases"),
            Place("Environments", "thermometer", "/environments"),
            Place("Presets", "sliders-horizontal", "/presets"),
        ),
    ),
    ("Bench", (Place("System", "activity", "/system"), Place("Account", "user-round", "/account"))),
)
ADMIN: tuple[Place, ...] = (Place("Users", "users", "/users"),)


def shell(
    *body: rx.Component,
    title: Any,
    active: str,
    actions: Sequence[rx.Component] = (),
    crumbs: Sequence[tuple[Any, Any]] = (),
) -> rx.Component:
    """A page of the bench. `active`: its entry in the sidebar; `crumbs`: (label, link) above it."""
    return rx.fragment(
        rx.el.a("Skip to content", href="#content", class_name="tb-skip"),
        rx.el.div(
            rx.el.aside(_brand(), _nav(active), _who(), class_name="tb-side"),
            rx.el.div(
                _lost(),
                _bar(title, active, actions, crumbs),
                rx.el.main(*body, id="content", tab_index=-1, class_name="tb-content"),
                class_name="tb-main",
            ),
            class_name="tb-shell",
        ),
    )


def engineers(*children: rx.Component) -> rx.Component:
    """What only those see who may change things; the handlers behind it refuse on their own."""
    role = AuthState.role
    return rx.cond((role != "") & (role != "viewer"), rx.fragment(*children))


def _brand() -> rx.Component:
    return rx.link(
        rx.image(src="/logo.svg", alt="", width="24px", height="24px"),
        "Testbench",
        href="/",
        class_name="tb-brand",
        underline="none",
    )


def _nav(active: str, *, closes: bool = False) -> rx.Component:
    def entry(place: Place) -> rx.Component:
        link = rx.link(
            rx.icon(place.icon, size=16, aria_hidden=True),
            place.label,
            href=place.href,
            underline="none",
            custom_attrs={"aria-current": "page"} if place.href == active else {},
        )
        return rx.drawer.close(link, as_child=True) if closes else link

    parts: list[rx.Component] = []
    for heading, places in PLACES:
        if heading:
            parts.append(rx.el.h2(heading))
        parts += [entry(place) for place in places]
    admin = rx.fragment(*(entry(place) for place in ADMIN))
    return rx.el.nav(
        *parts,
        rx.cond(AuthState.role == "admin", admin),
        class_name="tb-nav",
        aria_label="Main",
    )


def _who() -> rx.Component:
    choices = (("light", "Light", "sun"), ("dark", "Dark", "moon"), ("system", "System", "monitor"))
    return rx.dropdown_menu.root(
        rx.dropdown_menu.trigger(
            rx.button(
                rx.avatar(fallback=AuthState.username[:1].upper(), size="1", radius="full"),
                rx.el.span(AuthState.username, class_name="tb-clip"),
                rx.spacer(),
                rx.icon("chevrons-up-down", size=14, aria_hidden=True),
                variant="ghost",
                color_scheme="gray",
                high_contrast=True,
                width="100%",
                custom_attrs={"aria-label": "User menu"},
                style={"margin": 0, "padding": "6px 8px", "minWidth": 0, "boxSizing": "border-box"},
            )
        ),
        rx.dropdown_menu.content(
            rx.dropdown_menu.item(
                rx.el.span(AuthState.username, " · ", AuthState.role), disabled=True
            ),
            rx.dropdown_menu.separator(),
            rx.dropdown_menu.item("Account and tokens", on_click=rx.redirect("/account")),
            rx.dropdown_menu.separator(),
            *(
                rx.dropdown_menu.item(
                    rx.icon(icon, size=14), text, on_click=rx.style.set_color_mode(mode)
                )
                for mode, text, icon in choices
            ),
            rx.dropdown_menu.separator(),
            rx.dropdown_menu.item("Log out", on_click=AuthState.log_out),
        ),
    )


def _drawer(active: str) -> rx.Component:
    return rx.drawer.root(
        rx.drawer.trigger(
            rx.icon_button(
                rx.icon("menu", size=18),
                variant="ghost",
                color_scheme="gray",
                class_name="tb-burger",
                custom_attrs={"aria-label": "Menu"},
            ),
            as_child=True,
        ),
        rx.drawer.portal(
            rx.drawer.overlay(class_name="tb-drawer-back"),
            rx.drawer.content(
                rx.drawer.title("Menu", class_name="tb-hidden"),
                rx.drawer.description("Pages of the bench", class_name="tb-hidden"),
                _brand(),
                _nav(active, closes=True),
                _who(),
                class_name="tb-drawer",
            ),
        ),
        direction="left",
    )


def _bar(
    title: Any, active: str, actions: Sequence[rx.Component], crumbs: Sequence[tuple[Any, Any]]
) -> rx.Component:
    trail: list[rx.Component] = []
    for label, href in crumbs:
        trail += [
            rx.link(label, href=href, underline="none"),
            rx.icon("chevron-right", size=14, color=rx.color("gray", 9), aria_hidden=True),
        ]
    return rx.el.header(
        _drawer(active),
        rx.el.div(*trail, rx.el.h1(title, class_name="tb-clip"), class_name="tb-crumbs"),
        *actions,
        _jump(),
        class_name="tb-bar",
    )


def _lost() -> rx.Component:
    return rx.cond(
        has_connection_errors,
        rx.el.div(
            rx.icon("wifi-off", size=16, aria_hidden=True),
            "The connection to the bench is lost. What you see may be old; trying again.",
            class_name="tb-lost",
            role="status",
        ),
    )


# --- jump to anything


def _jump() -> rx.Component:
    return rx.dialog.root(
        rx.dialog.trigger(
            rx.el.button(
                rx.icon("search", size=14, aria_hidden=True),
                rx.el.span("Jump to"),
                rx.el.kbd("Ctrl K", class_name="tb-kbd"),
                id="jump-open",
                type="button",
                class_name="tb-jump-open",
                aria_label="Jump to a device, run, test case or page",
            )
        ),
        rx.dialog.content(
            rx.dialog.title("Jump to", class_name="tb-hidden"),
            rx.dialog.description(
                "Type a part of a name; arrows choose, Enter opens.", class_name="tb-hidden"
            ),
            rx.input(
                rx.input.slot(rx.icon("search", size=16)),
                default_value="",
                on_change=SearchState.find.debounce(120),
                placeholder="Device, run number, test case or page",
                aria_label="Jump to",
                auto_focus=True,
                size="3",
                max_length=100,
            ),
            rx.el.div(
                rx.foreach(SearchState.hits, _hit),
                rx.cond(
                    SearchState.nothing,
                    rx.el.p("Nothing has this in its name.", class_name="tb-help", padding="10px"),
                ),
                class_name="tb-hits",
                aria_live="polite",
            ),
            id="jump",
            max_width="560px",
            padding="12px",
            custom_attrs={"data-jump": True},
        ),
        on_open_change=SearchState.open,
    )


def _hit(hit: Any) -> rx.Component:
    icon = rx.match(
        hit.kind,
        ("device", rx.icon("cpu", size=16)),
        ("run", rx.icon("circle-play", size=16)),
        ("test case", rx.icon("list-checks", size=16)),
        rx.icon("arrow-right", size=16),
    )
    return rx.dialog.close(
        rx.link(
            icon,
            rx.el.span(hit.title, class_name="tb-clip"),
            rx.el.span(hit.kind, class_name="tb-help"),
            href=hit.href,
            underline="none",
            custom_attrs={"data-hit": True},
        ),
    )
