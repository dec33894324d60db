"""The tab of what a device is: its settings, facts, and its removal."""

from typing import Any

import reflex as rx

from testbench.components import (
    card,
    confirm,
    engineers,
    number_field,
    save_row,
    tag_field,
    text_field,
)
from testbench.state.device import DeviceState


def _fault(name: str) -> Any:
    return DeviceState.form_errors[name].to(str) | ""


def details() -> rx.Component:
    form = rx.form(
        rx.vstack(
            text_field(
                "name",
                "Name",
                default_value=DeviceState.name,
                error=_fault("name"),
                max_length=200,
            ),
            tag_field("tags", default_value=DeviceState.tags.join(", "), error=_fault("tags")),
            number_field(
                "offline_after_s",
                "Offline after",
                unit="s",
                help="Seconds of silence after which it counts as offline.",
                default_value=DeviceState.offline_after_s.to_string(),
                error=_fault("offline_after_s"),
            ),
            rx.cond(DeviceState.is_polled, _interval()),
            save_row(busy=DeviceState.saving, error=_fault("")),
            spacing="4",
            align="stretch",
        ),
        on_submit=DeviceState.save,
        # Anew once the device is here: its values stand in the fields.
        key=DeviceState.id,
        custom_attrs={"data-ask": True},
    )
    about = rx.fragment(
        rx.el.dl(rx.foreach(DeviceState.facts, _fact), class_name="tb-facts"),
        rx.cond(DeviceState.info.length() > 0, _as_told()),
    )
    remove = rx.hstack(
        rx.el.p("Polling and logs stop, and its credential stops working.", class_name="tb-help"),
        rx.spacer(),
        rx.button(
            "Remove device",
            color_scheme="red",
            variant="soft",
            on_click=DeviceState.open_remove(True),
        ),
        align="center",
        wrap="wrap",
    )
    return rx.el.div(
        engineers(card(form, title="Settings")),
        rx.vstack(
            card(about, title="About", width="100%"),
            engineers(card(remove, title="Remove", width="100%")),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        class_name="tb-halves",
    )


def _interval() -> rx.Component:
    return number_field(
        "poll_interval_s",
        "Asked every",
        unit="s",
        help="How often the bench asks it for its state; empty: as often as all others.",
        default_value=DeviceState.poll_interval_s,
        error=_fault("poll_interval_s"),
    )


def _as_told() -> rx.Component:
    """All that the device says, under the names of its firmware, for who looks for it."""
    return rx.el.details(
        rx.el.summary(f"All {DeviceState.info.length()} fields it reports"),
        rx.el.dl(rx.foreach(DeviceState.info, _fact), class_name="tb-facts tb-raw"),
        class_name="tb-more",
    )


def _fact(pair: Any) -> rx.Component:
    return rx.fragment(rx.el.dt(pair[0]), rx.el.dd(pair[1]))


def remove_dialog() -> rx.Component:
    return confirm(
        title=f"Remove {DeviceState.name}?",
        lost=(
            "It leaves the fleet and its credential stops working. "
            "Its readings and its part in runs stay, unless the bench is told to delete them with "
            "the device."
        ),
        action="Remove device",
        is_open=DeviceState.removing,
        on_open_change=DeviceState.open_remove,
        on_confirm=DeviceState.remove,
    )
