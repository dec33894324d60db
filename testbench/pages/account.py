"""One's own account: password, access tokens, light or dark."""

from typing import Any

import reflex as rx
from reflex.style import color_mode

from testbench.components import (
    Column,
    ago,
    card,
    confirm,
    data_table,
    dialog,
    empty_state,
    facts,
    form_skeleton,
    moment,
    save_row,
    secret,
    select_field,
    shell,
    text_field,
    view,
)
from testbench.state.auth import AuthState
from testbench.state.users import AccountState

SCOPES = (("read", "Read only"), ("write", "Read and write, with your role"))
LIVES = (("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("", "Until deleted"))


def account() -> rx.Component:
    """The page."""
    return shell(
        view(AccountState, form_skeleton(), _body()),
        _create_dialog(),
        _delete_dialog(),
        title="Account",
        active="/account",
    )


def _everywhere() -> rx.Component:
    return rx.button(
        rx.icon("log-out", size=14),
        "Log out everywhere",
        on_click=AuthState.log_out_everywhere,
        variant="soft",
        color_scheme="gray",
    )


def _body() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            card(_password(), title="Password"),
            card(
                facts(
                    ("Username", AuthState.username),
                    ("Role", AuthState.role),
                    ("Look", _look()),
                    ("Sessions", _everywhere()),
                ),
                title="You",
            ),
            class_name="tb-halves",
        ),
        card(
            _tokens(),
            title="Personal access tokens",
            actions=[
                rx.button(
                    rx.icon("plus", size=14),
                    "New token",
                    on_click=AccountState.open_create(True),
                    size="1",
                    variant="soft",
                )
            ],
            flush=True,
        ),
    )


def _look() -> rx.Component:
    return rx.el.div(
        *(
            rx.el.button(
                rx.icon(icon, size=14, aria_hidden=True),
                label,
                type="button",
                on_click=rx.style.set_color_mode(mode),
                class_name="tb-chip",
                custom_attrs={"aria-pressed": rx.cond(color_mode == mode, "true", "false")},
            )
            for mode, label, icon in (
                ("light", "Light", "sun"),
                ("dark", "Dark", "moon"),
                ("system", "System", "monitor"),
            )
        ),
        class_name="tb-chips",
    )


def _password() -> rx.Component:
    def fault(name: str) -> Any:
        return AccountState.password_errors[name].to(str) | ""

    def secret_field(name: str, label: str, complete: str, **props: Any) -> rx.Component:
        return text_field(
            name, label, error=fault(name), type="password", auto_complete=complete, **props
        )

    return rx.form(
        rx.vstack(
            secret_field("current_password", "Current password", "current-password"),
            secret_field(
                "new_password", "New password", "new-password", help="At least 8 characters."
            ),
            secret_field("again", "New password again", "new-password"),
            save_row(busy=AccountState.saving, label="Change password", error=fault("")),
            spacing="4",
            align="stretch",
        ),
        on_submit=AccountState.change_password,
        key=AccountState.changed.to_string(),
    )


def _tokens() -> rx.Component:
    columns = [
        Column("Name", lambda one: rx.el.span(one.name, class_name="tb-strong")),
        Column("May", lambda one: rx.cond(one.scope == "read", "read", "read and write")),
        Column("Last used", lambda one: ago(one.last_used_at), wide=True),
        Column("Made", lambda one: ago(one.created_at), wide=True),
        Column(
            "Ends",
            lambda one: rx.cond(one.expires_at != "", moment(one.expires_at), "never"),
            wide=True,
        ),
        Column(
            "",
            lambda one: rx.button(
                "Delete",
                on_click=AccountState.open_delete(one.id, one.name),
                size="1",
                variant="soft",
                color_scheme="gray",
                custom_attrs={"aria-label": f"Delete the token {one.name}"},
            ),
            right=True,
        ),
    ]
    return rx.cond(
        AccountState.tokens.length() > 0,
        data_table(columns, AccountState.tokens, label="Personal access tokens", bare=True),
        empty_state(
            "key-round",
            "No tokens",
            "A token lets a program use the API in your name.",
            rx.button("New token", on_click=AccountState.open_create(True), variant="soft"),
        ),
    )


def _create_dialog() -> rx.Component:
    def fault(name: str) -> Any:
        return AccountState.token_errors[name].to(str) | ""

    form = rx.form(
        rx.vstack(
            text_field(
                "name",
                "Name",
                error=fault("name"),
                auto_focus=True,
                max_length=200,
                placeholder="Nightly script",
                auto_complete="off",
            ),
            select_field("scope", "May", SCOPES, error=fault("scope"), default_value="read"),
            select_field("life", "Lives", LIVES, error=fault("expires_at"), default_value="90"),
            save_row(
                label="Make token", on_cancel=AccountState.open_create(False), error=fault("")
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=AccountState.create_token,
    )
    done = rx.vstack(
        secret(AccountState.new_token, "Copy the token now. It is shown this once."),
        rx.hstack(
            rx.button("Done", on_click=AccountState.open_create(False)),
            justify="end",
            width="100%",
        ),
        width="100%",
    )
    return dialog(
        rx.cond(AccountState.new_token != "", done, form),
        title="New access token",
        is_open=AccountState.creating,
        on_open_change=AccountState.open_create,
    )


def _delete_dialog() -> rx.Component:
    return confirm(
        title=f"Delete the token {AccountState.deleting_name}?",
        lost="Programs that use it are refused from then on. It cannot be brought back.",
        action="Delete token",
        is_open=AccountState.deleting != "",
        on_open_change=AccountState.close_delete,
        on_confirm=AccountState.delete_token,
    )
