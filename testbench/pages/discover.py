"""Discover: what is out there, and which of it does the bench not have yet?"""

import reflex as rx

from testbench.components import (
    Column,
    ago,
    data_table,
    empty_state,
    engineers,
    pager,
    progress_bar,
    search_box,
    shell,
    snippet,
    table_skeleton,
    view,
)
from testbench.state.discover import DiscoverState, FoundRow

SMALL = {"fontSize": "14px"}


def discover() -> rx.Component:
    """The page."""
    return shell(
        view(DiscoverState, table_skeleton(), _body()),
        title="Discover",
        active="/discover",
        actions=[rx.cond(DiscoverState.configured, engineers(_search_button()))],
    )


def _search_button() -> rx.Component:
    return rx.button(
        rx.icon("radar", size=14),
        "Search now",
        on_click=DiscoverState.search,
        loading=DiscoverState.searching,
        size="2",
    )


def _body() -> rx.Component:
    return rx.cond(
        DiscoverState.configured | (DiscoverState.total > 0),
        rx.fragment(
            rx.cond(DiscoverState.searching, _progress(), _standing()),
            rx.cond(DiscoverState.fault != "", _fault()),
            rx.cond(DiscoverState.done != "", _done()),
            rx.cond((DiscoverState.total > 0) | (DiscoverState.q != ""), _filters()),
            rx.cond(DiscoverState.chosen > 0, engineers(_bulk())),
            rx.cond(DiscoverState.rows.length() > 0, _table(), _nothing()),
        ),
        _unconfigured(),
    )


# --- the search


def _progress() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.cond(
                DiscoverState.to_ask > 0,
                rx.el.span(
                    DiscoverState.asked,
                    " of ",
                    DiscoverState.to_ask,
                    " addresses asked · ",
                    rx.el.strong(DiscoverState.answered, " found"),
                    class_name="tb-num",
                ),
                rx.el.span("The search begins."),
            ),
            rx.spacer(),
            engineers(
                rx.button(
                    rx.icon("x", size=14),
                    "Cancel",
                    on_click=DiscoverState.call_off,
                    variant="soft",
                    color_scheme="gray",
                    size="1",
                )
            ),
            class_name="tb-filters",
            role="status",
        ),
        rx.box(progress_bar(DiscoverState.share, "Search"), margin_y="8px"),
        rx.el.p(
            "What answers appears below at once. The search goes on when you leave this page.",
            class_name="tb-help",
        ),
        aria_label="Search",
        style=SMALL,
    )


def _standing() -> rx.Component:
    return rx.el.p(
        rx.cond(
            DiscoverState.service,
            "A discovery service is asked.",
            rx.fragment(
                "Networks: ", DiscoverState.networks, "; ports: ", DiscoverState.ports, "."
            ),
        ),
        rx.cond(
            DiscoverState.searched_at != "",
            rx.fragment(" Last search ", ago(DiscoverState.searched_at), "."),
        ),
        class_name="tb-help tb-break",
    )


def _fault() -> rx.Component:
    return rx.callout(
        DiscoverState.fault,
        icon="circle-alert",
        color_scheme="red",
        high_contrast=True,
        size="1",
        role="alert",
    )


def _done() -> rx.Component:
    return rx.callout.root(
        rx.callout.icon(rx.icon("circle-check", size=16)),
        rx.callout.text(
            DiscoverState.done,
            " ",
            rx.link("Open the fleet", href="/devices?kind=axeos", high_contrast=True),
        ),
        color_scheme="green",
        high_contrast=True,
        size="1",
    )


# --- what it found


def _filters() -> rx.Component:
    def pick(label: str, on_click: object) -> rx.Component:
        return rx.button(label, on_click=on_click, variant="soft", color_scheme="gray", size="1")

    return rx.el.div(
        rx.el.span(
            rx.el.strong(DiscoverState.total, " found"),
            rx.cond(DiscoverState.total > 0, rx.fragment(" · ", DiscoverState.new, " new")),
            class_name="tb-num",
        ),
        rx.cond(
            DiscoverState.total > 0,
            engineers(
                rx.cond(DiscoverState.new > 0, pick("Select all new", DiscoverState.select_new)),
                pick("Select all", DiscoverState.select_all),
            ),
        ),
        rx.spacer(),
        search_box(DiscoverState.q, DiscoverState.filter, "Name, address, model"),
        class_name="tb-filters",
        role="search",
        style=SMALL,
    )


