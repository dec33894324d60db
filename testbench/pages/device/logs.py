"""The tab of a device's log: its lines live, and how their reading stands."""

import reflex as rx

from testbench.components import (
    card,
    empty_state,
    engineers,
    every,
    form_skeleton,
    log_view,
    reading_badge,
    view,
)
from testbench.state.device_logs import DeviceLogsState

ATTEMPTS = 5
LOOK_S = 15


def logs() -> rx.Component:
    return view(
        DeviceLogsState,
        form_skeleton(),
        # What no event tells: a collector that is gone says nothing any more.
        every(LOOK_S, DeviceLogsState.refresh_logs),
        card(
            rx.cond(
                DeviceLogsState.can_be_read,
                rx.cond(
                    DeviceLogsState.traced | DeviceLogsState.has_lines,
                    log_view(DeviceLogsState.url, DeviceLogsState.name),
                    _untraced(),
                ),
                empty_state(
                    "scroll-text",
                    "No log to read",
                    "The bench reads the logs of AxeOS devices; this one is of another kind.",
                ),
            ),
            title="Log",
            actions=[rx.cond(DeviceLogsState.can_be_read, _standing())],
            flush=True,
        ),
    )


def _standing() -> rx.Component:
    given_up = DeviceLogsState.reading == "stopped"
    attempt = rx.match(
        DeviceLogsState.reading,
        ("reconnecting", f"attempt {DeviceLogsState.attempt} of {ATTEMPTS}"),
        ("stopped", f"after {ATTEMPTS} attempts"),
        "",
    )
    return rx.hstack(
        rx.hstack(
            reading_badge(DeviceLogsState.reading, size="2"),
            rx.el.span(attempt, class_name="tb-help tb-num"),
            custom_attrs={"role": "status"},
            id="log-standing",
            align="center",
            spacing="2",
        ),
        rx.cond(
            DeviceLogsState.fault != "",
            rx.el.span(DeviceLogsState.fault, class_name="tb-help tb-break"),
        ),
        rx.cond(
            given_up,
            engineers(
                rx.button(
                    rx.icon("refresh-cw", size=14),
                    "Try again",
                    on_click=DeviceLogsState.try_again,
                    size="1",
                    variant="soft",
                )
            ),
        ),
        engineers(
            rx.hstack(
                rx.switch(
                    id="trace-logs",
                    checked=DeviceLogsState.traced,
                    on_change=DeviceLogsState.set_tracing,
                ),
                rx.el.label("Trace logs", html_for="trace-logs", class_name="tb-label"),
                align="center",
                spacing="2",
            )
        ),
        align="center",
        spacing="4",
        wrap="wrap",
    )


def _untraced() -> rx.Component:
    return empty_state(
        "scroll-text",
        "The log is not traced",
        "Trace it, and the bench connects to the device and keeps its newest 2,000 lines.",
        engineers(
            rx.button("Trace logs", on_click=DeviceLogsState.set_tracing(True), variant="soft")
        ),
    )
