"""A run: live, how it goes; ended, why it came out so."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    amount,
    card,
    confirm,
    countdown,
    data_table,
    facts,
    form_skeleton,
    moment,
    outcome_badge,
    progress_bar,
    shell,
    span,
    status_badge,
    time_chart,
    verdict_badge,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.run import Cell, ChartView, DevicePart, RunState, VerdictRow

NO_EXTRA_GAPS = 1e15
"""The service has put the gaps in; thinned points have no usual distance."""
EXPORTS = (("html", "HTML"), ("csv", "CSV"), ("junit", "JUnit"), ("json", "JSON"))


def run() -> rx.Component:
    """The page."""
    return shell(
        view(RunState, form_skeleton(), _body()),
        _cancel(),
        title=RunState.run.name,
        active="/runs",
        crumbs=[("Runs", "/runs")],
        actions=[rx.cond(RunState.loaded, _actions())],
    )


def _actions() -> rx.Component:
    engineer = AuthState.role != "viewer"
    return rx.hstack(
        rx.cond(
            RunState.run.going & engineer,
            rx.button(
                rx.icon("square", size=14),
                "Cancel",
                color_scheme="red",
                variant="soft",
                on_click=RunState.ask(True),
            ),
        ),
        rx.cond(
            ~RunState.run.going,
            rx.fragment(
                rx.link(
                    rx.button(
                        rx.icon("git-compare", size=14),
                        rx.el.span("Compare", class_name="tb-wide"),
                        variant="soft",
                        tab_index=-1,
                        custom_attrs={"aria-label": "Compare"},
                    ),
                    href=f"/runs/compare?b={RunState.run.id}",
                    underline="none",
                ),
                rx.cond(
                    engineer,
                    rx.link(
                        rx.button(
                            rx.icon("rotate-cw", size=14),
                            rx.el.span("Run again", class_name="tb-wide"),
                            tab_index=-1,
                            custom_attrs={"aria-label": "Run again"},
                        ),
                        href=RunState.run.again,
                        underline="none",
                    ),
                ),
            ),
        ),
        spacing="2",
    )


def _cancel() -> rx.Component:
    return confirm(
        title="Cancel this run?",
        lost="It ends as aborted, without a verdict, and its devices are free again. "
        "The readings that were recorded stay.",
        action="Cancel the run",
        is_open=RunState.asking,
        on_open_change=RunState.ask,
        on_confirm=RunState.cancel,
    )


def _body() -> rx.Component:
    return rx.fragment(
        _head(),
        _grid(),
        rx.cond(RunState.verdicts.length() > 0, _verdicts()),
        rx.cond(RunState.charts.length() > 0, _charts()),
        rx.el.div(_timeline(), _facts(), class_name="tb-two"),
    )


def _head() -> rx.Component:
    known = RunState.run
    return rx.el.section(
        rx.hstack(
            rx.cond(
                known.going,
                status_badge(known.status, "2"),
                outcome_badge(known.outcome, "2"),
            ),
            rx.el.span(f"#{known.number}", class_name="tb-muted tb-num"),
            rx.spacer(),
            rx.cond(
                known.going,
                rx.cond(known.until != "", countdown(known.until, over="judging")),
                rx.el.span("ended ", ago(known.ended_at), class_name="tb-muted"),
            ),
            width="100%",
            align="center",
            wrap="wrap",
        ),
        rx.el.p(known.headline, id="headline", class_name="tb-headline tb-break", role="status"),
        rx.cond(known.going, progress_bar(known.progress, "Progress of the run")),
        rx.cond(~known.going, _exports()),
        class_name="tb-card tb-run-head",
        custom_attrs={"data-outcome": known.outcome},
    )


def _exports() -> rx.Component:
    links = [
        rx.el.a(
            rx.icon("download", size=14, aria_hidden=True),
            label,
            href=f"/api/test-runs/{RunState.run.id}/report?format={format}",
            target="_blank" if format == "html" else "",
            download=format != "html",
            class_name="tb-chip",
            custom_attrs={"reloadDocument": True},  # a file of the API, no page of the app
        )
        for format, label in EXPORTS
    ]
    return rx.el.div(
        rx.el.span("Report", class_name="tb-help"),
        *links,
        rx.cond(
            RunState.run.grafana_url != "",
            rx.el.a(
                rx.icon("external-link", size=14, aria_hidden=True),
                "View in Grafana",
                href=RunState.run.grafana_url,
                target="_blank",
                rel="noreferrer",
                class_name="tb-chip",
            ),
        ),
        class_name="tb-filters",
    )


def _grid() -> rx.Component:
    return card(
        rx.el.div(
            rx.el.table(
                rx.el.thead(
                    rx.el.tr(
                        rx.el.th("Device", scope="col"),
                        rx.el.th("Outcome", scope="col"),
                        rx.foreach(RunState.heads, lambda name: rx.el.th(name, scope="col")),
                    )
                ),
                rx.el.tbody(rx.foreach(RunState.devices, _grid_row)),
                class_name="tb-table tb-grid",
                aria_label="Verdicts by device and criterion",
            ),
            style={"overflowX": "auto", "maxHeight": "420px"},
            tab_index=0,
            role="region",
            aria_label="Verdicts by device and criterion",
        ),
        title=rx.cond(RunState.run.going, "Verdicts so far", "Verdicts"),
        flush=True,
    )


def _grid_row(part: DevicePart) -> rx.Component:
    return rx.el.tr(
        rx.el.td(rx.link(part.name, href=f"/devices/{part.id}", class_name="tb-open")),
        rx.el.td(
            rx.cond(
                part.outcome != "",
                outcome_badge(part.outcome),
                rx.el.span("going on", class_name="tb-muted"),
            )
        ),
        rx.foreach(part.cells, lambda cell: _cell(part, cell)),
        key=part.id,
    )


def _cell(part: DevicePart, cell: Cell) -> rx.Component:
    here = (RunState.device == part.id) & (RunState.criterion == cell.name)
    return rx.el.td(
        rx.el.button(
            _verdict(cell.verdict, cell.marginal),
            rx.cond(
                cell.measured.is_not_none(),
                rx.el.span(amount(cell.measured, cell.unit), class_name="tb-help"),
            ),
            on_click=RunState.choose(part.id, cell.name),
            type="button",
            class_name="tb-cell",
            custom_attrs={"aria-pressed": rx.cond(here, "true", "false")},
        )
    )


def _verdict(verdict: Any, marginal: Any) -> rx.Component:
    """While a run goes on, what is not decided is no flaw."""
    pending = RunState.run.going & (verdict == "unset")
    open_yet = rx.badge(
        rx.icon("circle-dashed", size=12, aria_hidden=True),
        "Open",
        color_scheme="gray",
        variant="soft",
        high_contrast=True,
    )
    return rx.cond(pending, open_yet, verdict_badge(verdict, marginal))


def _verdicts() -> rx.Component:
    columns = [
        Column("Criterion", _criterion),
        Column("Verdict", lambda row: _verdict(row.verdict, row.marginal), width="150px"),
        Column("Measured", lambda row: amount(row.measured, row.unit), right=True),
        Column("Limits", lambda row: rx.el.span(row.limits, class_name="tb-num"), wide=True),
        Column(
            "Readings", lambda row: rx.el.span(row.samples, class_name="tb-num"), right=True,
            wide=True,
        ),
        Column("What happened", lambda row: rx.el.div(row.message, class_name="tb-message")),
    ]  # fmt: skip
    return card(
        data_table(
            columns, RunState.verdicts, label="Verdicts", key=lambda row: row.name, bare=True
        ),
        title=rx.fragment("On ", RunState.device_name),
        flush=True,
    )


def _criterion(row: VerdictRow) -> rx.Component:
    return rx.el.div(
        rx.el.div(row.name, class_name="tb-strong tb-name"),
        rx.el.div(
            row.kind,
            rx.cond(row.severity == "warning", " · warning only", ""),
            class_name="tb-help",
        ),
    )


def _charts() -> rx.Component:
    return rx.el.div(
        rx.foreach(RunState.charts, _chart),
        class_name=rx.cond(RunState.run.going, "tb-charts", "tb-stack"),
    )


def _chart(chart: ChartView) -> rx.Component:
    head = rx.el.button(
        rx.cond(chart.open, rx.icon("chevron-down", size=16), rx.icon("chevron-right", size=16)),
        rx.el.span(chart.name, class_name="tb-strong"),
        rx.el.span(chart.sentence, class_name="tb-muted tb-clip tb-wide"),
        rx.spacer(),
        _verdict(chart.verdict, chart.marginal),
        on_click=RunState.toggle(chart.name),
        type="button",
        class_name="tb-fold",
        custom_attrs={"aria-expanded": rx.cond(chart.open, "true", "false")},
    )
    return rx.el.section(
        head,
        rx.cond(
            chart.open,
            rx.el.div(chart_of(chart), class_name="tb-card-body"),
        ),
        class_name="tb-card",
        key=chart.name,
    )


def chart_of(chart: Any, height: int = 240) -> rx.Component:
    """A criterion's readings with limits and violations, and what happened in words."""
    return rx.fragment(
        rx.cond(chart.message != "", rx.el.p(chart.message, class_name="tb-help tb-break")),
        time_chart(
            chart.series,
            start=chart.start,
            end=chart.end,
            low=chart.low,
            high=chart.high,
            measured=chart.measured,
            marks=chart.marks,
            silences=chart.silences,
            unit=chart.unit,
            gap_ms=NO_EXTRA_GAPS,
            height=height,
            label=chart.sentence,
        ),
    )


