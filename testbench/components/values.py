"""Values a person reads: times, durations, amounts; formatted and ticking in the browser."""

from typing import Any

import reflex as rx

SCRIPT = "$/public/values.jsx"


class Ago(rx.Component):
    """ "3 min ago", the absolute time and zone on hover."""

    library = SCRIPT
    tag = "Ago"
    at: rx.Var[Any]
    empty: rx.Var[str]


class Moment(rx.Component):
    """The absolute time, "3 min ago" on hover."""

    library = SCRIPT
    tag = "Moment"
    at: rx.Var[Any]
    empty: rx.Var[str]


class Countdown(rx.Component):
    """What is left until a time, counting down."""

    library = SCRIPT
    tag = "Countdown"
    until: rx.Var[Any]
    suffix: rx.Var[str]
    over: rx.Var[str]


class Span(rx.Component):
    """A duration, as `4 m 12 s`."""

    library = SCRIPT
    tag = "Span"
    seconds: rx.Var[Any]


class Amount(rx.Component):
    """A number with sensible digits and its unit."""

    library = SCRIPT
    tag = "Amount"
    value: rx.Var[Any]
    unit: rx.Var[Any]
    brief: rx.Var[bool]


def ago(at: Any, empty: str = "never") -> rx.Component:
    """`at`: RFC 3339 text or ms since 1970; `empty` stands for none."""
    return Ago.create(at=at, empty=empty)


def moment(at: Any, empty: str = "–") -> rx.Component:
    """The same, absolute."""
    return Moment.create(at=at, empty=empty)


def countdown(until: Any, suffix: str = "left", over: str = "finishing") -> rx.Component:
    """`until`: RFC 3339 text or ms since 1970; once passed, `over` is shown."""
    return Countdown.create(until=until, suffix=suffix, over=over)


def span(seconds: Any) -> rx.Component:
    """A duration in seconds."""
    return Span.create(seconds=seconds)


def amount(value: Any, unit: Any = "", brief: bool = False) -> rx.Component:
    """A number (or text, or bool) with its unit; `brief`: seconds as a duration, bytes as MB."""
    return Amount.create(value=value, unit=unit, brief=brief)


class Thousands(rx.Component):
    """A whole number, grouped as the reader is used to."""

    library = SCRIPT
    tag = "Thousands"
    value: rx.Var[Any]


def thousands(value: Any) -> rx.Component:
    """`10000` as `10,000`."""
    return Thousands.create(value=value)


class Every(rx.Component):
    """See `every`."""

    library = SCRIPT
    tag = "Every"
    seconds: rx.Var[float]
    on_tick: rx.EventHandler[rx.event.no_args_event_spec]


def every(seconds: float, on_tick: Any) -> rx.Component:
    """Sends `on_tick` every so often, for what no event tells; draws nothing."""
    return Every.create(seconds=seconds, on_tick=on_tick)
