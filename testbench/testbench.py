"""Composition root: the pages, the REST API beside them, and the live listener."""

import reflex as rx

from testbench import pages
from testbench.api.app import create_app
from testbench.api.origins import may_connect
from testbench.state import live

app = rx.App(
    api_transformer=create_app(),
    stylesheets=["/testbench.css"],
    head_components=[
        rx.el.script(src="/shell.js", defer=True),
        rx.el.link(rel="icon", href="/logo.svg", type="image/svg+xml"),
    ],
    html_lang="en",
    toaster=rx.toast.provider(position="bottom-right", rich_colors=True, close_button=True),
)
# The shell says itself that the connection is lost; Reflex would say it again, in its own words.
app.app_wraps.pop((5, "Overlay"))
# rxconfig's list knows no other name of this machine than the ones written down there.
if app.sio is not None:
    app.sio.eio.cors_allowed_origins = may_connect
pages.register(app)
live.start(app)
