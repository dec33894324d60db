"""One preset: its name, its settings as rows, its secrets that are written and never read."""

from typing import Any

import reflex as rx

from testbench.components import (
    area_field,
    card,
    confirm,
    empty_state,
    engineers,
    form_skeleton,
    shell,
    text_field,
    unsaved,
    view,
)
from testbench.components.forms import native_select
from testbench.state.auth import AuthState
from testbench.state.presets import PresetState, SettingRow

FORM = "preset-form"
"""The Save button stands in the title bar, outside of its form."""

HINTS = (
    "What a preset does not name stays as each device has it.",
    "Passwords are kept encrypted; they can be replaced or removed, never read.",
    "Pool users are left alone: a preset never says whose shares they are.",
    "Pools and Wi-Fi act after a restart, which the bench does where it is needed.",
    "Firmware ignores what it does not know; what was read back is said afterwards.",
)


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
        rx.vstack(what, _settings(), spacing="4", width="100%"),
        rx.vstack(rx.cond(PresetState.id != "", _more()), _hints(), spacing="4", width="100%"),
        class_name="tb-two",
        on_submit=lambda _form: PresetState.save(),
        id=FORM,
    )


def _hints() -> rx.Component:
    return card(
        rx.el.ul(*(rx.el.li(hint) for hint in HINTS), class_name="tb-sentences"),
        title="Good to know",
        width="100%",
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
