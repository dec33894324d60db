"""The tab of a device's readings: newest values, then a chart for each metric chosen."""

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
                rx.el.div(
                    *(
                        chip(label, DeviceState.span_links[key], DeviceState.span == key)
                        for key, label in SPANS
                    ),
                    class_name="tb-chips",
                    role="group",
                    aria_label="Time range",
                ),
                rx.spacer(),
                rx.el.div(
                    rx.foreach(
                        DeviceState.toggles,
                        lambda one: chip(one.metric, one.href, one.drawn),
                    ),
                    class_name="tb-chips",
                    role="group",
                    aria_label="Metrics",
                ),
                class_name="tb-filters",
            ),
            rx.el.div(rx.foreach(DeviceState.charts, _chart), class_name="tb-charts", id="charts"),
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


def _figure(one: Any) -> rx.Component:
    return figure(one.metric, amount(one.value, one.unit), note=ago(one.at))


def _chart(chart: Any) -> rx.Component:
    unit = rx.cond(chart.unit != "", f" ({chart.unit})", "")
    return card(
        time_chart(chart.lines, start=chart.start, end=chart.end, label=chart.metric),
        title=rx.fragment(chart.metric, unit),
    )
