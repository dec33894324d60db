"""State, status, outcome and verdict as icon, word and colour; the colours are fixed."""

from typing import Any, NamedTuple

import reflex as rx


class Look(NamedTuple):
    """How one word of a vocabulary is shown."""

    word: str
    icon: str
    color: Any


STATES = {
    "available": Look("Available", "circle-check", "green"),
    "in_test": Look("In test", "flask-conical", "blue"),
    "offline": Look("Offline", "wifi-off", "gray"),
    "maintenance": Look("Maintenance", "wrench", "amber"),
}
STATUSES = {
    "queued": Look("Queued", "clock", "gray"),
    "running": Look("Running", "loader", "blue"),
    "completed": Look("Completed", "circle-check", "gray"),
    "failed": Look("Failed to finish", "circle-alert", "violet"),
    "cancelled": Look("Cancelled", "ban", "gray"),
}
OUTCOMES = {
    "pass": Look("Pass", "circle-check", "green"),
    "fail": Look("Fail", "circle-x", "red"),
    "error": Look("Error", "triangle-alert", "violet"),
    "timeout": Look("Timeout", "timer-off", "orange"),
    "aborted": Look("Aborted", "ban", "gray"),
}
VERDICTS = OUTCOMES | {"unset": Look("Not judged", "circle-dashed", "gray")}
NO_OUTCOME = Look("No outcome yet", "circle-dashed", "gray")


def _badge(look: Look, size: str = "1") -> rx.Component:
    # High contrast: the word is readable (AA) on its tint in both themes.
    return rx.badge(
        rx.icon(look.icon, size=12, color=rx.color(look.color, 11), aria_hidden=True),
        look.word,
        color_scheme=look.color,
        variant="soft",
        high_contrast=True,
        size=size,
        style={"whiteSpace": "nowrap"},
    )


def _one_of(looks: dict[str, Look], word: Any, other: Look, size: str) -> rx.Component:
    if isinstance(word, str):
        return _badge(looks.get(word, other), size)
    return rx.match(
        word, *((key, _badge(look, size)) for key, look in looks.items()), _badge(other, size)
    )


def state_badge(state: Any, online: Any = None, size: str = "1") -> rx.Component:
    """A device's shown state; with `online`, a device that dropped out in a test says so."""
    badge = _one_of(STATES, state, Look("Unknown", "circle-help", "gray"), size)
    if online is None:
        return badge
    dropped = (state == "in_test") & ~online if isinstance(state, rx.Var) else False
    return rx.hstack(badge, rx.cond(dropped, presence(online, size)), spacing="1", align="center")


def presence(online: Any, size: str = "1") -> rx.Component:
    """Online or offline, beside a state that does not say it."""
    return rx.cond(
        online, _badge(Look("Online", "wifi", "gray"), size), _badge(STATES["offline"], size)
    )


def status_badge(status: Any, size: str = "1") -> rx.Component:
    """How far a run is."""
    return _one_of(STATUSES, status, NO_OUTCOME, size)


def outcome_badge(outcome: Any, size: str = "1") -> rx.Component:
    """A run's or device's result; null is `No outcome yet`."""
    return _one_of(OUTCOMES, outcome, NO_OUTCOME, size)


def verdict_badge(verdict: Any, marginal: Any = False, size: str = "1") -> rx.Component:
    """A criterion's result; `marginal`: passed, but near a limit."""
    near = _badge(Look("Marginal", "circle-dot", "amber"), size)
    badge = _one_of(VERDICTS, verdict, VERDICTS["unset"], size)
    return rx.hstack(badge, rx.cond(marginal, near), spacing="1", align="center")
