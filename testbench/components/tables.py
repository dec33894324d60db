"""Tables whose rows, order and filter come from the server; all three live in the URL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import reflex as rx


@dataclass(frozen=True)
class Column:
    """One column: how its head reads and how a row's cell is drawn.

    `sort`: link that sorts by it, and `sorted_by` which way it is sorted now ("", "asc", "desc").
    `wide`: left out on phones.
    """

    label: str
    cell: Callable[[Any], Any]
    sort: Any = None
    sorted_by: Any = ""
    right: bool = False
    wide: bool = False
    width: str = ""

    @property
    def classes(self) -> str:
        return " ".join(
            name for name, used in (("tb-right", self.right), ("tb-wide", self.wide)) if used
        )


def _head(column: Column) -> rx.Component:
    label: Any = column.label
    props: dict[str, Any] = {}
    if column.sort is not None:
        arrow = rx.match(
            column.sorted_by,
            ("asc", rx.icon("arrow-up", size=12)),
            ("desc", rx.icon("arrow-down", size=12)),
            rx.icon("chevrons-up-down", size=12),
        )
        label = rx.link(column.label, arrow, href=column.sort, underline="none")
        sort = rx.match(column.sorted_by, ("asc", "ascending"), ("desc", "descending"), "none")
        props = {"custom_attrs": {"aria-sort": sort}}
    if not column.label:
        label = rx.el.span("Actions", class_name="tb-hidden")
    style = {"width": column.width} if column.width else {}
    return rx.el.th(label, scope="col", class_name=column.classes, style=style, **props)


def data_table(
    columns: Sequence[Column],
    rows: Any,
    *,
    label: str,
    href: Callable[[Any], Any] | None = None,
    selected: Callable[[Any], Any] | None = None,
    on_select: Callable[[Any], Any] | None = None,
    name: Callable[[Any], Any] | None = None,
    key: Callable[[Any], Any] | None = None,
    tall: bool = False,
    bare: bool = False,
) -> rx.Component:
    """Rows of a Var list. `href`: a click on the row opens it (give one cell a link, too).

    `selected(row)` and `on_select(row)` put a checkbox before each row, called by `name(row)`.
    `tall`: scrolls in itself under a sticky head. `bare`: no frame, inside a flush card.
    """

    def row(one: Any) -> rx.Component:
        cells = [rx.el.td(c.cell(one), class_name=c.classes) for c in columns]
        props: dict[str, Any] = {"custom_attrs": {}}
        if selected and on_select:
            called = name(one) if name else ""
            cells.insert(0, _checkbox(selected(one), on_select(one), called))
            props["custom_attrs"]["data-selected"] = selected(one)
        if href:
            props["on_click"] = rx.redirect(href(one))
            props["custom_attrs"]["data-open"] = True
        return rx.el.tr(*cells, key=key(one) if key else one.id, **props)

    heads = [_head(column) for column in columns]
    if selected:
        select = rx.el.th(rx.el.span("Selected", class_name="tb-hidden"), scope="col", width="36px")
        heads.insert(0, select)
    table = rx.el.table(
        rx.el.thead(rx.el.tr(*heads)),
        rx.el.tbody(rx.foreach(rows, row)),
        class_name="tb-table",
        aria_label=label,
    )
    frame = "" if bare else "tb-scroll tb-tall" if tall else "tb-scroll"
    # Focusable: a table wider than the screen is scrolled with the keyboard, too.
    return rx.el.div(
        table,
        class_name=frame,
        tab_index=0,
        role="region",
        aria_label=label,
        style={"overflowX": "auto"} if bare else {},
    )


def _checkbox(checked: Any, on_change: Any, name: Any) -> rx.Component:
    return rx.el.td(
        rx.checkbox(
            checked=checked, on_change=on_change, custom_attrs={"aria-label": f"Select {name}"}
        ),
        on_click=rx.stop_propagation,
    )


def pager(shown: Any, total: Any, first: Any, following: Any) -> rx.Component:
    """How many of how many; `first` and `following` are links, empty where there is none."""
    return rx.el.nav(
        rx.el.span(shown, " of ", total, class_name="tb-num"),
        rx.spacer(),
        rx.cond(first != "", _turn("First page", "chevrons-left", first)),
        rx.cond(following != "", _turn("Next page", "chevron-right", following)),
        class_name="tb-pager",
        aria_label="Pages",
    )


def _turn(label: str, icon: str, href: Any) -> rx.Component:
    return rx.link(rx.icon(icon, size=14), label, href=href, class_name="tb-chip", underline="none")


def chip(label: Any, href: Any, active: Any, count: Any = None) -> rx.Component:
    """A filter as a link; pressed where it is what is shown."""
    return rx.link(
        label,
        *([rx.el.span(count, class_name="tb-num")] if count is not None else []),
        href=href,
        class_name="tb-chip",
        underline="none",
        custom_attrs={"aria-current": rx.cond(active, "true", "false")},
    )


def tabs(
    items: Sequence[tuple[str, str]], current: Any, href: Callable[[str], Any]
) -> rx.Component:
    """Tabs as links; `items` are (key, label), `href(key)` where a tab leads."""
    return rx.el.nav(
        *(
            rx.link(
                label,
                href=href(key),
                underline="none",
                custom_attrs={"aria-current": rx.cond(current == key, "page", "false")},
            )
            for key, label in items
        ),
        class_name="tb-tabs",
        aria_label="Sections",
    )


def search_box(value: Any, on_change: Any, label: str = "Search") -> rx.Component:
    """A filter by text; asks 250 ms after the last key."""
    return rx.box(
        rx.debounce_input(
            rx.input(
                rx.input.slot(rx.icon("search", size=14)),
                value=value,
                on_change=on_change,
                placeholder=label,
                aria_label=label,
                type="search",
                size="2",
                max_length=200,
            ),
            debounce_timeout=250,
        ),
        width=["100%", "100%", "240px"],
    )
