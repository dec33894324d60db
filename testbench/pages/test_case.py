"""A test case: its criteria as sentences, each editable in place, tried on what is stored."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    area_field,
    card,
    confirm,
    data_table,
    form_skeleton,
    number_field,
    outcome_badge,
    schema_form,
    select_field,
    shell,
    switch_field,
    tag_field,
    text_field,
    verdict_badge,
    view,
)
from testbench.components.forms import unsaved
from testbench.pages.run import chart_of
from testbench.state.auth import AuthState
from testbench.state.drafts import KINDS, Draft, label_of
from testbench.state.run import ChartView, VerdictRow
from testbench.state.test_case import RevisionRow, TestCaseState

ICONS = {
    "range": "unfold-vertical",
    "aggregate": "sigma",
    "increase": "trending-up",
    "rate_of_change": "activity",
    "settle": "audio-waveform",
    "coverage": "radar",
    "equals": "equal",
    "ratio": "divide",
}
ORDER = ("name", "metric", "other_metric", "statistic", "value", "low", "high", "unit")
"""What is asked for first; the rest follows as the schema has it."""
LABELS = {
    "unit": "Unit (optional)",
    "on_missing": "Without readings",
    "severity": "If it fails",
    "marginal_fraction": "Marginal within (share of the band, optional)",
    "within_s": "Within",
    "hold_s": "Hold for (optional; else to the end)",
    "value": "Value (number, true, false or text)",
    "other_metric": "Divided by metric",
    "max_violations": "Readings outside, at most (optional)",
    "max_violation_s": "Outside at a stretch, at most (optional)",
    "max_gap_s": "Longest gap (optional)",
    "min_samples": "Readings, at least (optional)",
    "max_per_s": "Change, at most",
}
RANGES = (
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("6h", "Last 6 hours"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("custom", "From … to … (UTC)"),
)


def test_case() -> rx.Component:
    """The page."""
    return shell(
        view(TestCaseState, form_skeleton(), _body()),
        unsaved(TestCaseState.changed),
        confirm(
            title=rx.fragment("Delete ", TestCaseState.title, "?"),
            lost="All its revisions are lost. Runs that have ended keep their own copy.",
            action="Delete the test case",
            is_open=TestCaseState.asking,
            on_open_change=TestCaseState.ask,
            on_confirm=TestCaseState.delete,
        ),
        title=TestCaseState.title,
        active="/test-cases",
        crumbs=[("Test cases", "/test-cases")],
        actions=[rx.cond(TestCaseState.loaded, _actions())],
    )


def _actions() -> rx.Component:
    saved = TestCaseState.id != ""
    return rx.cond(
        AuthState.role != "viewer",
        rx.hstack(
            rx.cond(
                TestCaseState.changed, rx.el.span("Unsaved changes", class_name="tb-help tb-wide")
            ),
            rx.cond(
                saved,
                rx.icon_button(
                    rx.icon("trash-2", size=14),
                    variant="soft",
                    color_scheme="red",
                    on_click=TestCaseState.ask(True),
                    custom_attrs={"aria-label": "Delete the test case"},
                ),
            ),
            rx.cond(
                saved & ~TestCaseState.changed,
                rx.link(
                    rx.button(rx.icon("play", size=14), "Run it", variant="soft", tab_index=-1),
                    href=f"/runs/new?case={TestCaseState.id}",
                    underline="none",
                ),
            ),
            rx.button("Save", on_click=TestCaseState.save, loading=TestCaseState.busy, id="save"),
            spacing="2",
            align="center",
        ),
    )


def _body() -> rx.Component:
    return rx.fragment(
        rx.cond(TestCaseState.viewed > 0, _old()),
        rx.el.div(
            rx.vstack(_what(), _criteria(), spacing="4", width="100%"),
            rx.vstack(_times(), rx.cond(TestCaseState.id != "", _revisions()), spacing="4"),
            class_name="tb-two",
        ),
        _try(),
    )


def _old() -> rx.Component:
    return rx.callout.root(
        rx.callout.icon(rx.icon("history", size=16)),
        rx.callout.text(
            "This is revision ",
            TestCaseState.viewed,
            ". Save makes it the newest again. ",
            rx.link("Show the current one", href=f"/test-cases/{TestCaseState.id}"),
        ),
        color_scheme="amber",
        size="1",
    )


def _bound(name: str) -> dict[str, Any]:
    return {
        "value": TestCaseState.fields[name],
        "on_change": lambda text: TestCaseState.set_field(name, text),
        "error": rx.cond(
            TestCaseState.errors.contains(name), TestCaseState.errors[name].to(str), ""
        ),
    }


def _what() -> rx.Component:
    return card(
        rx.vstack(
            text_field("name", "Name", max_length=200, **_bound("name")),
            area_field("description", "Description (optional)", rows="2", **_bound("description")),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="Test case",
        width="100%",
    )


def _times() -> rx.Component:
    figures = (
        ("duration_s", "Duration", "How long devices are judged."),
        ("warmup_s", "Warm-up", "Recorded, not judged."),
        ("grace_s", "Grace", "How long to wait for late readings."),
        ("sample_interval_s", "Sampling interval (optional)", "Three missed ones make an error."),
        ("timeout_s", "Timeout (optional)", "Otherwise all parts and a minute."),
    )
    return card(
        rx.vstack(
            rx.grid(
                *(
                    number_field(name, label, unit="s", help=help, **_bound(name))
                    for name, label, help in figures
                ),
                tag_field("required_tags", "Only devices tagged", **_bound("required_tags")),
                columns=rx.breakpoints(initial="1", sm="2", md="1", lg="2"),
                spacing="4",
                width="100%",
            ),
            _flag("stop_on_fail", "Stop at the first certain failure"),
            _flag("wait_online", "First wait until every device is online"),
            rx.cond(
                TestCaseState.flags["wait_online"],
                number_field("wait_online_s", "At most", unit="s", **_bound("wait_online_s")),
            ),
            _flag("restore", "Afterwards restore what was configured before"),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="How it runs",
        width="100%",
    )


def _flag(name: str, label: str) -> rx.Component:
    return switch_field(
        name,
        label,
        checked=TestCaseState.flags[name],
        on_change=lambda on: TestCaseState.set_flag(name, on),
    )


# --- criteria


def _criteria() -> rx.Component:
    none = TestCaseState.errors.contains("criteria")
    return card(
        rx.cond(
            none,
            rx.el.p(
                rx.icon("circle-alert", size=14, aria_hidden=True),
                TestCaseState.errors["criteria"],
                class_name="tb-fault",
                role="alert",
                padding="12px 14px",
            ),
        ),
        rx.el.ol(rx.foreach(TestCaseState.criteria, _criterion), class_name="tb-criteria"),
        rx.cond(
            TestCaseState.criteria.length() == 0,
            rx.el.p(
                "Add what a device must keep; at least one criterion must be required.",
                class_name="tb-help",
                padding="14px",
            ),
        ),
        title="Criteria",
        actions=[_add()],
        flush=True,
        width="100%",
    )


def _add() -> rx.Component:
    def item(kind: str) -> rx.Component:
        label, about = label_of(kind)
        return rx.dropdown_menu.item(
            rx.icon(ICONS.get(kind, "circle"), size=16, aria_hidden=True),
            rx.el.div(rx.el.div(label), rx.el.div(about, class_name="tb-help")),
            on_click=TestCaseState.add(kind),
            style={"height": "auto", "padding": "6px 10px", "gap": "12px"},
        )

    return rx.dropdown_menu.root(
        rx.dropdown_menu.trigger(
            rx.button(
                rx.icon("plus", size=14), "Add a criterion", size="1", variant="soft", id="add"
            )
        ),
        rx.dropdown_menu.content(*(item(kind) for kind in KINDS), max_width="420px"),
    )


def _criterion(draft: Draft) -> rx.Component:
    icon = rx.match(
        draft.kind,
        *((kind, rx.icon(name, size=16)) for kind, name in ICONS.items()),
        rx.icon("circle", size=16),
    )
    faulty = draft.errors.length() > 0
    sentence = rx.el.button(
        rx.cond(faulty, rx.icon("circle-alert", size=16, class_name="tb-alert"), icon),
        rx.el.span(
            rx.el.span(draft.sentence, class_name="tb-strong tb-break"),
            rx.el.span(
                draft.name,
                rx.cond(draft.severity == "warning", " · warning only", ""),
                class_name="tb-help tb-break",
            ),
            class_name="tb-sentence-text",
        ),
        type="button",
        on_click=TestCaseState.toggle(draft.key),
        class_name="tb-sentence",
        custom_attrs={
            "aria-expanded": rx.cond(draft.open, "true", "false"),
            "aria-label": f"Edit: {draft.sentence}",
        },
    )
    return rx.el.li(
        rx.el.div(sentence, _tools(draft), class_name="tb-criterion-head"),
        rx.cond(draft.open, rx.el.div(_form(draft), class_name="tb-criterion-form")),
        key=draft.key.to_string(),
        custom_attrs={"data-open": rx.cond(draft.open, "true", "false")},
    )


def _tools(draft: Draft) -> rx.Component:
    def tool(icon: str, label: str, event: Any, color: Any = "gray") -> rx.Component:
        return rx.icon_button(
            rx.icon(icon, size=14),
            size="1",
            variant="ghost",
            color_scheme=color,
            on_click=event,
            custom_attrs={"aria-label": f"{label}: {draft.name}"},
            title=label,
            type="button",
        )

    return rx.hstack(
        tool("arrow-up", "Move up", TestCaseState.move(draft.key, -1)),
        tool("arrow-down", "Move down", TestCaseState.move(draft.key, 1)),
        tool("copy", "Duplicate", TestCaseState.duplicate(draft.key)),
        tool("trash-2", "Remove", TestCaseState.remove(draft.key), "red"),
        spacing="3",
        align="center",
        flex_shrink="0",
        padding_right="14px",
    )


def _form(draft: Draft) -> rx.Component:
    """The form its kind's own schema draws."""
    return rx.fragment(
        rx.match(
            draft.kind,
            *((kind, _form_of(kind, draft)) for kind in KINDS),
            rx.fragment(),
        ),
        rx.el.datalist(
            rx.foreach(TestCaseState.metrics, lambda name: rx.el.option(value=name)),
            id="metrics",
        ),
    )


