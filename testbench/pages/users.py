"""People and their rights, for administrators."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    data_table,
    dialog,
    save_row,
    select_field,
    shell,
    table_skeleton,
    text_field,
    view,
)
from testbench.components.forms import native_select
from testbench.state.auth import AuthState
from testbench.state.users import UsersState

ROLES = (
    ("viewer", "Viewer: sees everything"),
    ("engineer", "Engineer: runs tests, changes devices"),
    ("supervisor", "Supervisor: also watches others' work"),
    ("admin", "Administrator: also manages people"),
)


def users() -> rx.Component:
    """The page."""
    return shell(
        view(UsersState, table_skeleton(), _table()),
        _add_dialog(),
        _reset_dialog(),
        title="Users",
        active="/users",
        actions=[
            rx.cond(
                AuthState.role == "admin",
                rx.button(
                    rx.icon("plus", size=14),
                    "Add user",
                    on_click=UsersState.open_add(True),
                    size="2",
                ),
            )
        ],
    )


def _table() -> rx.Component:
    columns = [
        Column("User", _name),
        Column("Role", _role, width="180px"),
        Column("Access", _access, wide=True),
        Column("Since", lambda one: ago(one.created_at), wide=True),
        Column("", _acts, right=True),
    ]
    return data_table(columns, UsersState.people, label="Users")


def _name(one: Any) -> rx.Component:
    you = rx.badge("you", color_scheme="gray", high_contrast=True, class_name="tb-wide")
    return rx.hstack(
        rx.el.span(one.name, class_name="tb-strong"), rx.cond(one.is_me, you), align="center"
    )


def _role(one: Any) -> rx.Component:
    return native_select(
        *(rx.el.option(role.capitalize(), value=role) for role, _ in ROLES),
        value=one.role,
        on_change=lambda role: UsersState.set_role(one.id, role),
        custom_attrs={"aria-label": f"Role of {one.name}"},
        style={"minWidth": "8rem"},
    )


def _access(one: Any) -> rx.Component:
    def badge(word: str, icon: str, color: Any) -> rx.Component:
        mark = rx.icon(icon, size=12, color=rx.color(color, 11), aria_hidden=True)
        return rx.badge(mark, word, color_scheme=color, high_contrast=True)

    return rx.cond(
        one.disabled, badge("Shut out", "ban", "gray"), badge("May log in", "circle-check", "green")
    )


def _acts(one: Any) -> rx.Component:
    def act(label: Any, on_click: Any) -> rx.Component:
        return rx.button(label, on_click=on_click, variant="soft", color_scheme="gray", size="1")

    return rx.hstack(
        act("Set password", UsersState.open_reset(one.id, one.name)),
        act(
            rx.cond(one.disabled, "Let in", "Shut out"),
            UsersState.set_disabled(one.id, ~one.disabled),
        ),
        justify="end",
        spacing="2",
        wrap="wrap",
    )


def _fault(name: str) -> Any:
    return UsersState.form_errors[name].to(str) | ""


def _add_dialog() -> rx.Component:
    form = rx.form(
        rx.vstack(
            text_field(
                "username",
                "Username",
                error=_fault("username"),
                auto_focus=True,
                auto_complete="off",
                max_length=200,
            ),
            text_field(
                "password",
                "Password",
                error=_fault("password"),
                help="At least 8 characters; the person can change it under Account.",
                type="password",
                auto_complete="new-password",
            ),
            select_field("role", "Role", ROLES, error=_fault("role"), default_value="engineer"),
            save_row(
                busy=UsersState.saving,
                label="Add user",
                on_cancel=UsersState.open_add(False),
                error=_fault(""),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=UsersState.add,
    )
    return dialog(
        form, title="Add user", is_open=UsersState.adding, on_open_change=UsersState.open_add
    )


def _reset_dialog() -> rx.Component:
    form = rx.form(
        rx.vstack(
            text_field(
                "password",
                "New password",
                error=_fault("password"),
                help="At least 8 characters.",
                type="password",
                auto_complete="new-password",
                auto_focus=True,
            ),
            save_row(
                busy=UsersState.saving,
                label="Set password",
                on_cancel=UsersState.close_reset(False),
                error=_fault(""),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=UsersState.reset_password,
    )
    return dialog(
        form,
        title=f"Set the password of {UsersState.resetting_name}",
        description="Their sessions end; they log in again with the new one.",
        is_open=UsersState.resetting != "",
        on_open_change=UsersState.close_reset,
    )
