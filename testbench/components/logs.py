"""A device's log: how its reading stands, and its lines, live in the browser."""

from typing import Any

import reflex as rx

from testbench.components.badges import Look, _one_of

READINGS = {
    "off": Look("Not traced", "circle-off", "gray"),
    "waiting": Look("Waiting for the collector", "clock", "gray"),
    "connecting": Look("Connecting", "loader", "blue"),
    "connected": Look("Connected", "circle-check", "green"),
    "reconnecting": Look("Reconnecting", "refresh-cw", "amber"),
    "stopped": Look("Given up", "circle-alert", "red"),
}


class LogView(rx.NoSSRComponent):
    """See `log_view`."""

    library = "$/public/log.jsx"
    tag = "LogView"

    url: rx.Var[str]
    name: rx.Var[str]


def log_view(url: Any, name: Any) -> rx.Component:
    """The newest lines of the stream of events `log` at `url`, with filter, pause, copy, download.

    The browser follows the stream by itself: a line costs its own bytes, and no state of the tab.
    """
    return LogView.create(url=url, name=name)


def reading_badge(state: Any, size: str = "1") -> rx.Component:
    """How the reading of a log stands."""
    return _one_of(READINGS, state, READINGS["off"], size)