def _form_of(kind: str, draft: Draft) -> rx.Component:
    schema = KINDS[kind].model_json_schema()
    properties = [name for name in schema["properties"] if name != "kind"]
    last = ("severity", "on_missing", "marginal_fraction")
    first = [name for name in ORDER if name in properties]
    middle = [name for name in properties if name not in first and name not in last]
    return rx.fragment(
        rx.el.p(label_of(kind)[1], ". ", class_name="tb-help", margin_bottom="12px"),
        schema_form(
            schema,
            draft.texts,
            lambda name, value: TestCaseState.set_criterion(draft.key, name, value),
            errors=draft.errors,
            only=[*first, *middle, *last],
            labels=LABELS,
            prefix="criterion-",
        ),
    )


# --- history


def _revisions() -> rx.Component:
    return card(
        rx.el.ol(rx.foreach(TestCaseState.revisions, _revision), class_name="tb-history"),
        title="Revisions",
        flush=True,
        width="100%",
    )


def _revision(old: RevisionRow) -> rx.Component:
    here = (TestCaseState.viewed == old.number) | ((TestCaseState.viewed == 0) & old.current)
    return rx.el.li(
        rx.link(
            rx.el.span("Revision ", old.number, class_name="tb-strong"),
            rx.cond(old.current, rx.badge("current", color_scheme="gray", size="1")),
            rx.spacer(),
            ago(old.created_at),
            href=rx.cond(
                old.current,
                f"/test-cases/{TestCaseState.id}",
                f"/test-cases/{TestCaseState.id}?revision={old.number}",
            ),
            underline="none",
            title=old.sentences.join("; "),
            custom_attrs={"aria-current": rx.cond(here, "true", "false")},
        ),
        key=old.number.to_string(),
    )


