"""Sections and key figures."""

from collections.abc import Sequence
from typing import Any

import reflex as rx


def card(
    *body: rx.Component,
    title: Any = None,
    actions: Sequence[rx.Component] = (),
    flush: bool = False,
    **props: Any,
) -> rx.Component:
    """A titled section; `flush`: the body touches its edges (for tables)."""
    head = rx.el.div(rx.el.h2(title), rx.spacer(), *actions, class_name="tb-card-head")
    return rx.el.section(
        *([head] if title is not None else []),
        rx.el.div(*body, class_name="" if flush else "tb-card-body"),
        class_name="tb-card",
        **props,
    )


def figures(*children: rx.Component) -> rx.Component:
    """Key figures in a row, as many as fit."""
    return rx.el.div(*children, class_name="tb-figures")


def figure(
    label: Any, value: Any, *, note: Any = None, icon: rx.Component | None = None, href: Any = None
) -> rx.Component:
    """One key figure; with `href` it is the link to what it counts."""
    inner = [
        rx.el.span(*([icon] if icon else []), label, class_name="tb-figure-label"),
        rx.el.span(value, class_name="tb-figure-value"),
        *([rx.el.span(note, class_name="tb-figure-note")] if note is not None else []),
    ]
    if href is None:
        return rx.el.div(*inner, class_name="tb-figure")
    return rx.link(*inner, href=href, class_name="tb-figure", underline="none", color="inherit")


def facts(*pairs: tuple[Any, Any]) -> rx.Component:
    """Names and values, one pair a line."""
    return rx.el.dl(
        *(part for name, value in pairs for part in (rx.el.dt(name), rx.el.dd(value))),
        class_name="tb-facts",
    )


def progress_bar(share: Any, label: Any = "Progress") -> rx.Component:
    """`share` from 0 to 1."""
    percent = (share * 100).to(int)
    return rx.el.div(
        rx.el.div(class_name="tb-bar-fill", style={"width": f"{percent}%"}),
        class_name="tb-bar-track",
        role="progressbar",
        aria_label=label,
        custom_attrs={"aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent},
    )


def outcome_strip(runs: Any) -> rx.Component:
    """Ended runs as a row of marks, oldest first; each has `id`, `outcome` and `label`."""
    return rx.el.div(
        rx.foreach(
            runs,
            lambda run: rx.el.a(
                href=f"/runs/{run.id}",
                title=run.label,
                aria_label=run.label,
                custom_attrs={"data-outcome": run.outcome},
            ),
        ),
        class_name="tb-strip",
    )
