"""Presets: the list with the last roll-outs, and the page of one."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    area_field,
    card,
    confirm,
    data_table,
    empty_state,
    engineers,
    form_skeleton,
    pager,
    progress_bar,
    search_box,
    shell,
    table_skeleton,
    text_field,
    unsaved,
    view,
)
from testbench.components.forms import native_select
from testbench.components.settings import change_badge
from testbench.state.auth import AuthState
from testbench.state.presets import PresetRow, PresetsState, PresetState, SettingRow

FORM = "preset-form"
"""The Save button stands in the title bar, outside of its form."""


def presets() -> rx.Component:
    """The list."""
    return shell(
        view(PresetsState, table_skeleton(), _list(), _rollouts()),
        title="Presets",
        active="/presets",
        actions=[engineers(_new())],
    )


def _new() -> rx.Component:
    return rx.link(
        rx.button(rx.icon("plus", size=14), "New preset", tab_index=-1),
        href="/presets/new",
        underline="none",
    )


def _list() -> rx.Component:
    columns = [
        Column("Preset", _name),
        Column("Settings", _sentences),
        Column("Used", _used, wide=True),
    ]
    return rx.fragment(
        rx.el.div(
            rx.spacer(),
            search_box(PresetsState.q, PresetsState.search, "Name of a preset"),
            class_name="tb-filters",
        ),
        rx.cond(
            PresetsState.rows.length() > 0,
            rx.fragment(
                data_table(
                    columns,
                    PresetsState.rows,
                    label="Presets",
                    href=lambda one: f"/presets/{one.id}",
                ),
                pager(
                    PresetsState.shown,
                    PresetsState.total,
                    PresetsState.first_link,
                    PresetsState.next_link,
                ),
            ),
            _nothing(),
        ),
    )


def _name(one: PresetRow) -> rx.Component:
    return rx.el.div(
        rx.link(one.name, href=f"/presets/{one.id}", class_name="tb-open tb-break"),
        rx.cond(one.description != "", rx.el.div(one.description, class_name="tb-help tb-break")),
    )


def _sentences(one: PresetRow) -> rx.Component:
    return rx.el.div(
        rx.foreach(one.sentences, lambda text: rx.el.div(text, class_name="tb-break")),
        rx.cond(one.sentences.length() == 0, rx.el.span("Nothing yet", class_name="tb-muted")),
        rx.cond(one.more > 0, rx.el.div("and ", one.more, " more", class_name="tb-help")),
    )


def _used(one: PresetRow) -> rx.Component:
    return rx.cond(
        one.used.length() > 0,
        rx.el.div(rx.foreach(one.used, lambda text: rx.el.div(text, class_name="tb-break"))),
        rx.el.span("Not yet", class_name="tb-muted"),
    )


def _nothing() -> rx.Component:
    return rx.cond(
        PresetsState.q != "",
        empty_state("search-x", "No preset fits", "None has this in its name."),
        empty_state(
            "sliders-horizontal",
            "No presets yet",
            "A preset keeps settings under a name, to give many devices the same frequency, "
            "voltage or pool in one go.",
            engineers(_new()),
        ),
    )


def _rollouts() -> rx.Component:
    columns = [
        Column(
            "Preset",
            lambda one: rx.link(
                one.preset, href=f"/rollouts/{one.id}", class_name="tb-open tb-break"
            ),
        ),
        Column("Status", lambda one: change_badge(one.status), width="120px"),
        Column("Devices", _progress, width="190px"),
        Column("Who", lambda one: rx.el.span(one.who, class_name="tb-break"), wide=True),
        Column("Started", lambda one: ago(one.at), right=True, wide=True),
    ]
    return rx.cond(
        PresetsState.rollouts.length() > 0,
        card(
            data_table(
                columns,
                PresetsState.rollouts,
                label="Last roll-outs",
                href=lambda one: f"/rollouts/{one.id}",
                bare=True,
            ),
            title="Last roll-outs",
            flush=True,
        ),
    )


def _progress(one: Any) -> rx.Component:
    return rx.el.div(
        progress_bar(one.share, "Devices done"),
        rx.el.span(one.done, class_name="tb-help tb-num"),
    )


# --- one


def preset() -> rx.Component:
    """The page of one."""
    return shell(
        view(PresetState, form_skeleton(), _form()),
        unsaved(PresetState.changed & (AuthState.role != "viewer")),
        confirm(
            title=rx.fragment("Delete ", PresetState.title, "?"),
            lost=rx.fragment(
                "Its settings and secrets are lost; devices keep what they have. ",
                rx.cond(
                    PresetState.used.length() > 0,
                    rx.fragment("It is used: ", PresetState.used.join("; "), "."),
                    "It is not used anywhere.",
                ),
            ),
            action="Delete the preset",
            is_open=PresetState.deleting,
            on_open_change=PresetState.ask_delete,
            on_confirm=PresetState.delete,
        ),
        title=PresetState.title,
        active="/presets",
        crumbs=[("Presets", "/presets")],
        actions=[rx.cond(PresetState.loaded, engineers(_actions()))],
    )


def _actions() -> rx.Component:
    save = rx.button(
        "Save",
        type="submit",
        custom_attrs={"form": FORM},
        loading=PresetState.busy,
        id="save",
    )
    roll_out = rx.link(
        rx.button(
            rx.icon("layers", size=14),
            rx.el.span("Apply to devices…", class_name="tb-wide"),
            variant="soft",
            tab_index=-1,
        ),
        href=f"/rollouts/new?preset={PresetState.id}",
        underline="none",
        custom_attrs={"aria-label": "Apply to devices…"},
    )
    return rx.hstack(rx.cond(PresetState.id != "", roll_out), save, spacing="2")


def _error(name: str) -> Any:
    return rx.cond(PresetState.errors.contains(name), PresetState.errors[name].to(str), "")


def _form() -> rx.Component:
    what = card(
        rx.vstack(
            text_field(
                "name",
                "Name",
                value=PresetState.name,
                on_change=PresetState.set_name,
                error=_error("name"),
                max_length=200,
            ),
            area_field(
                "description",
                "Description (optional)",
                rows="3",
                value=PresetState.description,
                on_change=PresetState.set_description,
                error=_error("description"),
            ),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="Preset",
        width="100%",
    )
    return rx.el.form(
        _settings(),
        rx.vstack(what, rx.cond(PresetState.id != "", _more()), spacing="4", width="100%"),
        class_name="tb-two tb-two-turned",
        on_submit=lambda _form: PresetState.save(),
        id=FORM,
    )


def _more() -> rx.Component:
    copy = rx.link(
        rx.button(
            rx.icon("copy", size=14), "Duplicate", variant="soft", type="button", tab_index=-1
        ),
        href=f"/presets/new?copy={PresetState.id}",
        underline="none",
    )
    delete = rx.button(
        rx.icon("trash-2", size=14),
        "Delete",
        variant="soft",
        color_scheme="red",
        type="button",
        on_click=PresetState.ask_delete(True),
    )
    return rx.fragment(
        card(
            rx.cond(
                PresetState.used.length() > 0,
                rx.el.ul(rx.foreach(PresetState.used, rx.el.li), class_name="tb-sentences"),
                rx.el.p("No device, test case or roll-out has it yet.", class_name="tb-help"),
            ),
            title="Used",
            width="100%",
        ),
        engineers(rx.hstack(copy, delete, spacing="2", justify="end", width="100%")),
    )


def _settings() -> rx.Component:
    add = native_select(
        rx.el.option("Add a setting…", value=""),
        rx.foreach(PresetState.addable, lambda pair: rx.el.option(pair[1], value=pair[0])),
        value="",
        on_change=PresetState.add,
        id="add-setting",
        custom_attrs={"aria-label": "Add a setting"},
        width="240px",
    )
    return card(
        rx.cond(
            PresetState.settings.length() > 0,
            rx.el.ul(rx.foreach(PresetState.settings, _setting), class_name="tb-settings"),
            empty_state(
                "sliders-horizontal",
                "No settings yet",
                "Choose what the preset sets; all else stays as each device has it.",
            ),
        ),
        rx.cond(
            PresetState.errors.contains("configuration"),
            rx.el.p(
                PresetState.errors["configuration"].to(str),
                class_name="tb-fault",
                role="alert",
                padding="10px 14px",
            ),
        ),
        title="Settings",
        actions=[engineers(add)],
        flush=True,
        width="100%",
    )


def _setting(one: SettingRow) -> rx.Component:
    hidden = one.stored & ~one.replacing
    remove = rx.icon_button(
        rx.icon("trash-2", size=14),
        size="1",
        variant="ghost",
        color_scheme="gray",
        on_click=PresetState.remove(one.key),
        custom_attrs={"aria-label": f"Remove {one.label}{one.free_name}"},
        type="button",
    )
    return rx.el.li(
        rx.el.div(rx.cond(one.free, _free_name(one), _label(one)), class_name="tb-setting-name"),
        rx.el.div(
            rx.cond(hidden, _set(one), _input(one)),
            rx.cond(
                one.error != "",
                rx.el.p(
                    rx.icon("circle-alert", size=14, aria_hidden=True),
                    rx.el.span(one.error, class_name="tb-upper-first"),
                    class_name="tb-fault",
                    role="alert",
                ),
            ),
            rx.cond(one.help != "", rx.el.p(one.help, class_name="tb-help")),
            class_name="tb-setting-value",
        ),
        engineers(remove),
        key=one.key.to_string(),
    )


def _label(one: SettingRow) -> rx.Component:
    return rx.el.label(one.label, html_for=f"setting-{one.key}", class_name="tb-label")


def _free_name(one: SettingRow) -> rx.Component:
    return rx.input(
        value=one.name,
        on_change=lambda text: PresetState.set_key(one.key, text),
        placeholder="key, as the device knows it",
        max_length=100,
        width="100%",
        custom_attrs={
            "aria-label": "Key of the setting",
            "aria-invalid": rx.cond(one.error != "", "true", "false"),
        },
    )


def _set(one: SettingRow) -> rx.Component:
    return rx.hstack(
        rx.badge(
            rx.icon("key-round", size=12, aria_hidden=True),
            "Set",
            color_scheme="gray",
            variant="soft",
            high_contrast=True,
        ),
        engineers(
            rx.button(
                "Replace",
                size="1",
                variant="soft",
                type="button",
                on_click=PresetState.replace_secret(one.key, True),
                custom_attrs={"aria-label": f"Replace {one.label}{one.free_name}"},
            )
        ),
        align="center",
        spacing="2",
        min_height="32px",
    )


def _input(one: SettingRow) -> rx.Component:
    attrs = {
        "aria-label": f"{one.label}{one.free_name}",
        "aria-invalid": rx.cond(one.error != "", "true", "false"),
    }
    common = {
        "id": f"setting-{one.key}",
        "value": one.text,
        "on_change": lambda text: PresetState.set_text(one.key, text),
        "custom_attrs": attrs,
    }
    line = {**common, "width": "100%", "size": "2", "auto_complete": "off"}
    secret = rx.hstack(
        rx.input(**line | {"type": "password", "auto_complete": "new-password"}),
        rx.cond(
            one.stored,
            rx.button(
                "Keep the old one",
                size="1",
                variant="soft",
                color_scheme="gray",
                type="button",
                on_click=PresetState.replace_secret(one.key, False),
            ),
        ),
        align="center",
        spacing="2",
    )
    return rx.match(
        one.kind,
        (
            "flag",
            native_select(
                rx.el.option("on", value="true"), rx.el.option("off", value="false"), **common
            ),
        ),
        ("secret", secret),
        ("list", rx.text_area(**common, rows="5", width="100%", class_name="tb-mono")),
        (
            "number",
            rx.input(
                rx.input.slot(rx.text(one.unit, size="1"), side="right"),
                **line | {"custom_attrs": attrs | {"inputMode": "decimal"}},
            ),
        ),
        rx.input(**line),
    )
