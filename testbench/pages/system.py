"""The bench's own health: each part, how fast it answers, and what it says."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    amount,
    card,
    confirm,
    data_table,
    every,
    facts,
    figure,
    figures,
    form_skeleton,
    shell,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.system import EVERY_S, SystemState


def system() -> rx.Component:
    """The page."""
    return shell(
        view(SystemState, form_skeleton(), _body()),
        every(EVERY_S, SystemState.refresh),
        title="System",
        active="/system",
    )


def _verdict() -> rx.Component:
    def callout(text: str, icon: str, color: Any) -> rx.Component:
        return rx.callout(text, icon=icon, color_scheme=color, high_contrast=True, width="100%")

    return rx.match(
        SystemState.status,
        ("ok", callout("Every part of the bench answers.", "heart-pulse", "green")),
        (
            "degraded",
            callout("Something is away; tests and readings go on.", "triangle-alert", "amber"),
        ),
        callout("A part the bench cannot do without is away.", "circle-x", "red"),
    )


def _answer(part: Any) -> rx.Component:
    def badge(word: str, icon: str, color: Any) -> rx.Component:
        mark = rx.icon(icon, size=12, color=rx.color(color, 11), aria_hidden=True)
        return rx.badge(mark, word, color_scheme=color, high_contrast=True)

    return rx.cond(
        part.ok, badge("Answers", "circle-check", "green"), badge("Away", "circle-x", "red")
    )


def _body() -> rx.Component:
    columns = [
        Column("Part", lambda part: rx.el.span(part.name, class_name="tb-strong")),
        Column("State", _answer),
        Column("It says", lambda part: rx.el.span(part.detail, class_name="tb-break"), wide=True),
        Column("Answered in", lambda part: amount(part.latency_ms, "ms"), right=True),
    ]
    return rx.fragment(
        _verdict(),
        figures(rx.foreach(SystemState.measures, _measure)),
        card(
            data_table(columns, SystemState.parts, label="Parts of the bench", bare=True),
            title="Parts",
            flush=True,
        ),
        card(
            facts(
                ("Version", SystemState.version),
                ("API", rx.link("Documentation", href="/api/docs", is_external=True)),
                ("Health check", rx.el.code("GET /api/ready")),
                ("For Prometheus", rx.el.code("GET /metrics")),
            ),
            title="This bench",
        ),
        rx.cond(SystemState.demo_devices > 0, _demo()),
    )


def _measure(one: Any) -> rx.Component:
    return figure(one.name, amount(one.value, one.unit), note=one.note)


def _demo() -> rx.Component:
    remove = rx.button(
        rx.icon("trash-2", size=14),
        "Remove the demo",
        on_click=SystemState.ask_remove(True),
        color_scheme="red",
        variant="soft",
    )
    return card(
        rx.text(
            SystemState.demo_devices,
            " simulated devices with their tests, environments and runs, to try the bench with.",
            size="2",
            margin_bottom="12px",
        ),
        rx.cond(AuthState.role != "viewer", remove),
        confirm(
            title="Remove the demo?",
            lost="Its devices, readings, test cases, environments and runs are lost.",
            action="Remove the demo",
            is_open=SystemState.is_removing,
            on_open_change=SystemState.ask_remove,
            on_confirm=SystemState.remove_demo,
        ),
        title="Demo",
    )
