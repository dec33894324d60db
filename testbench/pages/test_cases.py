"""Test cases: what devices are judged by."""

import reflex as rx

from testbench.components import (
    Column,
    confirm,
    data_table,
    empty_state,
    pager,
    search_box,
    shell,
    span,
    table_skeleton,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.test_cases import CaseRow, TestCasesState


def test_cases() -> rx.Component:
    """The page."""
    return shell(
        view(TestCasesState, table_skeleton(), _body()),
        confirm(
            title=rx.fragment("Delete ", TestCasesState.doomed_name, "?"),
            lost="All its revisions are lost. Runs that have ended keep their own copy.",
            action="Delete the test case",
            is_open=TestCasesState.doomed != "",
            on_open_change=TestCasesState.keep,
            on_confirm=TestCasesState.delete,
        ),
        title="Test cases",
        active="/test-cases",
        actions=[rx.cond(AuthState.role != "viewer", _new())],
    )


def _new() -> rx.Component:
    return rx.link(
        rx.button(rx.icon("plus", size=14), "New test case", tab_index=-1),
        href="/test-cases/new",
        underline="none",
    )


def _body() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.spacer(),
            search_box(TestCasesState.q, TestCasesState.search, "Name of a test case"),
            class_name="tb-filters",
        ),
        rx.cond(TestCasesState.rows.length() > 0, _table(), _nothing()),
    )


def _table() -> rx.Component:
    columns = [
        Column("Test case", _name),
        Column("Judges", _sentences),
        Column("Only tagged", lambda case: rx.el.span(case.tags), wide=True),
        Column("Takes", lambda case: span(case.seconds), right=True, wide=True, width="110px"),
        Column("", _menu, width="56px"),
    ]
    return rx.fragment(
        data_table(
            columns,
            TestCasesState.rows,
            label="Test cases",
            href=lambda case: f"/test-cases/{case.id}",
        ),
        pager(
            TestCasesState.shown,
            TestCasesState.total,
            TestCasesState.first_link,
            TestCasesState.next_link,
        ),
    )


def _name(case: CaseRow) -> rx.Component:
    return rx.el.div(
        rx.link(case.name, href=f"/test-cases/{case.id}", class_name="tb-open tb-break"),
        rx.el.div(f"revision {case.revision}", class_name="tb-help"),
    )


def _sentences(case: CaseRow) -> rx.Component:
    return rx.el.div(
        rx.foreach(case.sentences, lambda text: rx.el.div(text, class_name="tb-break")),
        rx.cond(case.more > 0, rx.el.div("and ", case.more, " more", class_name="tb-help")),
    )


def _menu(case: CaseRow) -> rx.Component:
    engineer = AuthState.role != "viewer"
    items = rx.fragment(
        rx.dropdown_menu.item("Run it", on_click=rx.redirect(f"/runs/new?case={case.id}")),
        rx.dropdown_menu.item("Duplicate", on_click=rx.redirect(f"/test-cases/new?from={case.id}")),
        rx.dropdown_menu.separator(),
        rx.dropdown_menu.item(
            "Delete", color="red", on_click=TestCasesState.ask_delete(case.id, case.name)
        ),
    )
    menu = rx.dropdown_menu.root(
        rx.dropdown_menu.trigger(
            rx.icon_button(
                rx.icon("ellipsis", size=16),
                variant="ghost",
                color_scheme="gray",
                custom_attrs={"aria-label": f"More for {case.name}"},
            )
        ),
        rx.dropdown_menu.content(items),
    )
    return rx.el.div(rx.cond(engineer, menu), on_click=rx.stop_propagation)


def _nothing() -> rx.Component:
    return rx.cond(
        TestCasesState.q != "",
        empty_state("search-x", "No test case fits", "None has this in its name."),
        empty_state(
            "list-checks",
            "No test cases yet",
            "A test case says what a device must keep, such as “temp stays within 10–30 °C”, "
            "and for how long.",
            _new(),
        ),
    )
