"""Composition root: the pages, the REST API beside them, and the live listener."""

import reflex as rx

from testbench.api.app import create_app

api = create_app()


def _placeholder() -> rx.Component:
    return rx.center(rx.heading("Testbench"), height="100vh")


app = rx.App(api_transformer=api)
app.add_page(_placeholder, route="/", title="Testbench")
