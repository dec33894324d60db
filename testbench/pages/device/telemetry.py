"""The tab of a device's readings: key figures, a chart for each metric chosen, then all of them."""

from typing import Any

import reflex as rx

from testbench.components import ago, amount, card, chip, empty_state, figure, figures, time_chart
from testbench.state.device import DeviceState

SPANS = (("15m", "15 min"), ("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("7d", "7 d"))


def telemetry() -> rx.Component:
    return rx.cond(
        DeviceState.figures.length() > 0,
        rx.fragment(
            figures(rx.foreach(DeviceState.figures, _figure)),
            rx.el.div(
                _spans(),
                rx.spacer(),
                rx.cond(~DeviceState.listed, _chips()),
                class_name="tb-filters",
            ),
            rx.el.div(rx.foreach(DeviceState.charts, _chart), class_name="tb-charts", id="charts"),
            rx.cond(DeviceState.listed, _all_readings()),
        ),
        card(
            empty_state(
                "radio",
                "No readings yet",
                "Let the device send its first reading; how is under Access.",
                rx.link(
                    rx.button("Show access", variant="soft", tab_index=-1),
                    href=DeviceState.tab_links["access"],
                ),
            ),
            flush=True,
        ),
    )


def _spans() -> rx.Component:
    return rx.el.div(
        *(
            chip(label, DeviceState.span_links[key], DeviceState.span == key)
            for key, label in SPANS
        ),
        class_name="tb-chips",
        role="group",
        aria_label="Time range",
    )


def _chips() -> rx.Component:
    return rx.el.div(
        rx.foreach(
            DeviceState.toggles,
            lambda one: rx.cond(one.href != "", chip(one.label, one.href, one.drawn)),
        ),
        class_name="tb-chips",
        role="group",
        aria_label="Metrics",
    )


def _figure(one: Any) -> rx.Component:
    return figure(
        rx.el.span(one.label, title=one.metric, class_name="tb-clip"),
        amount(one.value, one.unit, brief=True),
        note=ago(one.at),
    )


def _chart(chart: Any) -> rx.Component:
    line = chart.lines[0]
    name = line["name"].to(str)
    return card(
        time_chart(chart.lines, start=chart.start, end=chart.end, label=name),
        title=rx.el.span(name, title=line["metric"].to(str)),
    )


def _all_readings() -> rx.Component:
    """Every metric in a line of its own; a click draws it."""
    return card(
        rx.el.ul(rx.foreach(DeviceState.toggles, _reading), class_name="tb-readings"),
        title=rx.fragment(
            "All readings ",
            rx.el.span(
                "Choose what is drawn. Criteria use the names in grey.", class_name="tb-help"
            ),
        ),
        id="readings",
    )


def _reading(one: Any, index: Any) -> rx.Component:
    value, old = DeviceState.now[index][0], DeviceState.now[index][1]
    names = [
        rx.el.span(one.label),
        rx.cond(one.label != one.metric, rx.el.span(one.metric, class_name="tb-reading-name")),
    ]
    figure = rx.el.span(
        rx.cond(old != 0, rx.el.span(ago(old), class_name="tb-help tb-old")),
        amount(value, one.unit, brief=True),
        class_name="tb-reading-value",
    )
    drawn = rx.link(
        rx.icon("chart-line", size=14, aria_hidden=True),
        rx.el.span(*names, class_name="tb-reading-names"),
        figure,
        href=one.href,
        underline="none",
        class_name="tb-reading",
        custom_attrs={"aria-current": rx.cond(one.drawn, "true", "false")},
    )
    said = rx.el.span(
        rx.el.span(*names, class_name="tb-reading-names"), figure, class_name="tb-reading"
    )
    return rx.el.li(rx.cond(one.href != "", drawn, said))