# --- trying


def _try() -> rx.Component:
    custom = TestCaseState.try_range == "custom"
    return card(
        rx.el.p(
            "Judges readings that are stored already, with the criteria as they stand above. "
            "Nothing is saved, no device is held.",
            class_name="tb-help",
            margin_bottom="12px",
        ),
        rx.el.form(
            rx.grid(
                _choice("device", "Device", TestCaseState.devices, "Choose a device"),
                select_field(
                    "try-range",
                    "Readings",
                    RANGES,
                    value=TestCaseState.try_range,
                    on_change=lambda value: TestCaseState.set_try("range", value),
                ),
                _choice("environment", "Environment", TestCaseState.environments, "None"),
                rx.el.div(
                    rx.button(
                        rx.icon("flask-conical", size=14),
                        "Try",
                        type="submit",
                        loading=TestCaseState.trying,
                        width="100%",
                        id="try",
                    ),
                    style={"alignSelf": "end"},
                ),
                rx.cond(custom, _moment_field("start", "From (UTC)", TestCaseState.try_start)),
                rx.cond(custom, _moment_field("end", "To (UTC)", TestCaseState.try_end)),
                columns=rx.breakpoints(initial="1", sm="2", lg="4"),
                spacing="4",
                width="100%",
            ),
            on_submit=lambda _form: TestCaseState.try_out(),
        ),
        rx.cond(
            TestCaseState.try_error != "",
            rx.callout(
                TestCaseState.try_error,
                icon="circle-alert",
                color_scheme="red",
                size="1",
                margin_top="12px",
                role="alert",
            ),
        ),
        rx.cond(TestCaseState.outcome != "", _trial()),
        title="Try on stored data",
        id="try-card",
    )


