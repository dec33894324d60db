"""The tab of a device's settings: reported beside wanted, changes, presets, restart, history."""

from typing import Any

import reflex as rx

from testbench.components import (
    card,
    dialog,
    empty_state,
    engineers,
    form_skeleton,
    save_row,
    select_field,
    view,
)
from testbench.components.settings import (
    setting_input,
    standing_badge,
    steps_list,
    working,
)
from testbench.pages.device.changes import history, locked
from testbench.state.device_configuration import DeviceConfigurationState as Settings


def configuration() -> rx.Component:
    """The tab."""
    return view(
        Settings,
        form_skeleton(),
        rx.cond(Settings.configurable, _tab(), _not_configurable()),
    )


def _not_configurable() -> rx.Component:
    return card(
        empty_state(
            "sliders-horizontal",
            "Nothing to configure",
            rx.fragment(
                "A device of the kind ",
                Settings.kind,
                " is configured where it runs; the bench changes the settings of AxeOS devices.",
            ),
        ),
        flush=True,
    )


def _tab() -> rx.Component:
    beside = rx.vstack(engineers(_preset(), _restart()), spacing="4", width="100%", align="stretch")
    return rx.el.div(
        _in_run(),
        _refused(),
        working(Settings.busy),
        _outcome(),
        rx.el.div(rx.cond(Settings.editing, _form(), _table()), beside, class_name="tb-two"),
        history(),
        class_name="tb-stack tb-wide-stack",
    )


# --- what stands above everything


def _in_run() -> rx.Component:
    return rx.cond(
        Settings.blocked != "",
        rx.callout.root(
            rx.callout.icon(rx.icon("lock", size=16, aria_hidden=True)),
            rx.callout.text(
                Settings.blocked,
                " ",
                rx.cond(
                    Settings.run_id != "",
                    rx.link("Open its run", href=f"/runs/{Settings.run_id}", underline="always"),
                ),
            ),
            color_scheme="blue",
            high_contrast=True,
            size="1",
            id="blocked",
        ),
    )


def _refused() -> rx.Component:
    return rx.cond(
        Settings.refused != "",
        rx.callout.root(
            rx.callout.icon(rx.icon("circle-alert", size=16, aria_hidden=True)),
            rx.callout.text(
                rx.el.strong(Settings.refused_what),
                " ",
                rx.el.span(Settings.refused),
                " ",
                _dismiss(),
                class_name="tb-break",
            ),
            color_scheme="red",
            high_contrast=True,
            size="1",
            role="alert",
            id="refused",
        ),
    )


def _dismiss() -> rx.Component:
    return rx.el.button(
        "Dismiss", type="button", class_name="tb-textual", on_click=Settings.dismiss
    )


def _outcome() -> rx.Component:
    return rx.cond(
        Settings.outcome_title != "",
        card(
            rx.el.ul(rx.foreach(Settings.outcome, _outcome_line), class_name="tb-outcome"),
            title=Settings.outcome_title,
            actions=[_dismiss()],
            id="outcome",
            role="status",
        ),
    )


def _outcome_line(one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(
            rx.el.span(one.label, class_name="tb-strong"),
            rx.cond(
                one.desired != "",
                rx.fragment(" ", one.reported, " → ", rx.el.span(one.desired)),
            ),
            class_name="tb-break",
        ),
        standing_badge(one.standing),
    )


# --- the settings as they are


def _table() -> rx.Component:
    edit = rx.button(
        rx.icon("pencil", size=14),
        "Edit settings",
        size="1",
        variant="soft",
        on_click=Settings.edit(True),
        disabled=locked(),
    )
    table = rx.el.table(
        rx.el.thead(
            rx.el.tr(
                rx.el.th("Setting", scope="col", style={"width": "34%"}),
                rx.el.th("Reported", scope="col", style={"width": "33%"}),
                rx.el.th("Desired", scope="col"),
            )
        ),
        rx.foreach(Settings.groups, _group),
        class_name="tb-table",
        aria_label="Settings",
    )
    return card(
        rx.cond(
            Settings.groups.length() > 0,
            rx.el.div(
                table,
                tab_index=0,
                role="region",
                aria_label="Settings",
                style={"overflowX": "auto"},
            ),
            empty_state(
                "radio",
                "No settings are known yet",
                "The device has not answered the bench; its settings stand here once it does.",
            ),
        ),
        title=rx.fragment("Settings", _version()),
        actions=[
            rx.cond(
                Settings.differing > 0,
                rx.el.span(Settings.differing, " differing", class_name="tb-help"),
            ),
            rx.cond(Settings.groups.length() > 0, engineers(edit)),
        ],
        flush=True,
    )


