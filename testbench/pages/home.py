"""Home: is the lab all right, what is going on?"""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    amount,
    card,
    countdown,
    data_table,
    empty_state,
    engineers,
    every,
    figure,
    figures,
    form_skeleton,
    outcome_badge,
    outcome_strip,
    progress_bar,
    shell,
    status_badge,
    view,
)
from testbench.components.badges import OUTCOMES, STATES
from testbench.state.home import HEALTH_EVERY_S, HomeState

ENDINGS = ("pass", "fail", "error", "timeout", "aborted")


def home() -> rx.Component:
    """The page."""
    return shell(
        view(HomeState, form_skeleton(), _body()),
        every(HEALTH_EVERY_S, HomeState.check),
        title="Home",
        active="/",
        actions=[
            engineers(
                rx.link(
                    rx.button(rx.icon("play", size=14), "New run", size="2", tab_index=-1),
                    href="/runs/new",
                )
            )
        ],
    )


def _body() -> rx.Component:
    return rx.cond(
        HomeState.everything == 0,
        empty_state(
            "cpu",
            "No devices yet",
            "Register the first device; its readings and runs appear here.",
            rx.link(rx.button("Go to devices", tab_index=-1), href="/devices"),
        ),
        rx.fragment(
            _fleet(),
            rx.el.div(_live(), _day(), class_name="tb-two"),
            _recent(),
        ),
    )


def _fleet() -> rx.Component:
    def count(state: str) -> rx.Component:
        look = STATES[state]
        icon = rx.icon(look.icon, size=14, color=rx.color(look.color, 11), aria_hidden=True)
        return figure(
            look.word, amount(HomeState.counts[state]), icon=icon, href=f"/devices?state={state}"
        )

    return figures(*(count(state) for state in STATES), _health())


def _health() -> rx.Component:
    def look(icon: str, color: Any) -> rx.Component:
        return rx.icon(icon, size=14, color=rx.color(color, 11), aria_hidden=True)

    icon = rx.match(
        HomeState.health,
        ("ok", look("heart-pulse", "green")),
        ("degraded", look("triangle-alert", "amber")),
        ("down", look("circle-x", "red")),
        look("heart-pulse", "gray"),
    )
    word = rx.match(
        HomeState.health, ("ok", "Healthy"), ("degraded", "Degraded"), ("down", "Down"), "…"
    )
    note = rx.cond(HomeState.ailing.length() > 0, HomeState.ailing.join(", "), None)
    return figure("System", word, icon=icon, note=note, href="/system")


def _live() -> rx.Component:
    columns = [
        Column("Run", _run_link),
        Column("Status", lambda run: status_badge(run.status), wide=True),
        Column("Progress", _progress, width="32%"),
        Column("Devices", lambda run: run.devices, wide=True),
    ]
    return card(
        rx.cond(
            HomeState.live.length() > 0,
            data_table(
                columns,
                HomeState.live,
                label="Runs going on",
                href=lambda run: f"/runs/{run.id}",
                bare=True,
            ),
            empty_state(
                "circle-play",
                "Nothing runs right now",
                "Start a run on any available device.",
                engineers(
                    rx.link(
                        rx.button("New run", variant="soft", size="2", tab_index=-1),
                        href="/runs/new",
                    )
                ),
            ),
        ),
        title=rx.cond(HomeState.active > 0, f"Going on ({HomeState.active})", "Going on"),
        actions=[rx.link("All runs", href="/runs", size="2")],
        flush=True,
    )


def _run_link(run: Any) -> rx.Component:
    return rx.link(
        rx.el.span("#", run.number, " ", class_name="tb-muted tb-num"),
        run.name,
        href=f"/runs/{run.id}",
        class_name="tb-open",
        underline="none",
    )


def _progress(run: Any) -> rx.Component:
    return rx.vstack(
        progress_bar(run.progress, f"Progress of run {run.number}"),
        rx.cond(
            run.window_end != "",
            rx.el.span(countdown(run.window_end), class_name="tb-help"),
            rx.el.span("getting ready", class_name="tb-help"),
        ),
        spacing="1",
        align="stretch",
        min_width="96px",
    )


def _day() -> rx.Component:
    def ending(outcome: str) -> rx.Component:
        look = OUTCOMES[outcome]
        return rx.link(
            rx.icon(look.icon, size=14, color=rx.color(look.color, 11), aria_hidden=True),
            rx.el.span(look.word),
            rx.spacer(),
            rx.el.span(HomeState.outcomes[outcome], class_name="tb-num tb-strong"),
            href=f"/runs?outcome={outcome}",
            class_name="tb-line",
            underline="none",
        )

    return card(
        rx.cond(
            HomeState.ended > 0,
            rx.vstack(
                rx.hstack(
                    rx.el.span(HomeState.passed, " %", class_name="tb-figure-value"),
                    rx.el.span("of ", HomeState.ended, " passed", class_name="tb-help"),
                    align="baseline",
                    spacing="2",
                ),
                outcome_strip(HomeState.strip),
                rx.box(*(ending(outcome) for outcome in ENDINGS), width="100%"),
                align="stretch",
                spacing="3",
            ),
            rx.el.p("No run ended in the last 24 hours.", class_name="tb-help"),
        ),
        title="Last 24 hours",
    )


def _recent() -> rx.Component:
    columns = [
        Column("Run", _run_link),
        Column("Outcome", lambda run: outcome_badge(run.outcome)),
        Column("Test case", lambda run: run.test_case, wide=True),
        Column("Devices", lambda run: run.devices, wide=True),
        Column("Started", lambda run: ago(run.queued_at), right=True),
    ]
    return rx.cond(
        HomeState.recent.length() > 0,
        card(
            data_table(
                columns,
                HomeState.recent,
                label="Runs that ended last",
                href=lambda run: f"/runs/{run.id}",
                bare=True,
            ),
            title="Ended last",
            flush=True,
        ),
    )