def _timeline() -> rx.Component:
    return card(
        rx.el.ol(
            rx.foreach(
                RunState.timeline,
                lambda line: rx.el.li(
                    rx.el.div(
                        rx.el.span(line.event, class_name="tb-strong"),
                        rx.cond(
                            line.detail != "",
                            rx.el.div(line.detail, class_name="tb-help tb-break"),
                        ),
                    ),
                    rx.el.span(moment(line.at), class_name="tb-help"),
                ),
            ),
            class_name="tb-timeline",
        ),
        title="Timeline",
        flush=True,
    )


def _facts() -> rx.Component:
    known = RunState.run
    return card(
        facts(
            ("Test case", rx.link(known.case, href=f"/test-cases/{known.case_id}")),
            ("Environment", rx.cond(known.environment != "", known.environment, "none")),
            ("Queued", moment(known.queued_at)),
            ("Judged from", moment(known.window_start)),
            ("to", moment(known.window_end)),
            ("Ended", moment(known.ended_at)),
            ("Took", rx.cond(known.going, "–", span(known.seconds))),
            ("Attempt", known.attempt),
        ),
        rx.cond(
            known.variables.length() > 0,
            rx.el.dl(
                rx.foreach(
                    known.variables,
                    lambda pair: rx.fragment(rx.el.dt(pair[0]), rx.el.dd(pair[1])),
                ),
                class_name="tb-facts",
                style={"marginTop": "12px"},
            ),
        ),
        title="About this run",
    )
