"""Dialogs: asking before destroying, showing a secret once, and the plain one."""

from typing import Any

import reflex as rx


def dialog(
    *body: rx.Component,
    title: Any,
    is_open: Any,
    on_open_change: Any,
    description: Any = None,
    width: str = "480px",
) -> rx.Component:
    """A modal window; Esc and a click outside close it through `on_open_change(bool)`."""
    about = (
        rx.dialog.description(description, size="2", color_scheme="gray", margin_bottom="12px")
        if description is not None
        else rx.fragment()
    )
    return rx.dialog.root(
        rx.dialog.content(
            rx.dialog.title(title, size="4", margin_bottom="4px"), about, *body, max_width=width
        ),
        open=is_open,
        on_open_change=on_open_change,
    )


def confirm(
    *,
    title: Any,
    lost: Any,
    action: str,
    is_open: Any,
    on_open_change: Any,
    on_confirm: Any,
    busy: Any = False,
) -> rx.Component:
    """Asks before destroying; `lost` says in words what will be gone."""
    return rx.alert_dialog.root(
        rx.alert_dialog.content(
            rx.alert_dialog.title(title, size="4"),
            rx.alert_dialog.description(lost, size="2"),
            rx.hstack(
                rx.alert_dialog.cancel(rx.button("Keep", variant="soft", color_scheme="gray")),
                rx.button(action, color_scheme="red", on_click=on_confirm, loading=busy),
                justify="end",
                spacing="3",
                margin_top="16px",
            ),
            max_width="440px",
        ),
        open=is_open,
        on_open_change=on_open_change,
    )


def _copy(text: Any, label: str) -> rx.Component:
    return rx.button(
        rx.icon("copy", size=14),
        label,
        on_click=[rx.set_clipboard(text), rx.toast.success("Copied.")],
        size="2",
        variant="soft",
        type="button",
    )


def secret(value: Any, note: Any) -> rx.Component:
    """A credential that is shown this once, with a copy button."""
    return rx.vstack(
        rx.callout(
            note,
            icon="key-round",
            color_scheme="amber",
            high_contrast=True,
            size="1",
            width="100%",
        ),
        rx.el.div(rx.el.code(value, id="secret"), _copy(value, "Copy"), class_name="tb-secret"),
        width="100%",
        spacing="3",
    )


def snippet(title: Any, text: Any) -> rx.Component:
    """A command to copy."""
    return rx.vstack(
        rx.hstack(
            rx.el.span(title, class_name="tb-label"),
            rx.spacer(),
            _copy(text, "Copy"),
            width="100%",
            align="center",
        ),
        # Focusable: a long line is scrolled with the keyboard, too.
        rx.el.pre(text, class_name="tb-snippet", tab_index=0, width="100%"),
        width="100%",
        spacing="2",
    )