def _version() -> rx.Component:
    return rx.cond(
        Settings.version != "",
        rx.el.span(" · firmware ", Settings.version, class_name="tb-muted", font_weight="400"),
    )


def _group(group: Any) -> rx.Component:
    return rx.el.tbody(
        rx.el.tr(rx.el.th(group.name, scope="rowgroup", col_span=3), class_name="tb-group"),
        rx.foreach(group.lines, _line),
        key=group.name,
    )


def _line(line: Any) -> rx.Component:
    return rx.el.tr(
        rx.el.th(
            line.label,
            rx.cond(
                line.note != "",
                rx.el.div(
                    rx.icon("ban", size=12, aria_hidden=True), line.note, class_name="tb-note"
                ),
            ),
            scope="row",
        ),
        rx.el.td(rx.el.span(line.reported, class_name="tb-break")),
        rx.el.td(
            rx.el.div(
                rx.cond(
                    line.desired != "",
                    rx.el.span(line.desired, class_name="tb-break"),
                    rx.el.span("–", class_name="tb-muted"),
                ),
                rx.cond(line.desired != "", standing_badge(line.standing)),
                class_name="tb-beside",
            )
        ),
        key=line.key,
        custom_attrs={"data-setting": line.key},
    )


# --- changing them


def _form() -> rx.Component:
    return card(
        rx.form(
            rx.vstack(
                rx.foreach(Settings.fields, _field_group),
                save_row(
                    label="Review the change",
                    on_cancel=Settings.edit(False),
                    busy=Settings.busy != "",
                ),
                spacing="5",
                align="stretch",
            ),
            on_submit=Settings.review,
            custom_attrs={"data-ask": True, "aria-label": "Edit settings"},
        ),
        title="Edit settings",
        actions=[rx.el.span("Only what you change is sent.", class_name="tb-help")],
    )


def _field_group(group: Any) -> rx.Component:
    return rx.el.fieldset(
        rx.el.legend(group.name),
        rx.grid(
            rx.foreach(
                group.fields,
                lambda one: setting_input(one, Settings.form_errors[one.key].to(str) | ""),
            ),
            columns=rx.breakpoints(initial="1", sm="2"),
            spacing="4",
            width="100%",
        ),
        rx.cond(group.note != "", rx.el.p(group.note, class_name="tb-help")),
        disabled=locked(),
        class_name="tb-fieldset",
        key=group.name,
    )


def _preset() -> rx.Component:
    options = rx.Var.create([["", "Choose a preset"]]) + Settings.presets
    chosen = rx.vstack(
        select_field(
            "preset",
            "Preset",
            options.to(list[list[str]]),
            value=Settings.preset,
            on_change=Settings.choose_preset,
            disabled=locked(),
        ),
        rx.cond(
            Settings.preview.length() > 0,
            rx.fragment(
                steps_list(Settings.preview, "What the preset would change"),
                rx.cond(
                    Settings.preview_note != "",
                    rx.el.p(Settings.preview_note, class_name="tb-help"),
                ),
                rx.button(
                    "Apply the preset…",
                    on_click=Settings.ask_preset,
                    disabled=locked(),
                ),
            ),
        ),
        width="100%",
        align="stretch",
        spacing="3",
    )
    none = rx.el.p(
        "There are no presets yet. ",
        rx.link("Make one", href="/presets/new"),
        " to set many devices alike.",
        class_name="tb-help",
    )
    return card(
        rx.cond(Settings.presets.length() > 0, chosen, none), title="Apply preset", width="100%"
    )


def _restart() -> rx.Component:
    return card(
        rx.hstack(
            rx.el.p("It is away for about a second.", class_name="tb-help"),
            rx.spacer(),
            rx.button(
                rx.icon("rotate-cw", size=14),
                "Restart…",
                variant="soft",
                on_click=Settings.ask_restart,
                disabled=locked(),
            ),
            align="center",
            wrap="wrap",
        ),
        title="Restart",
        width="100%",
    )


# --- asking first


def configuration_dialog() -> rx.Component:
    """Says what is sent and whether the device restarts."""
    return dialog(
        rx.cond(Settings.ask_steps.length() > 0, steps_list(Settings.ask_steps, "What is sent")),
        rx.el.ul(rx.foreach(Settings.ask_notes, rx.el.li), class_name="tb-sentences"),
        rx.hstack(
            rx.button(
                "Cancel", variant="soft", color_scheme="gray", on_click=Settings.open_ask(False)
            ),
            rx.button(Settings.ask_action, on_click=Settings.proceed, id="proceed"),
            justify="end",
            spacing="3",
            margin_top="16px",
        ),
        title=Settings.ask_title,
        description=Settings.ask_about,
        is_open=Settings.asking,
        on_open_change=Settings.open_ask,
        width="560px",
    )
