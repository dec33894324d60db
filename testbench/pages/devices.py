"""The fleet: which devices can be used, and how is each."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    Window,
    ago,
    amount,
    chip,
    data_table,
    dialog,
    empty_state,
    engineers,
    every,
    on_return,
    quick_search,
    save_row,
    secret,
    select_field,
    shell,
    snippet,
    state_badge,
    table_skeleton,
    tag_field,
    text_field,
    thousands,
    view,
)
from testbench.components.forms import native_select
from testbench.domain.devices import KIND_WORDS, POLLED
from testbench.domain.sparklines import HEIGHT, WIDTH
from testbench.pages.selections import bulk_bar, bulk_dialogs
from testbench.state.devices import DeviceRow, DevicesState

SPARKS_EVERY_S = 30
NOW_FIGURES = 4
"""Where in a row of `DevicesState.now` the key figures begin."""
COLUMNS = (
    ("kind", "Kind"),
    ("ip", "Address"),
    ("mac", "MAC"),
    ("hostname", "Hostname"),
    ("model", "Model"),
    ("firmware", "Firmware"),
    ("tags", "Tags"),
    ("run", "Run"),
    ("last_seen", "Last seen"),
)
LABELS = dict(COLUMNS)
KINDS = tuple(
    (kind, f"{word} (polled)" if kind in POLLED else word) for kind, word in KIND_WORDS.items()
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
        engineers(bulk_dialogs()),
        title="Devices",
        active="/devices",
        actions=[
            engineers(
                rx.link(
                    rx.button(
                        rx.icon("radar", size=14),
                        "Discover",
                        variant="soft",
                        tab_index=-1,
                        size="2",
                    ),
                    href="/discover",
                ),
                _register_button(),
            )
        ],
    )


def _register_button() -> rx.Component:
    return rx.button(
        rx.icon("plus", size=14), "Register", on_click=DevicesState.open_register(True), size="2"
    )


def _body() -> rx.Component:
    return rx.fragment(
        _filters(),
        rx.cond(DevicesState.rows.length() > 0, rx.fragment(_line(), _table()), _nothing()),
        every(SPARKS_EVERY_S, DevicesState.draw),
        on_return(DevicesState.load),
    )


def _filters() -> rx.Component:
    def state_chip(key: str, label: str) -> rx.Component:
        count = DevicesState.counts[key] if key else DevicesState.everything
        return chip(
            label,
            DevicesState.state_links[key],
            DevicesState.state == key,
            count,
            DevicesState.choose_state(key),
        )

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
        quick_search(
            DevicesState.q,
            DevicesState.search.debounce(20),
            "Name, address or tag",
            DevicesState.q_key,
        ),
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


def _line() -> rx.Component:
    """Above the table: how many there are, or what to do with those that are selected."""
    count = rx.el.span(
        rx.el.span(thousands(DevicesState.total), class_name="tb-num"),
        rx.cond(DevicesState.total == 1, " device", " devices"),
        class_name="tb-help",
        role="status",
    )
    return rx.el.div(
        rx.cond(DevicesState.selected_count > 0, engineers(bulk_bar()), count),
        rx.spacer(),
        _columns_menu(),
        class_name="tb-above",
    )


def _columns_menu() -> rx.Component:
    def choice(name: str, label: str) -> rx.Component:
        return rx.el.label(
            rx.checkbox(
                checked=DevicesState.columns[name],
                on_change=lambda on: DevicesState.show_column(name, on),
            ),
            label,
            class_name="tb-choice",
        )

    return rx.popover.root(
        rx.popover.trigger(
            rx.button(
                rx.icon("columns-3", size=14),
                "Columns",
                variant="ghost",
                color_scheme="gray",
                size="1",
            )
        ),
        rx.popover.content(
            rx.el.fieldset(
                rx.el.legend("Shown columns", class_name="tb-label"),
                *(choice(name, label) for name, label in COLUMNS),
                class_name="tb-choices",
            ),
            size="1",
        ),
    )


def _now(row: DeviceRow, index: int) -> Any:
    return DevicesState.now[row.i][index]


def _figure(row: DeviceRow, index: int) -> rx.Component:
    value, old = _now(row, NOW_FIGURES + 2 * index), _now(row, NOW_FIGURES + 2 * index + 1)
    return rx.cond(
        row.metrics.length() > index,
        rx.el.div(
            rx.el.span(
                amount(value, row.units[index]),
                rx.cond(
                    row.units[index] == "",
                    rx.el.span(" ", row.metrics[index], class_name="tb-help"),
                ),
                title=row.metrics[index],
                class_name="tb-num tb-clip",
            ),
            rx.cond(
                old != 0,
                rx.el.span(ago(old), class_name="tb-help tb-old"),
                _sparkline(DevicesState.sparks[row.i][index]),
            ),
            class_name="tb-spark",
        ),
        rx.el.span("–", class_name="tb-muted"),
    )


def _sparkline(path: Any) -> rx.Component:
    return rx.el.svg(
        rx.el.path(d=path), view_box=f"-1 -1 {WIDTH + 2} {HEIGHT + 2}", aria_hidden=True
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
        class_name="tb-tags",
    )


def _run(row: DeviceRow) -> rx.Component:
    run = _now(row, 3).to(str)
    return rx.cond(
        run != "",
        rx.link(
            "Open run", href=f"/runs/{run}", on_click=rx.stop_propagation, class_name="tb-link"
        ),
        rx.el.span("–", class_name="tb-muted"),
    )


def _sorted(label: str, name: str, cell: Any, **props: Any) -> Column:
    return Column(
        label,
        cell,
        sort=DevicesState.sort_links[name],
        on_sort=DevicesState.sort_by(name),
        sorted_by=DevicesState.sorted_by[name],
        **props,
    )


def _text(name: str, width: str) -> Column:
    """A column that a person may hide, of a device's own words."""

    def cell(row: DeviceRow) -> rx.Component:
        return rx.el.div(getattr(row, name), class_name="tb-clip")

    shown = DevicesState.columns[name]
    return _sorted(LABELS[name], name, cell, wide=True, width=width, shown=shown)


