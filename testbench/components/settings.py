"""Settings of devices: how a field stands, what a change would do, and typing one."""

from typing import Any

import reflex as rx

from testbench.components.badges import Look, _badge, _one_of
from testbench.components.forms import field, native_select, number_field, text_field
from testbench.components.layout import engineers

STANDINGS = {
    "same": Look("Same", "circle-check", "green"),
    "differs": Look("Differs", "circle-alert", "amber"),
    "ignored": Look("Ignored", "ban", "gray"),
    "not_reported": Look("Not reported", "circle-help", "gray"),
    "write_only": Look("Write-only", "key-round", "gray"),
}
STEPS = {
    "changes": Look("Changes", "arrow-right-left", "blue"),
    "same": Look("Same already", "circle-check", "gray"),
    "ignored": Look("Ignored", "ban", "gray"),
    "secret": Look("Secret", "key-round", "gray"),
    "unknown": Look("Not reported", "circle-help", "gray"),
}
CHANGES = {
    "pending": Look("Being sent", "loader", "blue"),
    "applied": Look("Applied", "circle-check", "green"),
    "failed": Look("Failed", "circle-x", "red"),
    "reverted": Look("Reverted", "undo-2", "gray"),
    "running": Look("Running", "loader", "blue"),
    "stopped": Look("Stopped", "octagon-pause", "amber"),
    "completed": Look("Completed", "circle-check", "green"),
}
KEEP = "Never shown. Leave it empty to keep it."
WAITING = Look("Waiting", "clock", "gray")


def standing_badge(standing: Any) -> rx.Component:
    """How a wanted setting stands against what the device reports."""
    return rx.cond(standing != "", _one_of(STANDINGS, standing, STANDINGS["not_reported"], "1"))


def step_badge(standing: Any) -> rx.Component:
    """What sending a setting would do."""
    return _one_of(STEPS, standing, STEPS["unknown"], "1")


def change_badge(status: Any, size: str = "1") -> rx.Component:
    """How far a change or a roll-out is."""
    return _one_of(CHANGES, status, WAITING, size)


def part_badge(status: Any) -> rx.Component:
    """How far a roll-out is with one device."""
    return rx.cond(status == "pending", _badge(WAITING), change_badge(status))


def steps_list(steps: Any, label: str) -> rx.Component:
    """Each setting as it is, as it would be, and what becomes of it."""

    def row(one: Any) -> rx.Component:
        return rx.el.li(
            rx.el.div(
                rx.el.div(one.label, class_name="tb-strong tb-break"),
                rx.el.div(
                    rx.el.span(one.before, class_name="tb-muted tb-break"),
                    rx.icon("arrow-right", size=12, aria_hidden=True, class_name="tb-arrow"),
                    rx.el.span(" to ", class_name="tb-hidden"),
                    rx.el.span(one.after, class_name="tb-break"),
                ),
                rx.cond(one.note != "", rx.el.div(one.note, class_name="tb-help")),
                min_width="0",
            ),
            step_badge(one.standing),
            key=one.key,
        )

    return rx.el.ul(rx.foreach(steps, row), class_name="tb-steps", aria_label=label, tab_index=0)


def setting_input(one: Any, error: Any) -> rx.Component:
    """A field of a form whose values are read when it is sent; `one`: a typed_settings.Field."""
    text = {
        "help": one.help,
        "error": error,
        "default_value": one.text,
        "max_length": 20_000,
        "auto_complete": "off",
    }
    number = {key: value for key, value in text.items() if key != "auto_complete"}
    flag = native_select(
        rx.cond(one.text == "", rx.el.option("not reported", value="")),
        rx.el.option("on", value="true"),
        rx.el.option("off", value="false"),
        id=one.key,
        name=one.key,
        default_value=one.text,
    )
    secret = text | {
        "help": "Never shown. Leave it empty to keep it.",
        "auto_complete": "new-password",
    }
    return rx.match(
        one.kind,
        ("number", number_field(one.key, one.label, unit=one.unit, **number)),
        ("flag", field(one.key, one.label, flag, help=one.help, error=error)),
        ("secret", text_field(one.key, one.label, type="password", **secret)),
        text_field(one.key, one.label, **text),
    )


def revert_button(can_revert: Any, on_click: Any, disabled: Any, **more: Any) -> rx.Component:
    """Takes a change back, for those who may, where it can be."""
    return rx.cond(
        can_revert,
        engineers(
            rx.button(
                rx.icon("undo-2", size=14),
                "Revert",
                size="1",
                variant="soft",
                color_scheme="gray",
                high_contrast=True,
                on_click=on_click,
                disabled=disabled,
                **more,
            )
        ),
    )


def working(words: Any) -> rx.Component:
    """Something is on its way, for as long as it takes."""
    return rx.cond(
        words != "",
        rx.el.section(
            rx.el.p(words, "…", class_name="tb-strong", role="status"),
            rx.el.div(
                rx.el.div(class_name="tb-bar-fill"),
                class_name="tb-bar-track",
                role="progressbar",
                aria_label=words,
                custom_attrs={"data-endless": True},
            ),
            class_name="tb-working",
        ),
    )
