"""Tables whose rows, order and filter come from the server; all three live in the URL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import reflex as rx

ROW_PX = 40
"""Of a table of which the server sends a window; the style sheet has it, too."""


@dataclass(frozen=True)
class Column:
    """One column: how its head reads and how a row's cell is drawn.

    `sort`: link that sorts by it, and `sorted_by` which way it is sorted now ("", "asc", "desc");
    `on_sort`: what a plain click on the link does instead.
    `wide`: left out on phones. `shown`: a Var, where a person may hide it.
    """

    label: str
    cell: Callable[[Any], Any]
    sort: Any = None
    on_sort: Any = None
    sorted_by: Any = ""
    right: bool = False
    wide: bool = False
    width: str = ""
    shown: Any = None

    @property
    def classes(self) -> str:
        return " ".join(
            name for name, used in (("tb-right", self.right), ("tb-wide", self.wide)) if used
        )

    def show(self, cell: rx.Component) -> rx.Component:
        """The cell, where the column is shown."""
        return cell if self.shown is None else rx.cond(self.shown, cell)


@dataclass(frozen=True)
class Window:
    """The rows of a long table that the server has sent: all of one height, the rest is space.

    `offset`: place of the first row among `total`. `top`: where to scroll to whenever `turn`
    changes. `on_move(first, count)` is asked for other rows.
    """

    offset: Any
    count: Any
    total: Any
    top: Any
    turn: Any
    on_move: Any

    def space(self, rows: Any) -> rx.Component:
        """What takes the place of so many rows."""
        cell = rx.el.td(rx.el.div(style={"height": f"{rows * ROW_PX}px"}), col_span=100)
        return rx.cond(
            rows > 0, rx.el.tbody(rx.el.tr(cell), aria_hidden=True, class_name="tb-space")
        )


class RowWindow(rx.Component):
    """Watches the box it stands in; see assets/rows.jsx."""

    library = "$/public/rows.jsx"
    tag = "RowWindow"
    offset: rx.Var[int]
    count: rx.Var[int]
    total: rx.Var[int]
    top: rx.Var[int]
    turn: rx.Var[int]
    row_height: rx.Var[int]
    on_move: rx.EventHandler[rx.event.passthrough_event_spec(int, int)]


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
        act = _instead(column.on_sort)
        label = rx.link(column.label, arrow, href=column.sort, underline="none", **act)
        sort = rx.match(column.sorted_by, ("asc", "ascending"), ("desc", "descending"), "none")
        props = {"custom_attrs": {"aria-sort": sort}}
    if not column.label:
        label = rx.el.span("Actions", class_name="tb-hidden")
    style = {"width": column.width} if column.width else {}
    return column.show(
        rx.el.th(label, scope="col", class_name=column.classes, style=style, **props)
    )


class OnReturn(rx.Component):
    """See `on_return`."""

    library = "$/public/rows.jsx"
    tag = "OnReturn"
    on_return: rx.EventHandler[rx.event.no_args_event_spec]


def on_return(event: Any) -> rx.Component:
    """Sends `event` when Back or Forward lead to another address of this page; draws nothing."""
    return OnReturn.create(on_return=event)


def data_table(
    columns: Sequence[Column],
    rows: Any,
    *,
    label: str,
    href: Callable[[Any], Any] | None = None,
    selected: Callable[[Any], Any] | None = None,
    on_select: Callable[[Any], Any] | None = None,
    name: Callable[[Any], Any] | None = None,
    everything: tuple[Any, Any, Any] | None = None,
    key: Callable[[Any], Any] | None = None,
    window: Window | None = None,
    tall: bool = False,
    bare: bool = False,
) -> rx.Component:
    """Rows of a Var list. `href`: a click on the row opens it (give one cell a link, too).

    `selected(row)` and `on_select(row)` put a checkbox before each row, called by `name(row)`;
    `everything` one into the head: whether it is set, what it does, its label.
    `window`: the rows are a part of many more. `tall`: scrolls in itself under a sticky head.
    `bare`: no frame, inside a flush card.
    """

    def row(one: Any, index: Any) -> rx.Component:
        cells = [c.show(rx.el.td(c.cell(one), class_name=c.classes)) for c in columns]
        props: dict[str, Any] = {"custom_attrs": {}}
        if window:
            props["custom_attrs"]["aria-rowindex"] = window.offset + index + 2
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
        heads.insert(0, _select_head(everything))
    head = rx.el.thead(rx.el.tr(*heads, custom_attrs={"aria-rowindex": 1} if window else {}))
    body = rx.el.tbody(rx.foreach(rows, row))
    frame = "" if bare else "tb-scroll tb-tall" if tall or window else "tb-scroll"
    # Focusable: a table wider than the screen is scrolled with the keyboard, too.
    return rx.el.div(
        *([_watcher(window)] if window else []),
        _whole(head, body, label) if window is None else _part(head, body, label, window),
        class_name=f"{frame} tb-windowed" if window else frame,
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


def _select_head(everything: tuple[Any, Any, Any] | None) -> rx.Component:
    box = rx.el.span("Selected", class_name="tb-hidden")
    if everything is not None:
        checked, on_change, label = everything
        attrs = {"aria-label": label, "title": label}
        box = rx.checkbox(checked=checked, on_change=on_change, custom_attrs=attrs)
    return rx.el.th(box, scope="col", style={"width": "40px"})


def _whole(head: rx.Component, body: rx.Component, label: str) -> rx.Component:
    return rx.el.table(head, body, class_name="tb-table", aria_label=label)


def _part(head: rx.Component, body: rx.Component, label: str, window: Window) -> rx.Component:
    return rx.el.table(
        head,
        window.space(window.offset),
        body,
        window.space(window.total - window.offset - window.count),
        class_name="tb-table",
        aria_label=label,
        custom_attrs={"aria-rowcount": window.total + 1},
    )


def _watcher(window: Window) -> rx.Component:
    return RowWindow.create(
        offset=window.offset,
        count=window.count,
        total=window.total,
        top=window.top,
        turn=window.turn,
        row_height=ROW_PX,
        on_move=window.on_move,
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


def _instead(on_click: Any) -> dict[str, Any]:
    """Properties of a link whose click is an event."""
    return {} if on_click is None else {"on_click": on_click.prevent_default}


def chip(
    label: Any, href: Any, active: Any, count: Any = None, on_click: Any = None
) -> rx.Component:
    """A filter as a link; pressed where it is what is shown. `on_click`: instead of the link."""
    return rx.link(
        label,
        *([rx.el.span(count, class_name="tb-num")] if count is not None else []),
        href=href,
        class_name="tb-chip",
        underline="none",
        custom_attrs={"aria-current": rx.cond(active, "true", "false")},
        **_instead(on_click),
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


def quick_search(value: Any, on_change: Any, label: str, key: Any) -> rx.Component:
    """A filter by text that answers while one types; `value` counts anew when `key` changes."""
    return rx.box(
        rx.input(
            rx.input.slot(rx.icon("search", size=14)),
            default_value=value,
            key=key,
            on_change=on_change,
            placeholder=label,
            aria_label=label,
            type="search",
            size="2",
            max_length=200,
        ),
        width=["100%", "100%", "240px"],
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
