"""The criteria of a test case as sentences, each opening into the form its schema draws."""

from typing import Any

import reflex as rx

from testbench.components import card, schema_form
from testbench.state.drafts import KINDS, Draft, label_of
from testbench.state.test_case import TestCaseState

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


def criteria() -> rx.Component:
    """All of them, and the way to add one."""
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
                rx.icon("plus", size=14),
                "Add a criterion",
                size="1",
                variant="soft",
                id="add",
                type="button",
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
            suggestions={"metric": "metrics", "other_metric": "metrics"},
            prefix="criterion-",
        ),
    )
