"""The fleet: which devices can be used, and how is each."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    amount,
    chip,
    data_table,
    dialog,
    empty_state,
    engineers,
    pager,
    save_row,
    search_box,
    secret,
    select_field,
    shell,
    snippet,
    state_badge,
    table_skeleton,
    tag_field,
    text_field,
    view,
)
from testbench.components.forms import native_select
from testbench.state.devices import DeviceRow, DevicesState

KINDS = (
    ("mqtt", "MQTT"),
    ("http", "HTTP"),
    ("axeos", "AxeOS (polled)"),
    ("simulated", "Simulated"),
)
STATE_CHIPS = (
    ("", "All"),
    ("available", "Available"),
    ("in_test", "In test"),
    ("offline", "Offline"),
    ("maintenance", "Maintenance"),
)


def devices() -> rx.Component:
    """The page."""
    return shell(
        view(DevicesState, table_skeleton(), _body()),
        _register_dialog(),
        _tag_dialog(),
        title="Devices",
        active="/devices",
        actions=[engineers(_register_button())],
    )


def _register_button() -> rx.Component:
    return rx.button(
        rx.icon("plus", size=14), "Register", on_click=DevicesState.open_register(True), size="2"
    )


def _body() -> rx.Component:
    return rx.fragment(
        _filters(),
        rx.cond(DevicesState.selected.length() > 0, engineers(_bulk())),
        rx.cond(DevicesState.rows.length() > 0, _table(), _nothing()),
    )


def _filters() -> rx.Component:
    def state_chip(key: str, label: str) -> rx.Component:
        count = DevicesState.counts[key] if key else DevicesState.everything
        return chip(label, DevicesState.state_links[key], DevicesState.state == key, count)

    return rx.el.div(
        rx.el.div(*(state_chip(*one) for one in STATE_CHIPS), class_name="tb-chips"),
        rx.cond(DevicesState.tag != "", _tag_filter()),
        rx.spacer(),
        rx.box(
            native_select(
                rx.el.option("Every kind", value=""),
                *(rx.el.option(label, value=kind) for kind, label in KINDS),
                value=DevicesState.kind,
                on_change=DevicesState.choose_kind,
                aria_label="Kind",
            ),
            width=["100%", "100%", "150px"],
        ),
        search_box(DevicesState.q, DevicesState.search, "Name, address or tag"),
        class_name="tb-filters",
        role="search",
    )


def _tag_filter() -> rx.Component:
    return rx.link(
        "Tag: ",
        DevicesState.tag,
        rx.icon("x", size=14, aria_hidden=True),
        href=DevicesState.untagged_link,
        class_name="tb-chip",
        underline="none",
        custom_attrs={"aria-current": "true", "aria-label": "Remove the filter by tag"},
    )


def _now(row: DeviceRow, index: int) -> Any:
    return DevicesState.now[row.i][index]


def _figure(row: DeviceRow, index: int) -> rx.Component:
    return rx.cond(
        row.metrics.length() > index,
        rx.el.span(
            amount(_now(row, 3 + index), row.units[index]),
            rx.el.span(" ", row.metrics[index], class_name="tb-help"),
            class_name="tb-num",
        ),
        rx.el.span("–", class_name="tb-muted"),
    )


def _tags(row: DeviceRow) -> rx.Component:
    return rx.el.div(
        rx.foreach(
            row.tags,
            lambda tag: rx.link(
                tag,
                href=f"/devices?tag={tag}",
                class_name="tb-tag",
                underline="none",
                on_click=rx.stop_propagation,
            ),
        ),
        class_name="tb-chips",
    )


def _sorted(label: str, name: str, cell: Any, **props: Any) -> Column:
    return Column(
        label,
        cell,
        sort=DevicesState.sort_links[name],
        sorted_by=DevicesState.sorted_by[name],
        **props,
    )


def _table() -> rx.Component:
    columns = [
        _sorted(
            "Device",
            "name",
            lambda row: rx.link(
                row.name, href=f"/devices/{row.id}", class_name="tb-open", underline="none"
            ),
        ),
        _sorted(
            "State",
            "state",
            lambda row: state_badge(_now(row, 0).to(str), _now(row, 1).to(bool)),
        ),
        _sorted("Kind", "kind", lambda row: row.kind, wide=True),
        Column("Tags", _tags, wide=True),
        Column("Key figures", lambda row: _figure(row, 0), right=True),
        Column("", lambda row: _figure(row, 1), right=True, wide=True),
        _sorted("Last seen", "last_seen", lambda row: ago(_now(row, 2)), right=True),
    ]
    return rx.fragment(
        data_table(
            columns,
            DevicesState.rows,
            label="Devices",
            href=lambda row: f"/devices/{row.id}",
            selected=lambda row: row.selected,
            on_select=lambda row: DevicesState.select(row.id),
            name=lambda row: row.name,
            tall=True,
        ),
        pager(
            DevicesState.shown,
            DevicesState.total,
            DevicesState.first_link,
            DevicesState.next_link,
        ),
    )


def _nothing() -> rx.Component:
    return rx.cond(
        DevicesState.filtered,
        empty_state(
            "search-x",
            "No device matches",
            "Nothing in the fleet fits these filters.",
            rx.link(rx.button("Show all devices", variant="soft", tab_index=-1), href="/devices"),
        ),
        empty_state(
            "cpu",
            "No devices yet",
            "Register a device to get its credential; its readings appear as soon as it sends.",
            engineers(rx.button("Register a device", on_click=DevicesState.open_register(True))),
        ),
    )


def _bulk() -> rx.Component:
    def act(label: str, icon: str, on_click: Any) -> rx.Component:
        return rx.button(
            rx.icon(icon, size=14),
            label,
            on_click=on_click,
            variant="soft",
            size="1",
            disabled=DevicesState.working,
        )

    return rx.el.div(
        rx.el.span(DevicesState.selected.length(), " selected", class_name="tb-num tb-strong"),
        rx.link(
            rx.button(rx.icon("play", size=14), "Start run", size="1", tab_index=-1),
            href=f"/runs/new?device={DevicesState.selected.join(',')}",
        ),
        act("Maintenance", "wrench", DevicesState.hold(True)),
        act("End maintenance", "circle-check", DevicesState.hold(False)),
        act("Add tags", "tag", DevicesState.open_tagging(True)),
        rx.spacer(),
        rx.button("Whole page", on_click=DevicesState.select_page, variant="ghost", size="1"),
        rx.button("Clear", on_click=DevicesState.select_none, variant="ghost", size="1"),
        class_name="tb-bulk",
        role="toolbar",
        aria_label="Selected devices",
    )


def _tag_dialog() -> rx.Component:
    return dialog(
        rx.form(
            rx.vstack(
                tag_field(
                    "tags", auto_focus=True, error=DevicesState.form_errors["tags"].to(str) | ""
                ),
                save_row(
                    busy=DevicesState.working,
                    label="Add",
                    on_cancel=DevicesState.open_tagging(False),
                ),
            ),
            on_submit=DevicesState.add_tags,
        ),
        title="Add tags",
        description="They are added to every selected device.",
        is_open=DevicesState.tagging,
        on_open_change=DevicesState.open_tagging,
    )


# --- registering


def _register_dialog() -> rx.Component:
    return dialog(
        rx.cond(DevicesState.new_token != "", _registered(), _register_form()),
        title=rx.cond(
            DevicesState.new_token != "",
            f"{DevicesState.new_name} is registered",
            "Register a device",
        ),
        is_open=DevicesState.registering,
        on_open_change=DevicesState.open_register,
        width="520px",
    )


def _fault(name: str) -> Any:
    return DevicesState.form_errors[name].to(str) | ""


def _register_form() -> rx.Component:
    return rx.form(
        rx.vstack(
            text_field(
                "name",
                "Name",
                error=_fault("name"),
                auto_focus=True,
                max_length=200,
                auto_complete="off",
                placeholder="bench-07",
            ),
            select_field(
                "kind",
                "Kind",
                KINDS,
                help="How it speaks to the bench. AxeOS devices are asked by the bench itself.",
                error=_fault("kind"),
                default_value="mqtt",
            ),
            rx.grid(
                text_field(
                    "ip",
                    "Address (optional)",
                    error=_fault("ip"),
                    help="With a port if needed.",
                    placeholder="192.168.1.20",
                    auto_complete="off",
                ),
                text_field(
                    "mac",
                    "MAC (optional)",
                    error=_fault("mac"),
                    placeholder="c0:fa:38:00:00:07",
                    auto_complete="off",
                ),
                columns=rx.breakpoints(initial="1", sm="2"),
                spacing="4",
                width="100%",
            ),
            tag_field("tags", "Tags (optional)", error=_fault("tags")),
            save_row(
                busy=DevicesState.saving,
                label="Register",
                on_cancel=DevicesState.open_register(False),
                error=_fault(""),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=DevicesState.register,
    )


def _registered() -> rx.Component:
    return rx.vstack(
        secret(
            DevicesState.new_token,
            "This is the device's credential. It is shown this once; keep it where the device is.",
        ),
        snippet(
            "Send a first reading",
            f"curl -X POST {origin()}/api/telemetry \\\n"
            f"  -H 'Authorization: Bearer {DevicesState.new_token}' \\\n"
            "  -d '{\"temp\": 21.5}'",
        ),
        rx.hstack(
            rx.button(
                "Done",
                variant="soft",
                color_scheme="gray",
                on_click=DevicesState.open_register(False),
            ),
            rx.link(rx.button("Open device", tab_index=-1), href=f"/devices/{DevicesState.new_id}"),
            justify="end",
            width="100%",
        ),
        spacing="4",
        width="100%",
    )


def origin() -> rx.Var[str]:
    """Where the browser reaches the bench."""
    return DevicesState.router.url.origin
