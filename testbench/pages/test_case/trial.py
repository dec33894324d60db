"""Trying a test case on stored data: verdicts beside their charts."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    card,
    data_table,
    outcome_badge,
    select_field,
    text_field,
    verdict_badge,
)
from testbench.pages.run import chart_of
from testbench.state.run import ChartView, VerdictRow
from testbench.state.test_case import TestCaseState

RANGES = (
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("6h", "Last 6 hours"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("custom", "From … to … (UTC)"),
)


def trial() -> rx.Component:
    """Which readings, and what came of it."""
    custom = TestCaseState.try_range == "custom"
    return card(
        rx.el.p(
            "Judges readings that are stored already, with the criteria as they stand above. "
            "Nothing is saved, no device is held.",
            class_name="tb-help",
            margin_bottom="12px",
        ),
        rx.el.form(
            rx.grid(
                _choice("device", "Device", TestCaseState.devices, "Choose a device"),
                select_field(
                    "try-range",
                    "Readings",
                    RANGES,
                    value=TestCaseState.try_range,
                    on_change=lambda value: TestCaseState.set_try("range", value),
                ),
                _choice("environment", "Environment", TestCaseState.environments, "None"),
                rx.el.div(
                    rx.button(
                        rx.icon("flask-conical", size=14),
                        "Try",
                        type="submit",
                        loading=TestCaseState.trying,
                        width="100%",
                        id="try",
                    ),
                    style={"alignSelf": "end"},
                ),
                rx.cond(custom, _moment_field("start", "From (UTC)", TestCaseState.try_start)),
                rx.cond(custom, _moment_field("end", "To (UTC)", TestCaseState.try_end)),
                columns=rx.breakpoints(initial="1", sm="2", lg="4"),
                spacing="4",
                width="100%",
            ),
            on_submit=lambda _form: TestCaseState.try_out(),
        ),
        rx.cond(
            TestCaseState.try_error != "",
            rx.callout(
                TestCaseState.try_error,
                icon="circle-alert",
                color_scheme="red",
                size="1",
                margin_top="12px",
                role="alert",
            ),
        ),
        rx.cond(TestCaseState.outcome != "", _trial()),
        title="Try on stored data",
        id="try-card",
    )


def _choice(name: str, label: str, options: Any, empty: str) -> rx.Component:
    blank = rx.Var.create([["", empty]])
    values = {"device": TestCaseState.try_device, "environment": TestCaseState.try_environment}
    return select_field(
        f"try-{name}",
        label,
        (blank + options).to(list[list[str]]),
        value=values[name],
        on_change=lambda value: TestCaseState.set_try(name, value),
    )


def _moment_field(name: str, label: str, value: Any) -> rx.Component:
    return text_field(
        f"try-{name}",
        label,
        type="datetime-local",
        value=value,
        on_change=lambda text: TestCaseState.set_try(name, text),
    )


def _trial() -> rx.Component:
    columns = [
        Column("Criterion", lambda row: rx.el.div(row.name, class_name="tb-strong tb-name")),
        Column("Verdict", _trial_verdict, width="150px"),
        Column("What happened", lambda row: rx.el.div(row.message, class_name="tb-message")),
    ]
    return rx.el.div(
        rx.hstack(
            rx.el.span("It would have been", class_name="tb-strong"),
            outcome_badge(TestCaseState.outcome, "2"),
            align="center",
            spacing="2",
            id="trial-outcome",
        ),
        rx.el.div(
            data_table(columns, TestCaseState.verdicts, label="Verdicts", key=lambda row: row.name),
            rx.vstack(rx.foreach(TestCaseState.charts, _trial_chart), spacing="4", width="100%"),
            class_name="tb-trial",
        ),
        style={"marginTop": "18px"},
    )


def _trial_verdict(row: VerdictRow) -> rx.Component:
    return verdict_badge(row.verdict, row.marginal)


def _trial_chart(chart: ChartView) -> rx.Component:
    return rx.el.div(
        rx.el.h3(chart.name, class_name="tb-h2"), chart_of(chart, 200), key=chart.name, width="100%"
    )