def _table() -> rx.Component:
    columns = [
        _sorted(
            "Device",
            "name",
            lambda row: rx.link(
                row.name, href=f"/devices/{row.id}", class_name="tb-open", underline="none"
            ),
            width="clamp(130px, 14vw, 260px)",
        ),
        _sorted(
            "State",
            "state",
            lambda row: state_badge(_now(row, 0).to(str), _now(row, 1).to(bool)),
            width="124px",
        ),
        Column("Key figure", lambda row: _figure(row, 0), width="160px"),
        Column("Second figure", lambda row: _figure(row, 1), wide=True, width="160px"),
        _text("kind", "104px"),
        _text("ip", "160px"),
        _text("mac", "150px"),
        _text("hostname", "150px"),
        _text("model", "110px"),
        _text("firmware", "110px"),
        Column("Tags", _tags, wide=True, width="134px", shown=DevicesState.columns["tags"]),
        Column("Run", _run, wide=True, width="90px", shown=DevicesState.columns["run"]),
        _sorted(
            "Last seen",
            "last_seen",
            lambda row: ago(_now(row, 2)),
            right=True,
            wide=True,
            width="100px",
            shown=DevicesState.columns["last_seen"],
        ),
    ]
    total = DevicesState.total
    whole = DevicesState.selected_count >= total
    return data_table(
        columns,
        DevicesState.rows,
        label="Devices",
        href=lambda row: f"/devices/{row.id}",
        selected=lambda row: DevicesState.marks[row.i],
        on_select=lambda row: DevicesState.select(row.id),
        name=lambda row: row.name,
        everything=(whole, DevicesState.select_all(~whole), "Select all that match"),
        window=Window(
            offset=DevicesState.offset,
            count=DevicesState.rows.length(),
            total=total,
            top=DevicesState.top,
            turn=DevicesState.turn,
            on_move=DevicesState.move,
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
            "Find the devices on the network, or register one to get its credential; its readings "
            "appear as soon as it sends.",
            engineers(
                rx.hstack(
                    rx.link(rx.button("Discover devices", tab_index=-1), href="/discover"),
                    rx.button(
                        "Register a device",
                        variant="soft",
                        on_click=DevicesState.open_register(True),
                    ),
                )
            ),
        ),
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
