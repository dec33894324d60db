"""Runs: what is going on and what came out."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    chip,
    countdown,
    data_table,
    empty_state,
    engineers,
    outcome_badge,
    pager,
    progress_bar,
    search_box,
    shell,
    span,
    status_badge,
    table_skeleton,
    view,
)
from testbench.components.forms import native_select
from testbench.state.runs import RunRow, RunsState

STATUS_CHIPS = (
    ("", "All"),
    ("active", "Going on"),
    ("completed", "Completed"),
    ("failed", "Failed to finish"),
    ("cancelled", "Cancelled"),
)
OUTCOME_CHIPS = (
    ("pass", "Pass"),
    ("fail", "Fail"),
    ("error", "Error"),
    ("timeout", "Timeout"),
)


def runs() -> rx.Component:
    """The page."""
    return shell(
        view(RunsState, table_skeleton(), _body()),
        title="Runs",
        active="/runs",
        actions=[new_run_button()],
    )


def new_run_button(query: str = "") -> rx.Component:
    """The way to start one."""
    return engineers(
        rx.link(
            rx.button(rx.icon("play", size=14), "New run", size="2", tab_index=-1),
            href=f"/runs/new{query}",
            underline="none",
        )
    )


def _body() -> rx.Component:
    return rx.fragment(
        _filters(),
        rx.cond(RunsState.chosen.length() > 0, _bulk()),
        rx.cond(RunsState.rows.length() > 0, _table(), _nothing()),
    )


def _filters() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            *(
                chip(
                    label,
                    RunsState.status_links[key],
                    (RunsState.status == key) & (RunsState.outcome == ""),
                )
                for key, label in STATUS_CHIPS
            ),
            *(
                chip(label, RunsState.outcome_links[key], RunsState.outcome == key)
                for key, label in OUTCOME_CHIPS
            ),
            class_name="tb-chips",
            style={"width": "100%"},
        ),
        _select("Device", RunsState.devices, RunsState.device, RunsState.filter_device),
        _select("Test case", RunsState.cases, RunsState.case, RunsState.filter_case),
        search_box(RunsState.q, RunsState.search, "Name of a run"),
        class_name="tb-filters",
    )


def _select(label: str, options: Any, value: Any, on_change: Any) -> rx.Component:
    return rx.box(
        native_select(
            rx.el.option(f"Any {label.lower()}", value=""),
            rx.foreach(options, lambda pair: rx.el.option(pair[1], value=pair[0])),
            value=value,
            on_change=on_change,
            aria_label=label,
        ),
        width=["100%", "100%", "170px"],
    )


def _bulk() -> rx.Component:
    pair = RunsState.chosen
    return rx.el.div(
        rx.cond(
            pair.length() == 2,
            rx.el.span("Two runs chosen"),
            rx.el.span("One run chosen; choose another to compare"),
        ),
        rx.spacer(),
        rx.cond(
            pair.length() == 2,
            rx.link(
                rx.button(rx.icon("git-compare", size=14), "Compare", size="1", tab_index=-1),
                href=f"/runs/compare?a={pair[0]}&b={pair[1]}",
                underline="none",
            ),
        ),
        rx.button("Clear", size="1", variant="soft", on_click=RunsState.choose_none),
        class_name="tb-bulk",
        role="status",
    )


def _table() -> rx.Component:
    def sorted_by(name: str) -> Any:
        way = rx.cond(RunsState.descending, "desc", "asc")
        return {
            "sort": RunsState.sort_links[name],
            "sorted_by": rx.cond(RunsState.sort == name, way, ""),
        }

    columns = [
        Column("Run", _name, **sorted_by("name")),
        Column("Result", _result, **sorted_by("status")),
        Column("Devices", lambda run: rx.el.span(run.devices), wide=True),
        Column("Test case", _case, wide=True),
        Column("Queued", lambda run: ago(run.queued_at), **sorted_by("queued_at")),
        Column("Took", _took, right=True, wide=True),
    ]
    return rx.fragment(
        data_table(
            columns,
            RunsState.rows,
            label="Runs",
            href=lambda run: f"/runs/{run.id}",
            selected=lambda run: RunsState.chosen.contains(run.id),
            on_select=lambda run: lambda _on: RunsState.choose(run.id),
            name=lambda run: f"run {run.number}",
        ),
        pager(RunsState.shown, RunsState.total, RunsState.first_link, RunsState.next_link),
    )


def _took(run: RunRow) -> rx.Component:
    return rx.cond(run.outcome != "", span(run.seconds), rx.el.span("–", class_name="tb-muted"))


def _case(run: RunRow) -> rx.Component:
    return rx.el.div(
        run.test_case,
        rx.cond(run.environment != "", rx.el.div(run.environment, class_name="tb-help")),
    )


def _name(run: RunRow) -> rx.Component:
    return rx.el.div(
        rx.link(run.name, href=f"/runs/{run.id}", class_name="tb-open tb-break"),
        rx.el.div(f"#{run.number}", class_name="tb-help tb-num"),
    )


def _result(run: RunRow) -> rx.Component:
    going = rx.vstack(
        rx.hstack(
            status_badge(run.status),
            rx.cond(
                run.window_end != "",
                rx.el.span(countdown(run.window_end), class_name="tb-help"),
            ),
            align="center",
            spacing="2",
        ),
        rx.box(progress_bar(run.progress, "Progress of the run"), width="100%"),
        spacing="1",
        width="180px",
    )
    return rx.cond(run.outcome != "", outcome_badge(run.outcome), going)


def _nothing() -> rx.Component:
    return rx.cond(
        RunsState.filtered,
        empty_state(
            "search-x",
            "No run fits",
            "Nothing matches these filters.",
            rx.link(rx.button("Show all runs", variant="soft"), href="/runs", underline="none"),
        ),
        empty_state(
            "circle-play",
            "No runs yet",
            "A run executes a test case on one or more devices and says pass or fail.",
            new_run_button(),
        ),
    )