def _who(row: FoundRow) -> rx.Component:
    """Its name over its address: both fit on a phone."""
    return rx.el.div(
        rx.el.div(
            rx.cond(row.hostname != "", row.hostname, "without a name"),
            class_name="tb-clip tb-strong",
            title=row.hostname,
        ),
        rx.el.div(row.ip, class_name="tb-num tb-muted"),
        style={"maxWidth": "min(260px, 42vw)"},
    )


def _known(row: FoundRow) -> rx.Component:
    return rx.cond(
        row.device_id != "",
        rx.link(
            rx.el.div(row.device_name, class_name="tb-clip", title=row.device_name),
            href=f"/devices/{row.device_id}",
            style={"display": "block", "maxWidth": "min(220px, 26vw)"},
        ),
        rx.el.span("New", class_name="tb-tag"),
    )


def _table() -> rx.Component:
    columns = [
        Column("Device", _who),
        Column("MAC", lambda row: rx.el.code(row.mac), wide=True),
        Column("Model", lambda row: row.model, wide=True),
        Column("Firmware", lambda row: row.firmware, wide=True),
        Column("In the bench", _known),
    ]
    return rx.fragment(
        data_table(
            columns,
            DiscoverState.rows,
            label="Found devices",
            selected=lambda row: row.selected,
            on_select=lambda row: DiscoverState.select(row.mac),
            name=lambda row: rx.cond(row.hostname != "", row.hostname, row.mac),
            key=lambda row: row.mac,
            tall=True,
        ),
        pager(
            DiscoverState.shown,
            DiscoverState.total,
            DiscoverState.first_link,
            DiscoverState.next_link,
        ),
    )


def _bulk() -> rx.Component:
    return rx.el.div(
        rx.el.span(DiscoverState.chosen, " selected", class_name="tb-num tb-strong"),
        rx.button(
            rx.icon("stamp", size=14),
            "Imprint selected",
            on_click=DiscoverState.imprint,
            loading=DiscoverState.working,
            size="1",
        ),
        rx.el.label(
            rx.checkbox(
                checked=DiscoverState.monitored, on_change=DiscoverState.set_monitored, size="1"
            ),
            "Start monitoring",
            style={"display": "inline-flex", "gap": "6px", "alignItems": "center"},
        ),
        rx.spacer(),
        rx.button("Clear", on_click=DiscoverState.select_none, variant="ghost", size="1"),
        class_name="tb-bulk",
        role="toolbar",
        aria_label="Selected devices",
    )


# --- nothing to show


def _nothing() -> rx.Component:
    return rx.cond(
        DiscoverState.q != "",
        empty_state(
            "search-x",
            "No device matches",
            "Nothing that was found fits this filter.",
            rx.link(rx.button("Show all", variant="soft", tab_index=-1), href="/discover"),
        ),
        rx.cond(
            DiscoverState.searching,
            empty_state("radar", "Nothing has answered yet", "Devices appear as they answer."),
            rx.cond(
                DiscoverState.searched_at != "",
                empty_state(
                    "wifi-off",
                    "Nothing answered",
                    "A device must be switched on, in one of the networks above, and serve"
                    " its own web page on one of these ports.",
                ),
                empty_state(
                    "radar",
                    "Find the devices of your network",
                    "The bench asks each address once. What answers can be imprinted: it"
                    " becomes a device of the bench.",
                    engineers(rx.button("Search now", on_click=DiscoverState.search)),
                ),
            ),
        ),
    )


def _unconfigured() -> rx.Component:
    return empty_state(
        "network",
        "Which networks are your devices in?",
        "The bench calls no address that it was not told of. Write this into its file .env,"
        " with your own network, and start it again.",
        rx.box(
            snippet("In .env", "DISCOVERY_NETWORKS=192.168.1.0/24"),
            width="100%",
            max_width="420px",
            text_align="left",
        ),
    )
