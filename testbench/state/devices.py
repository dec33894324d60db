"""The fleet: a window of its rows, filtered and sorted by the address, live; registering."""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

import reflex as rx
from pydantic import ValidationError

from testbench.domain.devices import KIND_WORDS, KINDS, STATES, State
from testbench.domain.errors import BenchError
from testbench.domain.metrics.words import KEY_FIGURES
from testbench.services import devices, fleet
from testbench.services.devices import DeviceView, NewDevice
from testbench.services.fleet import COLUMNS, SORTS, Sort
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.selections import Selecting, split_tags
from testbench.state.views import ViewState, faults, first_error

ROWS, MAX_ROWS = 50, 150
"""Of the window, at first and at most."""
ABOVE = 15
"""Rows above the first one that is asked for."""
MAX_IN_ADDRESS = 50
MANY = "many"
"""Stands in the address for a selection that does not fit there."""
DIGITS = 5
ALL = ""


@dataclass(frozen=True)
class DeviceRow:
    """What seldom changes of a device; `i` is its place in the other lists of `DevicesState`.

    What belongs to a column that is hidden is empty.
    """

    i: int
    id: str
    name: str
    kind: str
    ip: str
    mac: str
    hostname: str
    model: str
    firmware: str
    tags: list[str]
    metrics: list[str]
    units: list[str]


def key_metrics(latest: Mapping[str, Mapping[str, Any]], count: int = 2) -> list[str]:
    """The metrics that say most about a device, numbers only."""
    numeric = [m for m, found in latest.items() if type(found["value"]) in (int, float)]
    known = [metric for metric in KEY_FIGURES if metric in numeric]
    return (known + sorted(set(numeric) - set(known)))[:count]