def _choice(name: str, label: str, options: Any, empty: str) -> rx.Component:
    blank = rx.Var.create([["", empty]])
    values = {"device": TestCaseState.try_device, "environment": TestCaseState.try_environment}
    return select_field(
        f"try-{name}",
        label,
        (blank + options).to(list[list[str]]),
        value=values[name],
        on_change=lambda value: TestCaseState.set_try(name, value),
    )


def _moment_field(name: str, label: str, value: Any) -> rx.Component:
    return text_field(
        f"try-{name}",
        label,
        type="datetime-local",
        value=value,
        on_change=lambda text: TestCaseState.set_try(name, text),
    )


def _trial() -> rx.Component:
    columns = [
        Column("Criterion", lambda row: rx.el.div(row.name, class_name="tb-strong tb-name")),
        Column("Verdict", _trial_verdict, width="150px"),
        Column("What happened", lambda row: rx.el.div(row.message, class_name="tb-message")),
    ]
    return rx.el.div(
        rx.hstack(
            rx.el.span("It would have been", class_name="tb-strong"),
            outcome_badge(TestCaseState.outcome, "2"),
            align="center",
            spacing="2",
            id="trial-outcome",
        ),
        rx.el.div(
            data_table(columns, TestCaseState.verdicts, label="Verdicts", key=lambda row: row.name),
            rx.vstack(rx.foreach(TestCaseState.charts, _trial_chart), spacing="4", width="100%"),
            class_name="tb-trial",
        ),
        style={"marginTop": "18px"},
    )


def _trial_verdict(row: VerdictRow) -> rx.Component:
    return verdict_badge(row.verdict, row.marginal)


def _trial_chart(chart: ChartView) -> rx.Component:
    return rx.el.div(
        rx.el.h3(chart.name, class_name="tb-h2"), chart_of(chart, 200), key=chart.name, width="100%"
    )
