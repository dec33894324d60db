"""Roll-outs: starting one in three choices, and following it device by device."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    card,
    chip,
    confirm,
    data_table,
    empty_state,
    engineers,
    facts,
    form_skeleton,
    moment,
    number_field,
    pager,
    progress_bar,
    search_box,
    select_field,
    shell,
    state_badge,
    view,
)
from testbench.components.settings import change_badge, part_badge, working
from testbench.state.auth import AuthState
from testbench.state.rollouts import Candidate, NewRolloutState, PartRow, RolloutState

FILTERS = (
    ("", "All"),
    ("pending", "Waiting"),
    ("applied", "Applied"),
    ("failed", "Failed"),
    ("reverted", "Reverted"),
)


def rollout() -> rx.Component:
    """The page of one, live."""
    return shell(
        view(RolloutState, form_skeleton(), _head(), working(RolloutState.busy), _parts()),
        confirm(
            title=rx.fragment("Put the former settings of ", RolloutState.reverting_name, " back?"),
            lost="What the roll-out set on this device is taken back; it may restart for that. "
            "Secrets that the bench never knew stay as they are.",
            action="Revert the device",
            is_open=RolloutState.reverting != "",
            on_open_change=RolloutState.keep,
            on_confirm=RolloutState.revert,
        ),
        title=rx.cond(RolloutState.preset != "", RolloutState.preset, "Roll-out"),
        active="/presets",
        crumbs=[("Presets", "/presets")],
        actions=[rx.cond(RolloutState.loaded, engineers(_actions()))],
    )


def _actions() -> rx.Component:
    stop = rx.button(
        rx.icon("octagon-pause", size=14),
        "Stop",
        color_scheme="gray",
        variant="soft",
        on_click=RolloutState.stop,
    )
    resume = rx.button(rx.icon("play", size=14), "Resume", on_click=RolloutState.resume)
    again = rx.button(
        rx.icon("rotate-cw", size=14),
        rx.el.span("Try the failed again", class_name="tb-wide"),
        variant="soft",
        on_click=RolloutState.resume,
        custom_attrs={"aria-label": "Try the failed again"},
    )
    return rx.match(
        RolloutState.status,
        ("running", stop),
        ("stopped", resume),
        rx.cond(RolloutState.failed > 0, again),
    )


def _head() -> rx.Component:
    share = rx.fragment(RolloutState.done, " of ", RolloutState.total)
    return rx.el.div(
        card(
            rx.vstack(
                rx.hstack(
                    change_badge(RolloutState.status, "2"),
                    rx.el.p(
                        RolloutState.headline,
                        class_name="tb-strong tb-break",
                        id="headline",
                        role="status",
                    ),
                    align="center",
                ),
                progress_bar(RolloutState.share, "Devices done"),
                facts(
                    ("Devices done", rx.el.span(share, class_name="tb-num")),
                    (
                        "Failed",
                        rx.el.span(
                            RolloutState.failed,
                            " (stops at ",
                            RolloutState.max_failures,
                            ")",
                            class_name="tb-num",
                        ),
                    ),
                    ("Started", rx.fragment(moment(RolloutState.at), " by ", RolloutState.who)),
                    ("Ended", moment(RolloutState.ended_at, "not yet")),
                ),
                spacing="4",
                width="100%",
                align="stretch",
            ),
            title="Progress",
        ),
        card(
            rx.el.ul(rx.foreach(RolloutState.sentences, rx.el.li), class_name="tb-sentences"),
            title="What is sent",
            actions=[
                rx.link("Open the preset", href=f"/presets/{RolloutState.preset_id}", size="1")
            ],
        ),
        class_name="tb-two",
    )


def _parts() -> rx.Component:
    columns = [
        Column("Device", _device),
        Column("Status", lambda one: part_badge(one.status), width="120px"),
        Column("Detail", lambda one: rx.el.span(one.detail, class_name="tb-break"), wide=True),
        Column("", _revert, width="110px"),
    ]
    chips = (
        chip(label, RolloutState.links[key], RolloutState.only == key, RolloutState.counts[key])
        for key, label in FILTERS
    )
    return rx.fragment(
        rx.el.div(*chips, class_name="tb-chips", role="group", aria_label="Status"),
        rx.cond(
            RolloutState.parts.length() > 0,
            rx.fragment(
                data_table(columns, RolloutState.parts, label="Devices of the roll-out"),
                pager(
                    RolloutState.range,
                    RolloutState.fitting,
                    RolloutState.first_link,
                    RolloutState.next_link,
                ),
            ),
            card(
                empty_state("layers", "No device here", "None of the roll-out stands so."),
                flush=True,
            ),
        ),
    )


def _device(one: PartRow) -> rx.Component:
    return rx.el.div(
        rx.link(
            one.name,
            href=f"/devices/{one.id}?tab=configuration",
            class_name="tb-open tb-break",
        ),
        rx.cond(
            one.is_canary,
            rx.badge(
                rx.icon("bird", size=12, aria_hidden=True),
                "First",
                color_scheme="gray",
                variant="soft",
                high_contrast=True,
                margin_left="8px",
            ),
        ),
        rx.el.div(one.detail, class_name="tb-help tb-break tb-narrow"),
    )


def _revert(one: PartRow) -> rx.Component:
    return rx.cond(
        one.can_revert,
        engineers(
            rx.button(
                rx.icon("undo-2", size=14),
                "Revert",
                size="1",
                variant="soft",
                color_scheme="gray",
                high_contrast=True,
                on_click=RolloutState.ask_revert(one.id, one.name),
                disabled=RolloutState.busy != "",
                custom_attrs={"aria-label": f"Revert {one.name}"},
            )
        ),
    )


# --- a new one


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
