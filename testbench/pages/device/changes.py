"""What was changed on a device: who, when, what came of it, and taking it back."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    card,
    data_table,
)
from testbench.components.settings import change_badge, revert_button, standing_badge
from testbench.state.device_configuration import DeviceConfigurationState as Settings


def locked() -> Any:
    """Whether nothing can be sent now."""
    return (Settings.blocked != "") | (Settings.busy != "")


def history() -> rx.Component:
    columns = [
        Column("When", lambda one: ago(one.at), width="120px", wide=True),
        Column("Who", lambda one: rx.el.span(one.who, class_name="tb-break"), wide=True),
        Column("What", _what),
        Column("Outcome", _status),
    ]
    return card(
        rx.cond(
            Settings.history.length() > 0,
            data_table(columns, Settings.history, label="History of changes", bare=True),
            rx.box(
                rx.el.p(
                    "Nothing was changed from here yet; each change will be kept with what it "
                    "replaced.",
                    class_name="tb-help",
                ),
                padding="14px",
            ),
        ),
        rx.cond(
            Settings.more,
            rx.box(
                rx.button("Show more", size="1", variant="soft", on_click=Settings.show_more),
                padding="10px 14px",
            ),
        ),
        title="History",
        flush=True,
    )


def _what(one: Any) -> rx.Component:
    return rx.el.div(
        rx.el.div(ago(one.at), " by ", one.who, class_name="tb-help tb-narrow"),
        rx.cond(one.what != "", rx.el.div(one.what, class_name="tb-strong tb-break")),
        rx.foreach(
            one.lines,
            lambda line: rx.el.div(
                rx.el.span(line.label, " ", class_name="tb-muted"),
                rx.cond(
                    line.desired != "",
                    rx.fragment(line.reported, " → ", rx.el.span(line.desired)),
                ),
                class_name="tb-break",
            ),
        ),
        rx.cond(one.run_id != "", rx.link("In a run", href=f"/runs/{one.run_id}", size="1")),
        class_name="tb-changed",
    )


def _status(one: Any) -> rx.Component:
    return rx.el.div(
        change_badge(one.status),
        rx.foreach(
            one.lines,
            lambda line: rx.cond(
                (line.standing != "") & (line.standing != "same") & (line.standing != "write_only"),
                rx.el.div(
                    rx.el.span(line.label, " ", class_name="tb-help"),
                    standing_badge(line.standing),
                ),
            ),
        ),
        rx.cond(one.restarted != "", rx.el.div(one.restarted, class_name="tb-help")),
        rx.cond(one.error != "", rx.el.div(one.error, class_name="tb-help tb-break")),
        rx.el.div(
            revert_button(one.can_revert, Settings.ask_revert(one.id), locked()),
            class_name="tb-revert",
        ),
    )
