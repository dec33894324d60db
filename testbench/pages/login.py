"""Logging in: a form the browser itself sends, so that the cookie is none a script can read."""

import reflex as rx
from reflex_components_core.el.elements.base import BaseHTML

from testbench.state.auth import LoginState


class NativeForm(BaseHTML):
    """A form the browser submits; Reflex's own would catch it."""

    tag = "form"
    action: rx.Var[str]
    method: rx.Var[str]


def _field(label: str, name: str, **props: object) -> rx.Component:
    return rx.vstack(
        rx.el.label(rx.text(label, size="2", weight="medium"), html_for=name),
        rx.input(id=name, name=name, required=True, size="3", width="100%", **props),
        spacing="1",
        width="100%",
    )


def _error() -> rx.Component:
    return rx.cond(
        LoginState.error != "",
        rx.callout(
            LoginState.error,
            icon="triangle_alert",
            color_scheme="red",
            role="alert",
            id="login-error",
            width="100%",
        ),
    )


def _form() -> rx.Component:
    return NativeForm.create(
        rx.el.input(type="hidden", name="next", value=LoginState.next, read_only=True),
        rx.vstack(
            _error(),
            _field(
                "Username",
                "username",
                # Anew once the state is here: what was typed stands in it again.
                key=f"username-{LoginState.username}",
                default_value=LoginState.username,
                auto_complete="username",
                auto_focus=True,
                max_length=200,
                custom_attrs={"autoCapitalize": "none", "spellCheck": "false"},
            ),
            _field("Password", "password", type="password", auto_complete="current-password"),
            rx.button("Log in", type="submit", size="3", width="100%", margin_top="8px"),
            spacing="4",
            width="100%",
        ),
        action="/api/auth/login",
        method="post",
        style={"width": "100%"},
    )


def login() -> rx.Component:
    """The card in the middle of the page."""
    return rx.center(
        rx.el.main(
            rx.card(
                rx.vstack(
                    rx.vstack(
                        rx.hstack(
                            rx.icon("flask-conical", size=22, color=rx.color("accent", 11)),
                            rx.heading("Testbench", size="6", as_="h1"),
                            align="center",
                            spacing="2",
                        ),
                        rx.text("Log in to your lab.", size="2", color_scheme="gray"),
                        spacing="1",
                    ),
                    _form(),
                    spacing="5",
                    width="100%",
                ),
                size="4",
                width="100%",
            ),
            style={"width": "100%", "maxWidth": "24rem"},
        ),
        min_height="100vh",
        padding="1rem",
        background=rx.color("gray", 2),
    )
