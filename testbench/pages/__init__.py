"""The table of contents: every page, its address, its title, and what loads it."""

from collections.abc import Callable
from typing import Any

import reflex as rx

from testbench.pages.login import login
from testbench.pages.not_found import not_found
from testbench.state.auth import AuthState, LoginState


def add(app: rx.App, page: Callable[[], rx.Component], route: str, title: str, *load: Any) -> None:
    """A page for those who are logged in; `load` runs after its guard, on every visit."""
    app.add_page(page, route=route, title=f"{title} · Testbench", on_load=[AuthState.load, *load])


def register(app: rx.App) -> None:
    """Every page of the bench."""
    app.add_page(login, route="/login", title="Log in · Testbench", on_load=LoginState.load)
    add(app, not_found, "/404", "Not found")
