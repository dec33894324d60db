"""A new run in three choices: on what, by which test, where."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    card,
    data_table,
    empty_state,
    facts,
    form_skeleton,
    search_box,
    select_field,
    shell,
    span,
    state_badge,
    text_field,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.new_run import DeviceRow, NewRunState


def new_run() -> rx.Component:
    """The page."""
    return shell(
        view(NewRunState, form_skeleton(), _body()),
        title="New run",
        active="/runs",
        crumbs=[("Runs", "/runs")],
    )


def _body() -> rx.Component:
    return rx.el.div(
        rx.vstack(_devices(), _case(), _environment(), spacing="4", width="100%"),
        _summary(),
        class_name="tb-two",
    )


def _devices() -> rx.Component:
    chosen = NewRunState.chosen.length()
    tools = [
        rx.el.span(chosen, " chosen · ", NewRunState.available, " available", class_name="tb-help"),
        rx.button(
            "Choose all shown", size="1", variant="soft", on_click=NewRunState.choose_all_shown
        ),
        rx.cond(
            chosen > 0,
            rx.button(
                "None",
                size="1",
                variant="soft",
                color_scheme="gray",
                on_click=NewRunState.choose_no_device,
            ),
        ),
    ]
    columns = [
        Column("", _box, width="36px"),
        Column("Device", _device),
        Column("State", lambda row: state_badge(row.state), width="130px"),
        Column("Kind", lambda row: rx.el.span(row.kind), wide=True, width="100px"),
        Column("Tags", lambda row: rx.el.span(row.tags, class_name="tb-muted"), wide=True),
    ]
    more = NewRunState.total > NewRunState.devices.length()
    return card(
        rx.el.div(search_box(NewRunState.q, NewRunState.search, "Find a device"), padding="12px"),
        rx.cond(
            NewRunState.devices.length() > 0,
            rx.el.div(
                data_table(columns, NewRunState.devices, label="Devices", bare=True),
                style={"maxHeight": "340px", "overflowY": "auto"},
            ),
            _no_device(),
        ),
        rx.cond(
            more & (NewRunState.q == ""),
            rx.el.p(
                "The first ",
                NewRunState.devices.length(),
                " of ",
                NewRunState.total,
                "; search to find others.",
                class_name="tb-help",
                padding="10px 14px",
            ),
        ),
        title="1 · Devices",
        actions=tools,
        flush=True,
        width="100%",
    )


def _box(row: DeviceRow) -> rx.Component:
    return rx.checkbox(
        checked=row.chosen,
        disabled=row.why != "",
        on_change=lambda _on: NewRunState.choose_device(row.id),
        custom_attrs={"aria-label": f"Run on {row.name}"},
    )


def _device(row: DeviceRow) -> rx.Component:
    return rx.el.div(
        rx.el.span(row.name, class_name="tb-strong tb-break"),
        rx.cond(row.why != "", rx.el.div(row.why, class_name="tb-help")),
    )


def _no_device() -> rx.Component:
    return rx.cond(
        NewRunState.q != "",
        empty_state("search-x", "No device fits", "No device has this in its name or tags."),
        empty_state(
            "cpu",
            "No devices yet",
            "A run needs a device that sends telemetry.",
            rx.link(rx.button("Add a device"), href="/devices", underline="none"),
        ),
    )


def _case() -> rx.Component:
    known = NewRunState.facts
    return card(
        rx.cond(
            NewRunState.cases.length() > 0,
            rx.vstack(
                _choice(
                    "case",
                    "Test case",
                    NewRunState.cases,
                    "Choose a test case",
                    NewRunState.case,
                    NewRunState.choose_case,
                ),
                rx.cond(
                    NewRunState.case != "",
                    rx.el.div(
                        rx.cond(
                            known.description != "",
                            rx.el.p(known.description, class_name="tb-help tb-break"),
                        ),
                        rx.el.ul(rx.foreach(known.sentences, rx.el.li), class_name="tb-sentences"),
                        rx.cond(
                            known.tags.length() > 0,
                            rx.hstack(
                                rx.el.span("Only devices tagged", class_name="tb-help"),
                                rx.foreach(
                                    known.tags,
                                    lambda tag: rx.badge(tag, color_scheme="gray", size="1"),
                                ),
                                wrap="wrap",
                                spacing="2",
                            ),
                        ),
                    ),
                ),
                width="100%",
                align="stretch",
            ),
            empty_state(
                "list-checks",
                "No test cases yet",
                "A test case says what a device must keep, for how long.",
                rx.link(rx.button("New test case"), href="/test-cases/new", underline="none"),
            ),
        ),
        title="2 · Test case",
        width="100%",
    )


def _environment() -> rx.Component:
    return card(
        rx.vstack(
            _choice(
                "environment",
                "Environment",
                NewRunState.environments,
                "None",
                NewRunState.environment,
                NewRunState.choose_environment,
                help="Its variables fill the {{…}} of the criteria.",
            ),
            rx.cond(
                NewRunState.variables.length() > 0,
                rx.el.dl(
                    rx.foreach(
                        NewRunState.variables,
                        lambda pair: rx.fragment(rx.el.dt(pair[0]), rx.el.dd(pair[1])),
                    ),
                    class_name="tb-facts",
                ),
            ),
            width="100%",
            align="stretch",
        ),
        title="3 · Environment",
        width="100%",
    )


def _choice(
    name: str, label: str, options: Any, empty: str, value: Any, on_change: Any, help: Any = None
) -> rx.Component:
    blank = rx.Var.create([["", empty]])
    return select_field(
        name,
        label,
        (blank + options).to(list[list[str]]),
        value=value,
        on_change=on_change,
        help=help,
    )


def _summary() -> rx.Component:
    engineer = AuthState.role != "viewer"
    ready = (NewRunState.missing == "") & (NewRunState.problems.length() == 0)
    return card(
        rx.vstack(
            rx.el.p(
                rx.cond(NewRunState.missing != "", NewRunState.missing, NewRunState.summary),
                class_name="tb-strong tb-break",
                id="summary",
                role="status",
            ),
            rx.cond(NewRunState.case != "", facts(("It takes", span(NewRunState.facts.seconds)))),
            text_field(
                "run-name",
                "Name (optional)",
                value=NewRunState.name,
                on_change=NewRunState.rename,
                max_length=200,
                help="Otherwise the test case and the device give it one.",
            ),
            rx.cond(
                NewRunState.problems.length() > 0,
                rx.callout.root(
                    rx.callout.icon(rx.icon("circle-alert", size=16)),
                    rx.callout.text(rx.foreach(NewRunState.problems, rx.el.div)),
                    color_scheme="red",
                    size="1",
                    role="alert",
                    width="100%",
                ),
            ),
            rx.cond(
                engineer,
                rx.button(
                    rx.icon("play", size=16),
                    "Start",
                    size="3",
                    width="100%",
                    disabled=~ready,
                    loading=NewRunState.busy,
                    on_click=NewRunState.start,
                    id="start",
                ),
                rx.el.p("Starting a run needs the role engineer.", class_name="tb-help"),
            ),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="Summary",
        style={"position": "sticky", "top": "76px"},
    )
