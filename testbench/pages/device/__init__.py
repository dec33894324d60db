"""One device: how is it? Its readings first, the rest in tabs."""

from typing import Any

import reflex as rx

from testbench.components import (
    ago,
    dialog,
    engineers,
    form_skeleton,
    save_row,
    shell,
    state_badge,
    tabs,
    text_field,
    view,
)
from testbench.pages.device.access import access, renew_dialog
from testbench.pages.device.configuration import configuration, configuration_dialog
from testbench.pages.device.details import details, remove_dialog
from testbench.pages.device.logs import logs
from testbench.pages.device.runs import runs
from testbench.pages.device.telemetry import telemetry
from testbench.state.device import DeviceState

TABS = (
    ("telemetry", "Telemetry"),
    ("configuration", "Configuration"),
    ("runs", "Runs"),
    ("logs", "Logs"),
    ("access", "Access"),
    ("details", "Details"),
)


def device() -> rx.Component:
    """The page."""
    return shell(
        view(DeviceState, form_skeleton(), _body()),
        _hold_dialog(),
        renew_dialog(),
        remove_dialog(),
        configuration_dialog(),
        title=rx.cond(DeviceState.name != "", DeviceState.name, "Device"),
        active="/devices",
        crumbs=[("Devices", "/devices")],
        actions=[rx.cond(DeviceState.loaded, engineers(_actions()))],
    )


def _actions() -> rx.Component:
    hold = rx.button(
        rx.icon("wrench", size=14),
        rx.el.span("Maintenance", class_name="tb-wide"),
        on_click=DeviceState.open_hold(True),
        variant="soft",
        color_scheme="gray",
        custom_attrs={"aria-label": "Maintenance"},
    )
    release = rx.button(
        rx.icon("circle-check", size=14),
        rx.el.span("End maintenance", class_name="tb-wide"),
        on_click=DeviceState.release,
        variant="soft",
        custom_attrs={"aria-label": "End maintenance"},
    )
    return rx.hstack(
        rx.cond(DeviceState.maintenance, release, hold),
        rx.link(
            rx.button(rx.icon("play", size=14), "Start run", tab_index=-1),
            href=f"/runs/new?device={DeviceState.id}",
        ),
        spacing="2",
    )


def _body() -> rx.Component:
    return rx.fragment(
        _head(),
        tabs(TABS, DeviceState.tab, lambda key: DeviceState.tab_links[key]),
        rx.match(
            DeviceState.tab,
            ("configuration", configuration()),
            ("runs", runs()),
            ("logs", logs()),
            ("access", access()),
            ("details", details()),
            telemetry(),
        ),
    )


def _head() -> rx.Component:
    return rx.el.div(
        state_badge(DeviceState.state, DeviceState.online, size="2"),
        rx.cond(
            DeviceState.run_id != "",
            rx.link("Open its run", href=f"/runs/{DeviceState.run_id}", size="2"),
        ),
        rx.el.span("Last seen ", ago(DeviceState.last_seen), class_name="tb-help"),
        rx.cond(
            DeviceState.reason != "",
            rx.el.span("Reason: ", DeviceState.reason, class_name="tb-help"),
        ),
        rx.foreach(
            DeviceState.tags,
            lambda tag: rx.link(
                tag, href=f"/devices?tag={tag}", class_name="tb-tag", underline="none"
            ),
        ),
        rx.cond(
            DeviceState.poll_error != "",
            rx.el.span(
                rx.icon("circle-alert", size=14, aria_hidden=True),
                DeviceState.poll_error,
                class_name="tb-fault",
            ),
        ),
        rx.cond(
            DeviceState.grafana_url != "",
            _outside("View in Grafana", "external-link", DeviceState.grafana_url),
        ),
        rx.cond(
            DeviceState.grafana_public_url != "",
            _outside("Public dashboard", "globe", DeviceState.grafana_public_url),
        ),
        class_name="tb-filters",
    )


def _outside(label: str, icon: str, url: Any) -> rx.Component:
    return rx.el.a(
        rx.icon(icon, size=14, aria_hidden=True),
        label,
        href=url,
        target="_blank",
        rel="noreferrer",
        class_name="tb-chip",
    )


def _hold_dialog() -> rx.Component:
    return dialog(
        rx.form(
            rx.vstack(
                text_field(
                    "reason",
                    "Reason (optional)",
                    auto_focus=True,
                    max_length=500,
                    placeholder="Fan is being replaced",
                ),
                save_row(label="Start maintenance", on_cancel=DeviceState.open_hold(False)),
                align="stretch",
            ),
            on_submit=DeviceState.hold,
        ),
        title="Hold for maintenance",
        description="No run takes the device until you release it. A run it is in goes on.",
        is_open=DeviceState.holding,
        on_open_change=DeviceState.open_hold,
    )
