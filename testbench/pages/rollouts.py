"""A roll-out, followed device by device."""

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
    pager,
    progress_bar,
    shell,
    view,
)
from testbench.components.settings import change_badge, part_badge, revert_button, working
from testbench.state.rollouts import PartRow, RolloutState

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
        Column(
            "",
            lambda one: revert_button(
                one.can_revert,
                RolloutState.ask_revert(one.id, one.name),
                RolloutState.busy != "",
                custom_attrs={"aria-label": f"Revert {one.name}"},
            ),
            width="110px",
        ),
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
