"""Environments: the list, and the page of one with its variables."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    area_field,
    card,
    confirm,
    data_table,
    empty_state,
    form_skeleton,
    search_box,
    select_field,
    shell,
    table_skeleton,
    tag_field,
    text_field,
    view,
)
from testbench.components.forms import unsaved
from testbench.state.auth import AuthState
from testbench.state.environments import (
    EnvironmentRow,
    EnvironmentsState,
    EnvironmentState,
    Variable,
)

FORM = "environment-form"
"""The Save button stands in the title bar, outside of its form."""
RUNNERS = (("builtin", "The bench's own workers"), ("external", "An external runner (RabbitMQ)"))
WORDS = {"builtin": "The bench", "external": "External"}


def environments() -> rx.Component:
    """The list."""
    return shell(
        view(EnvironmentsState, table_skeleton(), _list()),
        confirm(
            title=rx.fragment("Delete ", EnvironmentsState.doomed_name, "?"),
            lost="Its variables are lost. Runs that have ended keep their own copy.",
            action="Delete the environment",
            is_open=EnvironmentsState.doomed != "",
            on_open_change=EnvironmentsState.keep,
            on_confirm=EnvironmentsState.delete,
        ),
        title="Environments",
        active="/environments",
        actions=[rx.cond(AuthState.role != "viewer", _new())],
    )


def _new() -> rx.Component:
    return rx.link(
        rx.button(rx.icon("plus", size=14), "New environment", tab_index=-1),
        href="/environments/new",
        underline="none",
    )


def _list() -> rx.Component:
    columns = [
        Column("Environment", _name),
        Column("Variables", _variables),
        Column("Tags", lambda one: rx.el.span(one.tags), wide=True),
        Column("Runs on", lambda one: rx.match(one.runner, *WORDS.items(), ""), wide=True),
        Column("", _delete, width="56px"),
    ]
    return rx.fragment(
        rx.el.div(
            rx.spacer(),
            search_box(EnvironmentsState.q, EnvironmentsState.search, "Name of an environment"),
            class_name="tb-filters",
        ),
        rx.cond(
            EnvironmentsState.rows.length() > 0,
            data_table(
                columns,
                EnvironmentsState.rows,
                label="Environments",
                href=lambda one: f"/environments/{one.id}",
            ),
            _nothing(),
        ),
    )


def _name(one: EnvironmentRow) -> rx.Component:
    return rx.el.div(
        rx.link(one.name, href=f"/environments/{one.id}", class_name="tb-open tb-break"),
        rx.cond(one.description != "", rx.el.div(one.description, class_name="tb-help tb-break")),
    )


def _variables(one: EnvironmentRow) -> rx.Component:
    return rx.el.div(
        rx.foreach(
            one.variables,
            lambda pair: rx.el.div(
                rx.el.span(pair[0], class_name="tb-muted"), " ", pair[1], class_name="tb-break"
            ),
        ),
        rx.cond(one.more > 0, rx.el.div("and ", one.more, " more", class_name="tb-help")),
    )


def _delete(one: EnvironmentRow) -> rx.Component:
    button = rx.icon_button(
        rx.icon("trash-2", size=14),
        variant="ghost",
        color_scheme="gray",
        on_click=EnvironmentsState.ask_delete(one.id, one.name),
        custom_attrs={"aria-label": f"Delete {one.name}"},
    )
    return rx.el.div(rx.cond(AuthState.role != "viewer", button), on_click=rx.stop_propagation)


def _nothing() -> rx.Component:
    return rx.cond(
        EnvironmentsState.q != "",
        empty_state("search-x", "No environment fits", "None has this in its name."),
        empty_state(
            "thermometer",
            "No environments yet",
            "An environment names the conditions of a run; its variables fill the limits of a "
            "test case.",
            _new(),
        ),
    )


# --- one


def environment() -> rx.Component:
    """The page of one."""
    return shell(
        view(EnvironmentState, form_skeleton(), _form()),
        unsaved(EnvironmentState.changed & (AuthState.role != "viewer")),
        title=EnvironmentState.title,
        active="/environments",
        crumbs=[("Environments", "/environments")],
        actions=[
            rx.cond(
                EnvironmentState.loaded & (AuthState.role != "viewer"),
                rx.button(
                    "Save",
                    type="submit",
                    custom_attrs={"form": FORM},
                    loading=EnvironmentState.busy,
                    id="save",
                ),
            )
        ],
    )


def _bound(name: str) -> dict[str, Any]:
    return {
        "value": EnvironmentState.fields[name],
        "on_change": lambda text: EnvironmentState.set_field(name, text),
        "error": rx.cond(
            EnvironmentState.errors.contains(name), EnvironmentState.errors[name].to(str), ""
        ),
    }


def _form() -> rx.Component:
    what = card(
        rx.vstack(
            text_field("name", "Name", max_length=200, **_bound("name")),
            area_field("description", "Description (optional)", rows="2", **_bound("description")),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="Environment",
        width="100%",
    )
    how = card(
        rx.vstack(
            select_field(
                "runner",
                "Runs are done by",
                RUNNERS,
                help="An external runner takes its jobs from RabbitMQ and calls back.",
                **_bound("runner"),
            ),
            tag_field("tags", "Tags (optional)", **_bound("tags")),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        title="How it runs",
    )
    return rx.el.form(
        rx.vstack(what, _table(), spacing="4", width="100%"),
        how,
        class_name="tb-two",
        on_submit=lambda _form: EnvironmentState.save(),
        id=FORM,
    )


def _table() -> rx.Component:
    add = rx.button(
        rx.icon("plus", size=14),
        "Add a variable",
        size="1",
        variant="soft",
        type="button",
        on_click=EnvironmentState.add,
    )
    return card(
        rx.el.table(
            rx.el.thead(
                rx.el.tr(
                    rx.el.th("Name", scope="col"),
                    rx.el.th("Value", scope="col"),
                    rx.el.th(rx.el.span("Actions", class_name="tb-hidden"), scope="col"),
                )
            ),
            rx.el.tbody(rx.foreach(EnvironmentState.variables, _variable)),
            class_name="tb-table",
            aria_label="Variables",
        ),
        rx.el.p(
            "A criterion uses a variable as {{name}}. Numbers stay numbers; "
            "text may stand in quotes.",
            class_name="tb-help",
            padding="10px 14px",
        ),
        title="Variables",
        actions=[add],
        flush=True,
        width="100%",
    )


def _variable(one: Variable) -> rx.Component:
    fault = rx.cond(one.error != "", rx.el.p(one.error, class_name="tb-fault", role="alert"))

    def cell(field: str, value: Any, placeholder: str, *faults: rx.Component) -> rx.Component:
        return rx.el.td(
            rx.input(
                value=value,
                on_change=lambda text: EnvironmentState.set_variable(one.key, field, text),
                placeholder=placeholder,
                max_length=1000,
                width="100%",
                custom_attrs={
                    "aria-label": f"{field} of the variable {one.name}",
                    "aria-invalid": rx.cond(one.error != "", "true", "false"),
                },
            ),
            *faults,
        )

    return rx.el.tr(
        cell("name", one.name, "max_temp", fault),
        cell("value", one.value, "30"),
        rx.el.td(
            rx.icon_button(
                rx.icon("trash-2", size=14),
                size="1",
                variant="ghost",
                color_scheme="gray",
                on_click=EnvironmentState.remove(one.key),
                custom_attrs={"aria-label": f"Remove the variable {one.name}"},
                type="button",
            ),
            style={"width": "40px"},
        ),
        key=one.key.to_string(),
    )
