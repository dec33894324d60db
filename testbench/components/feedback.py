"""What a page shows before, instead of, and without its content."""

from typing import Any

import reflex as rx


def view(state: Any, skeleton: rx.Component, *body: rx.Component) -> rx.Component:
    """`body` once `state` (a ViewState) is loaded; before, `skeleton`; on a failed load, why."""
    return rx.cond(
        state.error != "",
        page_error(state.error, state.load),
        rx.cond(state.loaded, rx.fragment(*body), skeleton),
    )


def page_error(message: Any, on_retry: Any) -> rx.Component:
    """A friendly message and a Retry button."""
    return rx.el.section(
        rx.icon("cloud-off", size=28, aria_hidden=True),
        rx.el.h2("This did not load"),
        rx.el.p(message),
        rx.button(
            rx.icon("rotate-cw", size=14), "Retry", on_click=on_retry, variant="soft", size="2"
        ),
        class_name="tb-empty",
        role="alert",
    )


def empty_state(icon: str, title: Any, text: Any, *action: rx.Component) -> rx.Component:
    """Teaches: one sentence, one button."""
    return rx.el.section(
        rx.icon(icon, size=28, aria_hidden=True),
        rx.el.h2(title),
        rx.el.p(text),
        *action,
        class_name="tb-empty",
    )


def _block(height: str, width: str = "100%") -> rx.Component:
    return rx.skeleton(rx.box(height=height, width=width))


def table_skeleton(rows: int = 8) -> rx.Component:
    """While a list loads."""
    return rx.vstack(
        _block("30px", "60%"),
        *(_block("34px") for _ in range(rows)),
        width="100%",
        spacing="2",
        aria_busy=True,
        aria_label="Loading",
        role="status",
    )


def form_skeleton() -> rx.Component:
    """While anything else loads."""
    return rx.vstack(
        _block("76px"),
        _block("260px"),
        _block("140px"),
        width="100%",
        spacing="4",
        aria_busy=True,
        aria_label="Loading",
        role="status",
    )
