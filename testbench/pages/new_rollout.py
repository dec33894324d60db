"""A new roll-out in three choices: what, on which devices, how many may fail."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    card,
    data_table,
    empty_state,
    form_skeleton,
    number_field,
    search_box,
    select_field,
    shell,
    state_badge,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.new_rollout import Candidate, NewRolloutState


def new_rollout() -> rx.Component:
    """The page."""
    return shell(
        view(NewRolloutState, form_skeleton(), _choices()),
        title="New roll-out",
        active="/presets",
        crumbs=[("Presets", "/presets")],
    )


def _choices() -> rx.Component:
    return rx.el.div(
        rx.vstack(_preset(), _devices(), spacing="4", width="100%"),
        _summary(),
        class_name="tb-two",
    )


def _preset() -> rx.Component:
    options = rx.Var.create([["", "Choose a preset"]]) + NewRolloutState.presets
    return card(
        rx.cond(
            NewRolloutState.presets.length() > 0,
            rx.fragment(
                select_field(
                    "preset",
                    "Preset",
                    options.to(list[list[str]]),
                    value=NewRolloutState.preset,
                    on_change=NewRolloutState.choose_preset,
                ),
                rx.el.ul(
                    rx.foreach(NewRolloutState.sentences, rx.el.li), class_name="tb-sentences"
                ),
            ),
            empty_state(
                "sliders-horizontal",
                "No presets yet",
                "A roll-out gives devices the settings of a preset.",
                rx.link(rx.button("New preset", tab_index=-1), href="/presets/new"),
            ),
        ),
        title="1 · Preset",
        width="100%",
    )


def _devices() -> rx.Component:
    chosen = NewRolloutState.chosen.length()
    tools = [
        rx.el.span(
            chosen, " chosen · ", NewRolloutState.available, " can be set", class_name="tb-help"
        ),
        rx.button(
            "Choose all that fit", size="1", variant="soft", on_click=NewRolloutState.choose_all
        ),
        rx.cond(
            chosen > 0,
            rx.button(
                "None",
                size="1",
                variant="soft",
                color_scheme="gray",
                on_click=NewRolloutState.choose_none,
            ),
        ),
    ]
    columns = [
        Column("", _box, width="36px"),
        Column("Device", _candidate),
        Column("State", lambda row: state_badge(row.state), width="130px"),
        Column("Tags", lambda row: rx.el.span(row.tags, class_name="tb-muted"), wide=True),
    ]
    more = NewRolloutState.total > NewRolloutState.candidates.length()
    return card(
        rx.el.div(
            search_box(NewRolloutState.q, NewRolloutState.search, "Find a device"),
            search_box(NewRolloutState.tag, NewRolloutState.choose_tag, "Only with the tag"),
            class_name="tb-filters",
            style={"padding": "12px"},
        ),
        rx.cond(
            NewRolloutState.candidates.length() > 0,
            rx.el.div(
                data_table(columns, NewRolloutState.candidates, label="Devices", bare=True),
                style={"maxHeight": "420px", "overflowY": "auto"},
            ),
            _no_device(),
        ),
        rx.cond(
            more,
            rx.el.p(
                "The first ",
                NewRolloutState.candidates.length(),
                " of ",
                NewRolloutState.total,
                "; “Choose all that fit” takes those not shown, too.",
                class_name="tb-help",
                padding="10px 14px",
            ),
        ),
        title="2 · Devices",
        actions=tools,
        flush=True,
        width="100%",
    )


def _box(row: Candidate) -> rx.Component:
    return rx.checkbox(
        checked=row.chosen,
        disabled=row.why != "",
        on_change=lambda _on: NewRolloutState.choose_device(row.id),
        custom_attrs={"aria-label": f"Apply to {row.name}"},
    )


def _candidate(row: Candidate) -> rx.Component:
    return rx.el.div(
        rx.el.span(row.name, class_name="tb-strong tb-break"),
        rx.cond(row.why != "", rx.el.div(row.why, class_name="tb-help")),
    )


def _no_device() -> rx.Component:
    return rx.cond(
        (NewRolloutState.q != "") | (NewRolloutState.tag != ""),
        empty_state("search-x", "No device fits", "No AxeOS device has this name or tag."),
        empty_state(
            "cpu",
            "No AxeOS devices yet",
            "Only the settings of AxeOS devices can be changed from here.",
            rx.link(rx.button("Open devices", tab_index=-1), href="/devices"),
        ),
    )


def _summary() -> rx.Component:
    problems = rx.callout.root(
        rx.callout.icon(rx.icon("circle-alert", size=16)),
        rx.callout.text(rx.foreach(NewRolloutState.problems, rx.el.div)),
        color_scheme="red",
        high_contrast=True,
        size="1",
        role="alert",
        width="100%",
    )
    begin: Any = rx.button(
        rx.icon("play", size=16),
        "Start the roll-out",
        size="3",
        width="100%",
        disabled=NewRolloutState.missing != "",
        loading=NewRolloutState.busy,
        on_click=NewRolloutState.start,
        id="start",
    )
    return card(
        rx.vstack(
            rx.el.p(
                rx.cond(
                    NewRolloutState.missing != "", NewRolloutState.missing, NewRolloutState.summary
                ),
                class_name="tb-strong tb-break",
                id="summary",
                role="status",
            ),
            rx.el.p(
                "One device goes first; the others follow once it has taken the settings and "
                "says so.",
                class_name="tb-help",
            ),
            number_field(
                "max_failures",
                "Stop at failures",
                help="It stops by itself at so many failed devices, and can be resumed.",
                value=NewRolloutState.max_failures,
                on_change=NewRolloutState.set_max_failures,
                error=NewRolloutState.fault,
                max_length=10,
            ),
            rx.cond(NewRolloutState.problems.length() > 0, problems),
            rx.cond(
                AuthState.role != "viewer",
                begin,
                rx.el.p("Starting a roll-out needs the role engineer.", class_name="tb-help"),
            ),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="3 · Start",
        style={"position": "sticky", "top": "76px"},
    )
