"""What can be done to the selected devices: the bar above their table, and its dialogs."""

from typing import Any

import reflex as rx

from testbench.components import (
    confirm,
    dialog,
    empty_state,
    field,
    number_field,
    progress_bar,
    save_row,
    tag_field,
    text_field,
    thousands,
)
from testbench.components.forms import native_select
from testbench.state.devices import DevicesState


def bulk_bar() -> rx.Component:
    """How many are selected and what to do with them; while it is done, how far it is."""
    return rx.el.div(
        rx.el.span(
            thousands(DevicesState.selected_count), " selected", class_name="tb-num tb-strong"
        ),
        rx.cond(DevicesState.working != "", _progress(), _acts()),
        class_name="tb-bulk",
        role="toolbar",
        aria_label="Selected devices",
    )


def _progress() -> rx.Component:
    return rx.fragment(
        rx.el.span(
            f"{DevicesState.working} ",
            thousands(DevicesState.done),
            " of ",
            thousands(DevicesState.of),
            class_name="tb-num",
            role="status",
        ),
        rx.box(
            progress_bar(DevicesState.done / DevicesState.of, DevicesState.working), width="160px"
        ),
        rx.button(
            "Stop", on_click=DevicesState.stop, variant="soft", color_scheme="gray", size="1"
        ),
    )


def _act(label: str, icon: str, on_click: Any) -> rx.Component:
    return rx.button(rx.icon(icon, size=14), label, on_click=on_click, variant="soft", size="1")


def _acts() -> rx.Component:
    return rx.fragment(
        rx.button(rx.icon("play", size=14), "Start run", size="1", on_click=DevicesState.start_run),
        _act("Maintenance", "wrench", DevicesState.hold(True)),
        _act("Tags", "tag", DevicesState.ask("tags", True)),
        _act("Apply preset", "sliders-horizontal", DevicesState.open_rollout(True)),
        _more(),
        rx.spacer(),
        rx.cond(
            DevicesState.selected_count < DevicesState.total,
            rx.button(
                "Select all ",
                thousands(DevicesState.total),
                " that match",
                on_click=DevicesState.select_all(True),
                variant="ghost",
                size="1",
            ),
        ),
        rx.button("Clear", on_click=DevicesState.select_all(False), variant="ghost", size="1"),
    )


def _more() -> rx.Component:
    def item(label: str, icon: str, on_click: Any, **props: Any) -> rx.Component:
        return rx.dropdown_menu.item(
            rx.icon(icon, size=14, aria_hidden=True), label, on_click=on_click, **props
        )

    return rx.dropdown_menu.root(
        rx.dropdown_menu.trigger(
            rx.button("More", rx.icon("chevron-down", size=14), variant="soft", size="1")
        ),
        rx.dropdown_menu.content(
            item("End maintenance", "circle-check", DevicesState.hold(False)),
            item("Monitor", "eye", DevicesState.monitor(True)),
            item("Stop monitoring", "eye-off", DevicesState.monitor(False)),
            item("Restart", "rotate-ccw", DevicesState.ask("restart", True)),
            rx.dropdown_menu.separator(),
            item("Remove", "trash-2", DevicesState.ask("remove", True), color="red"),
        ),
    )


def _count() -> rx.Component:
    return rx.fragment(
        thousands(DevicesState.selected_count),
        rx.cond(DevicesState.selected_count == 1, " device", " devices"),
    )


def bulk_dialogs() -> rx.Component:
    """All of them, closed."""
    return rx.fragment(_tag_dialog(), _rollout_dialog(), _restart_dialog(), _remove_dialog())


def _fault(name: str) -> Any:
    return DevicesState.form_errors[name].to(str) | ""


def _tag_dialog() -> rx.Component:
    return dialog(
        rx.form(
            rx.vstack(
                tag_field(
                    "tags",
                    "Add tags",
                    auto_focus=True,
                    error=_fault("tags"),
                ),
                text_field(
                    "without", "Take tags away", help="Separated by commas.", auto_complete="off"
                ),
                save_row(
                    busy=DevicesState.working != "",
                    label="Change",
                    on_cancel=DevicesState.ask("tags", False),
                ),
                spacing="4",
                align="stretch",
            ),
            on_submit=DevicesState.change_tags,
        ),
        title="Tags",
        description=rx.fragment("For ", _count(), "; other tags stay as they are."),
        is_open=DevicesState.asking == "tags",
        on_open_change=lambda is_open: DevicesState.ask("tags", is_open),
    )


def _rollout_dialog() -> rx.Component:
    form = rx.form(
        rx.vstack(
            field(
                "preset",
                "Preset",
                native_select(
                    rx.foreach(
                        DevicesState.presets, lambda one: rx.el.option(one[1], value=one[0])
                    ),
                    id="preset",
                    name="preset",
                ),
                error=_fault("preset"),
            ),
            number_field(
                "max_failures",
                "Stop after so many failures",
                help="The first device goes alone; if it fails, nothing else is touched.",
                error=_fault("max_failures"),
                default_value="1",
            ),
            save_row(
                busy=DevicesState.working != "",
                label="Roll out",
                on_cancel=DevicesState.open_rollout(False),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=DevicesState.roll_out,
    )
    nothing = empty_state(
        "sliders-horizontal",
        "No presets yet",
        "A preset is a set of settings under a name.",
        rx.link(rx.button("New preset", tab_index=-1), href="/presets/new"),
    )
    return dialog(
        rx.cond(DevicesState.presets.length() > 0, form, nothing),
        title="Apply a preset",
        description=rx.fragment("To ", _count(), ", one first, then the rest."),
        is_open=DevicesState.asking == "rollout",
        on_open_change=DevicesState.open_rollout,
    )


def _restart_dialog() -> rx.Component:
    return confirm(
        title=rx.fragment("Restart ", _count(), "?"),
        lost=(
            "Each is away for a second or two and counts its shares and best results anew. One "
            "that is in a run is left as it is; only polled devices can be restarted."
        ),
        action="Restart them",
        is_open=DevicesState.asking == "restart",
        on_open_change=lambda is_open: DevicesState.ask("restart", is_open),
        on_confirm=DevicesState.restart_selected,
    )


def _remove_dialog() -> rx.Component:
    return confirm(
        title=rx.fragment("Remove ", _count(), "?"),
        lost=(
            "They leave the fleet: polling and logs stop, their credentials stop working and they "
            "leave the overview. Their readings and their part in runs stay, unless the bench is "
            "told to delete them with the device. One that is in a run is left as it is."
        ),
        action="Remove them",
        is_open=DevicesState.asking == "remove",
        on_open_change=lambda is_open: DevicesState.ask("remove", is_open),
        on_confirm=DevicesState.remove_selected,
    )