def short(value: Any) -> Any:
    """A number with as many digits as are shown."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def figures_now(device: DeviceView, metrics: Sequence[str]) -> list[Any]:
    """What changes all the time: state, online, last seen in ms, run; then each key figure.

    Of each its value, and its time in ms where it is older than the device may be silent, else 0.
    """
    seen = device.last_seen.timestamp() * 1000 if device.last_seen else None
    shown: list[Any] = [
        device.state,
        device.online,
        seen and round(seen),
        str(device.run_id or ""),
    ]
    for metric in metrics:
        found = device.latest.get(metric, {})
        shown += [short(found.get("value")), old(found.get("at"), device.offline_after_s)]
    return shown


def old(moment: datetime | None, after_s: float) -> int:
    """The time in ms of what is older than the device may be silent, else 0."""
    if moment is None or (datetime.now(UTC) - moment).total_seconds() <= after_s:
        return 0
    return round(moment.timestamp() * 1000)


class DevicesState(Selecting, ViewState, rx.State):
    """What the table shows now."""

    rows: list[DeviceRow] = []
    now: list[list[Any]] = []
    """By row: what `figures_now` says."""
    sparks: list[list[str]] = []
    """By row: the path of each key figure's last minutes."""
    marks: list[bool] = []
    """By row: whether it is selected."""
    offset: int = 0
    """Place of the first row among all that match."""
    top: int = 0
    turn: int = 0
    """Rises with each view of the fleet, which begins at the row `top`."""
    counts: dict[str, int] = {}
    total: int = 0
    everything: int = 0

    state: str = ""
    tag: str = ""
    kind: str = ""
    q: str = ""
    q_key: int = 0
    """Rises when the address says another `q` than was typed."""
    filtered: bool = False
    sort_links: dict[str, str] = {}
    sorted_by: dict[str, str] = {}
    state_links: dict[str, str] = {}
    untagged_link: str = ""
    columns: dict[str, bool] = {}

    registering: bool = False
    saving: bool = False
    new_id: str = ""
    new_name: str = ""
    new_token: str = ""

    _sort: str = "name"
    _descending: bool = False
    _count: int = ROWS
    _watched: list[str] = []

    @rx.event
    @guarded()
    async def load(self):
        self.asking = ""  # what was asked before a reload is not asked again
        self._read_address()
        self._watch(anew=True)
        async with self._loading():
            if not self.columns:
                self._show_columns(await call(fleet.columns))
            await self._read()
        self.turn += 1
        return DevicesState.draw

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    @rx.event
    @guarded()
    async def refresh_figures(self):
        """The rows that are shown, their figures alone."""
        found = await call(fleet.some, [uuid.UUID(row.id) for row in self.rows])
        shown = [(str(device.id), key_metrics(device.latest)) for device in found]
        if shown != [(row.id, row.metrics) for row in self.rows]:
            await self._read()
            return
        self.now = [
            figures_now(device, row.metrics) for device, row in zip(found, self.rows, strict=True)
        ]

    @rx.event
    @guarded()
    async def move(self, first: int, count: int):
        """Other rows: the table was scrolled there."""
        self.offset = max(0, int(first))
        self._count = max(ROWS, min(MAX_ROWS, int(count)))
        await self._read()
        return DevicesState.draw

    @rx.event
    @guarded()
    async def draw(self):
        """The sparklines of the rows; after them, for their readings are many."""
        wanted = [(uuid.UUID(row.id), metric) for row in self.rows for metric in row.metrics]
        await call(fleet.sparklines, wanted)
        self._show(sparks=self._known_sparks())

    def _known_sparks(self) -> list[list[str]]:
        return [
            [fleet.known_sparkline(uuid.UUID(row.id), metric) for metric in row.metrics]
            for row in self.rows
        ]

    def _read_address(self) -> None:
        query = self._query()
        state, kind = query.get("state", ""), query.get("kind", "")
        self.state = state if state in STATES else ""
        self.kind = kind if kind in KINDS else ""
        self.tag = query.get("tag", "")[:200]
        if self.q != query.get("q", "")[:200]:
            self.q = query.get("q", "")[:200]
            self.q_key += 1
        sort = query.get("sort", "name")
        self._sort, self._descending = sort.lstrip("-"), sort.startswith("-")
        if self._sort not in SORTS:
            self._sort, self._descending = "name", False
        offset = query.get("offset", "")
        self.top = int(offset) if offset.isdecimal() and len(offset) < 9 else 0
        self.offset = max(0, self.top - ABOVE)
        self._read_selection(query.get("selected", ""))
        self._make_links()

    def _read_selection(self, text: str) -> None:
        if text != MANY:
            self._selected = {one for one in text.split(",")[:MAX_IN_ADDRESS] if _is_id(one)}
        self.selected_count = len(self._selected)

    def _make_links(self) -> None:
        """For those who open them in another tab; a plain click is an event, which is sooner."""
        self.filtered = any((self.state, self.kind, self.tag, self.q))
        self.sort_links = {name: self._address(sort=self._next_sort(name)) for name in SORTS}
        self.sorted_by = {self._sort: "desc" if self._descending else "asc"}
        self.state_links = {name: self._address(state=name, selected="") for name in (ALL, *STATES)}
        self.untagged_link = self._address(tag="", selected="")

    def _next_sort(self, name: str) -> str:
        return f"-{name}" if name == self._sort and not self._descending else name

    def _address(self, **changes: str) -> str:
        """This view of the fleet as an address; the browser itself puts the first row into it."""
        sort = f"-{self._sort}" if self._descending else self._sort
        parts = {
            "tag": self.tag,
            "kind": self.kind,
            "q": self.q,
            "state": self.state,
            "sort": "" if sort == "name" else sort,
            "selected": self._selection_in_address(),
        }
        kept = {key: value for key, value in (parts | changes).items() if value}
        return f"/devices?{urlencode(kept)}" if kept else "/devices"

    def _filter(self) -> dict[str, Any]:
        return {
            "state": cast(State, self.state) or None,
            "tag": self.tag or None,
            "q": self.q or None,
            "kind": self.kind or None,
        }

    async def _read(self) -> None:
        found = await self._window()
        if not found.items and found.total:
            self.offset = max(0, found.total - self._count)
            found = await self._window()
        rows = [self._row(i, device) for i, device in enumerate(found.items)]
        self._show(rows=rows, total=found.total, counts=found.counts.model_dump())
        self.now = [
            figures_now(device, row.metrics) for device, row in zip(found.items, rows, strict=True)
        ]
        self._show(everything=sum(self.counts.values()), sparks=self._known_sparks())
        self._mark()
        self._watch()

    async def _window(self) -> fleet.Fleet:
        return await call(
            fleet.table,
            **self._filter(),
            sort=cast(Sort, self._sort),
            descending=self._descending,
            offset=self.offset,
            limit=self._count,
        )

    def _watch(self, *, anew: bool = False) -> None:
        shown = [row.id for row in self.rows]
        if anew or shown != self._watched:
            self._watched = shown
            live.watch(self, {"devices": None})
            live.watch_too(self, {"telemetry": shown}, DevicesState.refresh_figures, every_s=1.0)

    def _row(self, i: int, device: DeviceView) -> DeviceRow:
        metrics = key_metrics(device.latest)
        info = device.info
        texts = {
            "kind": KIND_WORDS[device.kind],
            "ip": device.ip,
            "mac": device.mac,
            "hostname": device.hostname,
            "model": info.get("deviceModel") or info.get("ASICModel"),
            "firmware": info.get("version"),
        }
        return DeviceRow(
            i=i,
            id=str(device.id),
            name=device.name,
            **{key: str(text or "") * self.columns.get(key, True) for key, text in texts.items()},
            tags=device.tags if self.columns.get("tags", True) else [],
            metrics=metrics,
            units=[device.latest[metric].get("unit") or "" for metric in metrics],
        )

    # --- filters

    @rx.event
    @guarded()
    async def search(self, text: str):
        """What is typed; it is no step to go back to."""
        self.q = text.strip()[:200]
        return await self._turn("replaceState")

    @rx.event
    @guarded()
    async def choose_kind(self, kind: str):
        self.kind = kind if kind in KINDS else ""
        return await self._turn()

    @rx.event
    @guarded()
    async def choose_state(self, state: str):
        self.state = state if state in STATES else ""
        return await self._turn()

    @rx.event
    @guarded()
    async def sort_by(self, name: str):
        """By this column; the other way round where it is already."""
        if name in SORTS:
            self._descending = name == self._sort and not self._descending
            self._sort = name
        return await self._turn(keep_selection=True)

    async def _turn(self, how: str = "pushState", *, keep_selection: bool = False) -> list[Any]:
        """Another view of the fleet, from its top: rows first, then the address and sparklines."""
        if not keep_selection:
            self._selected = set()
        self.offset = self.top = 0
        self.turn += 1
        self._make_links()
        await self._read()
        return [_show_address(self._address(), how), DevicesState.draw]

    # --- columns

    @rx.event
    @guarded()
    async def show_column(self, name: str, on: bool):
        """Show a column or hide it; remembered for this person."""
        wanted = [one for one in COLUMNS if (on if one == name else self.columns.get(one))]
        self._show_columns(await call(fleet.keep_columns, wanted))
        await self._read()

    def _show_columns(self, names: Sequence[str]) -> None:
        self.columns = {name: name in names for name in COLUMNS}

    # --- selection

    @rx.event
    @guarded()
    async def select(self, device_id: str):
        """Into the selection or out of it; the address follows without loading anew."""
        return self._choose(self._selected ^ {device_id} if _is_id(device_id) else self._selected)

    @rx.event
    @guarded()
    async def select_all(self, on: bool):
        """Everything that matches, also what is not shown; or nothing."""
        found = await call(fleet.ids, **self._filter()) if on else []
        return self._choose({str(id) for id in found})

    def _choose(self, ids: set[str]) -> Any:
        self._selected = ids
        self._mark()
        self._make_links()
        return _show_address(self._address(), "replaceState", with_offset=True)

    def _mark(self) -> None:
        self._show(
            selected_count=len(self._selected),
            marks=[row.id in self._selected for row in self.rows],
        )

    def _selection_in_address(self) -> str:
        return MANY if len(self._selected) > MAX_IN_ADDRESS else ",".join(sorted(self._selected))

    # --- registering

    @rx.event
    @guarded("engineer")
    async def open_register(self, is_open: bool):
        self.registering = is_open
        self.form_errors = {}
        self.new_id = self.new_name = self.new_token = ""

    @rx.event
    @guarded("engineer")
    async def register(self, form: dict[str, Any]):
        """A new device; its credential is shown this once."""
        self.saving, self.form_errors = True, {}
        yield
        try:
            made = await asyncio.to_thread(devices.register, actor(), _new_device(form))
        except (BenchError, ValidationError) as error:
            self.form_errors = faults(error)
            yield first_error()
        else:
            self.new_id, self.new_name, self.new_token = str(made.id), made.name, made.token
            await self._read()
        finally:
            self.saving = False


def _show_address(address: str, how: str, *, with_offset: bool = False) -> Any:
    """The address bar follows without loading the page anew; Back finds its way all the same."""
    keep = (
        "const row = new URL(location.href).searchParams.get('offset');"
        "if (row) { url.searchParams.set('offset', row); }"
    )
    return rx.run_script(
        f"(() => {{ const url = new URL({json.dumps(address)}, location.href);"
        f"{keep if with_offset else ''}"
        "const step = {...history.state, key: Math.random().toString(36).slice(2, 10)};"
        f"if ('{how}' === 'pushState') {{ step.idx = (step.idx ?? 0) + 1; }}"
        f"history.{how}(step, '', url); }})()"
    )


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _new_device(form: Mapping[str, Any]) -> NewDevice:
    given = {key: str(form.get(key, "")).strip() for key in ("name", "kind", "ip", "mac")}
    kept = {key: text for key, text in given.items() if text or key == "name"}
    return NewDevice.model_validate({**kept, "tags": split_tags(str(form.get("tags", "")))})
