"""The tab of a device's runs."""

import reflex as rx

from testbench.components import (
    Column,
    ago,
    card,
    data_table,
    empty_state,
    outcome_badge,
    span,
    status_badge,
)
from testbench.state.device import DeviceState


def runs() -> rx.Component:
    columns = [
        Column(
            "Run",
            lambda run: rx.link(
                rx.el.span("#", run.number, " ", class_name="tb-muted tb-num"),
                run.name,
                href=f"/runs/{run.id}",
                class_name="tb-open",
                underline="none",
            ),
        ),
        Column(
            "Outcome",
            lambda run: rx.cond(
                run.outcome != "", outcome_badge(run.outcome), status_badge(run.status)
            ),
        ),
        Column("Test case", lambda run: run.test_case, wide=True),
        Column("Took", lambda run: span(run.seconds), right=True, wide=True),
        Column("Started", lambda run: ago(run.queued_at), right=True),
    ]
    return rx.cond(
        DeviceState.runs.length() > 0,
        rx.fragment(
            data_table(
                columns,
                DeviceState.runs,
                label="Runs of this device",
                href=lambda run: f"/runs/{run.id}",
            ),
            rx.cond(
                DeviceState.runs_total > DeviceState.runs.length(),
                rx.link(
                    f"All {DeviceState.runs_total} runs",
                    href=f"/runs?device={DeviceState.id}",
                    size="2",
                ),
            ),
        ),
        card(
            empty_state(
                "circle-play",
                "No runs yet",
                "Start one; its verdicts will be kept here.",
                rx.link(
                    rx.button("Start run", tab_index=-1),
                    href=f"/runs/new?device={DeviceState.id}",
                ),
            ),
            flush=True,
        ),
    )
