"""A test case: its criteria as sentences, each editable in place, tried on what is stored."""

from typing import Any

import reflex as rx

from testbench.components import (
    ago,
    area_field,
    card,
    confirm,
    form_skeleton,
    number_field,
    shell,
    switch_field,
    tag_field,
    text_field,
    view,
)
from testbench.components.forms import unsaved
from testbench.pages.test_case.criteria import criteria
from testbench.pages.test_case.setup import setup
from testbench.pages.test_case.trial import trial
from testbench.state.auth import AuthState
from testbench.state.test_case import RevisionRow, TestCaseState

FORM = "case-form"
"""The Save button stands in the title bar, outside of its form."""


def test_case() -> rx.Component:
    """The page."""
    return shell(
        view(TestCaseState, form_skeleton(), _body()),
        unsaved(TestCaseState.changed & (AuthState.role != "viewer")),
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
            rx.button(
                "Save",
                type="submit",
                custom_attrs={"form": FORM},
                loading=TestCaseState.busy,
                id="save",
            ),
            spacing="2",
            align="center",
        ),
    )


def _body() -> rx.Component:
    return rx.fragment(
        rx.cond(TestCaseState.viewed > 0, _old()),
        rx.el.form(
            rx.vstack(_what(), setup(), criteria(), spacing="4", width="100%"),
            rx.vstack(_times(), rx.cond(TestCaseState.id != "", _revisions()), spacing="4"),
            class_name="tb-two",
            on_submit=lambda _form: TestCaseState.save(),
            id=FORM,
        ),
        trial(),
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
