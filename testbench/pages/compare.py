"""Two runs compared: what changed first, then curve over curve."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    amount,
    card,
    data_table,
    empty_state,
    facts,
    form_skeleton,
    moment,
    outcome_badge,
    select_field,
    shell,
    time_chart,
    verdict_badge,
    view,
)
from testbench.components.forms import native_select
from testbench.pages.run import NO_EXTRA_GAPS
from testbench.state.comparisons import ComparisonState, Overlay, PairRow


def compare() -> rx.Component:
    """The page."""
    return shell(
        view(ComparisonState, form_skeleton(), _body()),
        title="Compare runs",
        active="/runs",
        crumbs=[("Runs", "/runs")],
    )


def _body() -> rx.Component:
    return rx.fragment(
        _choices(),
        rx.cond(
            ComparisonState.complete,
            rx.fragment(_sides(), _table(), _charts()),
            empty_state(
                "git-compare",
                "Choose two runs",
                "Their criteria are put side by side, what changed comes first.",
            ),
        ),
    )


def _choices() -> rx.Component:
    blank = rx.Var.create([["", "Choose a run"]])
    options = (blank + ComparisonState.runs).to(list[list[str]])

    def one(side: str, label: str, value: Any) -> rx.Component:
        return rx.box(
            select_field(
                f"run-{side}",
                label,
                options,
                value=value,
                on_change=lambda run_id: ComparisonState.choose(side, run_id),
            ),
            flex="1 1 240px",
            min_width="0",
        )

    return rx.el.div(
        one("a", "A, before", ComparisonState.a),
        rx.icon_button(
            rx.icon("arrow-left-right", size=16),
            variant="soft",
            color_scheme="gray",
            on_click=ComparisonState.swap,
            custom_attrs={"aria-label": "Swap the runs"},
            style={"alignSelf": "end"},
        ),
        one("b", "B, after", ComparisonState.b),
        class_name="tb-filters",
    )


def _sides() -> rx.Component:
    return rx.grid(
        _side("A", ComparisonState.left),
        _side("B", ComparisonState.right),
        columns=rx.breakpoints(initial="1", md="2"),
        spacing="4",
        width="100%",
    )


def _side(letter: str, side: Any) -> rx.Component:
    return card(
        rx.hstack(
            rx.badge(letter, color_scheme="blue" if letter == "A" else "orange", size="2"),
            rx.link(side.title, href=f"/runs/{side.id}", class_name="tb-link tb-break"),
            rx.spacer(),
            outcome_badge(side.outcome),
            align="center",
            width="100%",
        ),
        rx.cond(
            side.headline != "",
            rx.el.p(side.headline, class_name="tb-help tb-break", margin_top="8px"),
        ),
        rx.box(
            facts(
                ("Test case", side.case),
                ("Environment", side.environment),
                ("Judged from", moment(side.at)),
            ),
            margin_top="12px",
        ),
    )


def _table() -> rx.Component:
    count = ComparisonState.differences
    columns = [
        Column("Criterion", _criterion),
        Column("Changed", _changed, width="110px"),
        Column("A", lambda row: _verdict(row, "a")),
        Column("B", lambda row: _verdict(row, "b")),
        Column("B − A", _delta, right=True, width="130px"),
    ]
    title = rx.cond(
        count > 0,
        rx.fragment(count, rx.cond(count == 1, " difference", " differences")),
        rx.fragment("No differences in verdicts or limits"),
    )
    return card(
        data_table(
            columns, ComparisonState.rows, label="Criteria", key=lambda row: row.key, bare=True
        ),
        title=title,
        flush=True,
        id="differences",
    )


def _criterion(row: PairRow) -> rx.Component:
    return rx.el.div(
        rx.el.span(row.name, class_name="tb-strong tb-break"),
        rx.el.div(row.device, class_name="tb-help tb-break"),
    )


def _changed(row: PairRow) -> rx.Component:
    return rx.cond(
        row.differs,
        rx.badge(
            rx.icon("diff", size=12), row.change, color_scheme="amber", high_contrast=True, size="1"
        ),
        rx.el.span(row.change, class_name="tb-help"),
    )


def _verdict(row: PairRow, side: str) -> rx.Component:
    verdict, marginal, measured = (
        (row.a_verdict, row.a_marginal, row.a_measured)
        if side == "a"
        else (row.b_verdict, row.b_marginal, row.b_measured)
    )
    return rx.cond(
        verdict != "",
        rx.vstack(
            verdict_badge(verdict, marginal),
            rx.el.span(amount(measured, row.unit), class_name="tb-help"),
            spacing="1",
        ),
        rx.el.span("not judged", class_name="tb-muted"),
    )


def _delta(row: PairRow) -> rx.Component:
    return rx.cond(
        row.delta.is_not_none(),
        rx.el.div(
            amount(row.delta, row.unit), rx.el.div(row.relative, class_name="tb-help tb-num")
        ),
        rx.el.span("–", class_name="tb-muted"),
    )


def _charts() -> rx.Component:
    chooser = rx.cond(
        ComparisonState.pairs.length() > 1,
        rx.box(
            native_select(
                rx.foreach(
                    ComparisonState.pairs, lambda pair: rx.el.option(pair[1], value=pair[0])
                ),
                value=ComparisonState.pair,
                on_change=ComparisonState.choose_pair,
                aria_label="Device",
            ),
            width="220px",
        ),
    )
    return rx.cond(
        ComparisonState.overlays.length() > 0,
        card(
            rx.el.div(rx.foreach(ComparisonState.overlays, _overlay), class_name="tb-charts"),
            title="Curve over curve, from the start of each window",
            actions=[chooser],
        ),
    )


def _overlay(one: Overlay) -> rx.Component:
    return rx.el.div(
        rx.el.h3(one.title, class_name="tb-h2"),
        rx.el.p(one.sentence, class_name="tb-help"),
        time_chart(
            one.series,
            start=0,
            end=one.end,
            low=one.low,
            high=one.high,
            unit=one.unit,
            relative=True,
            gap_ms=NO_EXTRA_GAPS,
            height=220,
            label=one.sentence,
        ),
        key=one.key,
    )
