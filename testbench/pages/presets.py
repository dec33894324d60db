"""Presets: what each holds and where it is used, and the last roll-outs."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    card,
    data_table,
    empty_state,
    engineers,
    pager,
    progress_bar,
    search_box,
    shell,
    table_skeleton,
    view,
)
from testbench.components.settings import change_badge
from testbench.state.presets import PresetRow, PresetsState


def presets() -> rx.Component:
    """The list."""
    return shell(
        view(PresetsState, table_skeleton(), _list(), _rollouts()),
        title="Presets",
        active="/presets",
        actions=[engineers(_new())],
    )


def _new() -> rx.Component:
    return rx.link(
        rx.button(rx.icon("plus", size=14), "New preset", tab_index=-1),
        href="/presets/new",
        underline="none",
    )


def _list() -> rx.Component:
    columns = [
        Column("Preset", _name),
        Column("Settings", _sentences),
        Column("Used", _used, wide=True),
    ]
    return rx.fragment(
        rx.el.div(
            rx.spacer(),
            search_box(PresetsState.q, PresetsState.search, "Name of a preset"),
            class_name="tb-filters",
        ),
        rx.cond(
            PresetsState.rows.length() > 0,
            rx.fragment(
                data_table(
                    columns,
                    PresetsState.rows,
                    label="Presets",
                    href=lambda one: f"/presets/{one.id}",
                ),
                pager(
                    PresetsState.shown,
                    PresetsState.total,
                    PresetsState.first_link,
                    PresetsState.next_link,
                ),
            ),
            _nothing(),
        ),
    )


def _name(one: PresetRow) -> rx.Component:
    return rx.el.div(
        rx.link(one.name, href=f"/presets/{one.id}", class_name="tb-open tb-break"),
        rx.cond(one.description != "", rx.el.div(one.description, class_name="tb-help tb-break")),
    )


def _sentences(one: PresetRow) -> rx.Component:
    return rx.el.div(
        rx.foreach(one.sentences, lambda text: rx.el.div(text, class_name="tb-break")),
        rx.cond(one.sentences.length() == 0, rx.el.span("Nothing yet", class_name="tb-muted")),
        rx.cond(one.more > 0, rx.el.div("and ", one.more, " more", class_name="tb-help")),
    )


def _used(one: PresetRow) -> rx.Component:
    return rx.cond(
        one.used.length() > 0,
        rx.el.div(rx.foreach(one.used, lambda text: rx.el.div(text, class_name="tb-break"))),
        rx.el.span("Not yet", class_name="tb-muted"),
    )


def _nothing() -> rx.Component:
    return rx.cond(
        PresetsState.q != "",
        empty_state("search-x", "No preset fits", "None has this in its name."),
        empty_state(
            "sliders-horizontal",
            "No presets yet",
            "A preset keeps settings under a name, to give many devices the same frequency, "
            "voltage or pool in one go.",
            engineers(_new()),
        ),
    )


def _rollouts() -> rx.Component:
    columns = [
        Column(
            "Preset",
            lambda one: rx.link(
                one.preset, href=f"/rollouts/{one.id}", class_name="tb-open tb-break"
            ),
        ),
        Column("Status", lambda one: change_badge(one.status), width="120px"),
        Column("Devices", _progress, width="28%"),
        Column("Who", lambda one: rx.el.span(one.who, class_name="tb-break"), wide=True),
        Column("Started", lambda one: ago(one.at), right=True, wide=True),
    ]
    return rx.cond(
        PresetsState.rollouts.length() > 0,
        card(
            data_table(
                columns,
                PresetsState.rollouts,
                label="Last roll-outs",
                href=lambda one: f"/rollouts/{one.id}",
                bare=True,
            ),
            title="Last roll-outs",
            flush=True,
        ),
    )


def _progress(one: Any) -> rx.Component:
    return rx.el.div(
        progress_bar(one.share, "Devices done"),
        rx.el.span(one.done, class_name="tb-help tb-num"),
    )
