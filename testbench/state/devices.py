"""The fleet: a window of it, filtered and sorted by the address, live; registering; bulk acts."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import reflex as rx
from pydantic import ValidationError

from testbench.domain.devices import KINDS, STATES, State
from testbench.domain.errors import BenchError, Conflict, Invalid, NotFound
from testbench.services import devices, fleet
from testbench.services.devices import DevicePatch, DeviceView, NewDevice
from testbench.services.fleet import SORTS, Sort
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.views import ViewState, faults, first_error

PAGE = 50
DIGITS = 5
FIRST = ("temp", "temperature", "power", "hashRate", "humidity", "voltage", "current", "pressure")
"""Metrics that make good key figures, best first."""
ALL = ""


@dataclass(frozen=True)
class DeviceRow:
    """What seldom changes of a device; `i` is its place in `DevicesState.now`."""

    i: int
    id: str
    name: str
    kind: str
    tags: list[str]
    metrics: list[str]
    units: list[str]
    selected: bool


def key_metrics(latest: Mapping[str, Mapping[str, Any]], count: int = 2) -> list[str]:
    """The metrics that say most about a device, numbers only."""
    numeric = [m for m, found in latest.items() if type(found["value"]) in (int, float)]
    known = [metric for metric in FIRST if metric in numeric]
    return (known + sorted(set(numeric) - set(known)))[:count]


def short(value: Any) -> Any:
    """A number with as many digits as are shown."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def figures_now(device: DeviceView, metrics: Sequence[str]) -> list[Any]:
    """What changes all the time: state, online, last seen in ms, then the key figures."""
    seen = device.last_seen.timestamp() * 1000 if device.last_seen else None
    values = [short(device.latest.get(metric, {}).get("value")) for metric in metrics]
    return [device.state, device.online, seen and round(seen), *values]


def split_tags(text: str) -> list[str]:
    """`a, b` as a list, each once."""
    return list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


class DevicesState(ViewState, rx.State):
    """What the table shows now."""

    rows: list[DeviceRow] = []
    now: list[list[Any]] = []
    """By row: what `figures_now` says."""
    counts: dict[str, int] = {}
    total: int = 0
    everything: int = 0
    shown: str = ""
    first_link: str = ""
    next_link: str = ""

    state: str = ""
    tag: str = ""
    kind: str = ""
    q: str = ""
    filtered: bool = False
    sort_links: dict[str, str] = {}
    sorted_by: dict[str, str] = {}
    state_links: dict[str, str] = {}
    untagged_link: str = ""
    selected: list[str] = []

    registering: bool = False
    saving: bool = False
    form_errors: dict[str, str] = {}
    new_id: str = ""
    new_name: str = ""
    new_token: str = ""

    tagging: bool = False
    working: bool = False

    _sort: str = "name"
    _descending: bool = False
    _offset: int = 0
    _watched: list[str] = []

    @rx.event
    @guarded()
    async def load(self):
        self._read_address()
        self._watch(anew=True)
        async with self._loading():
            await self._read()

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

    def _read_address(self) -> None:
        query = self._query()
        state, kind = query.get("state", ""), query.get("kind", "")
        self.state = state if state in STATES else ""
        self.kind = kind if kind in KINDS else ""
        self.tag, self.q = query.get("tag", "")[:200], query.get("q", "")[:200]
        sort = query.get("sort", "name")
        self._sort, self._descending = sort.lstrip("-"), sort.startswith("-")
        if self._sort not in SORTS:
            self._sort, self._descending = "name", False
        offset = query.get("offset", "")
        self._offset = int(offset) if offset.isdecimal() and len(offset) < 9 else 0
        self.selected = [one for one in query.get("selected", "").split(",") if one][:PAGE]
        self.filtered = any((self.state, self.kind, self.tag, self.q))
        self._make_links()

    def _make_links(self) -> None:
        self.sort_links = {
            name: self._link(sort=self._next_sort(name), offset=None, selected=None)
            for name in SORTS
        }
        self.sorted_by = {self._sort: "desc" if self._descending else "asc"}
        self.state_links = {
            name: self._link(state=name, offset=None, selected=None) for name in (ALL, *STATES)
        }
        self.untagged_link = self._link(tag=None, offset=None, selected=None)

    def _next_sort(self, name: str) -> str:
        return f"-{name}" if name == self._sort and not self._descending else name

    async def _read(self) -> None:
        found = await call(
            fleet.table,
            state=cast(State, self.state) or None,
            tag=self.tag or None,
            q=self.q or None,
            kind=self.kind or None,
            sort=cast(Sort, self._sort),
            descending=self._descending,
            offset=self._offset,
            limit=PAGE,
        )
        rows = [self._row(i, device) for i, device in enumerate(found.items)]
        self._show(rows=rows)
        self.now = [
            figures_now(device, row.metrics) for device, row in zip(found.items, rows, strict=True)
        ]
        self.counts = found.counts.model_dump()
        self.everything = sum(self.counts.values())
        self.total = found.total
        last = self._offset + len(rows)
        self.shown = f"{self._offset + 1}–{last}" if rows else "0"
        self.first_link = self._link(offset=None, selected=None) if self._offset else ""
        more = last < found.total
        self.next_link = self._link(offset=last, selected=None) if more else ""
        self._watch()

    def _watch(self, *, anew: bool = False) -> None:
        shown = [row.id for row in self.rows]
        if anew or shown != self._watched:
            self._watched = shown
            live.watch(self, {"devices": None})
            live.watch_too(self, {"telemetry": shown}, DevicesState.refresh_figures, every_s=1.0)

    def _row(self, i: int, device: DeviceView) -> DeviceRow:
        metrics = key_metrics(device.latest)
        id = str(device.id)
        return DeviceRow(
            i=i,
            id=id,
            name=device.name,
            kind=device.kind,
            tags=device.tags,
            metrics=metrics,
            units=[device.latest[metric].get("unit") or "" for metric in metrics],
            selected=id in self.selected,
        )

    # --- filters

    @rx.event
    @guarded()
    async def search(self, text: str):
        link = self._link(q=text.strip()[:200], offset=None, selected=None)
        return rx.redirect(link, replace=True)

    @rx.event
    @guarded()
    async def choose_kind(self, kind: str):
        return rx.redirect(self._link(kind=kind, offset=None, selected=None))

    # --- selection

    @rx.event
    @guarded()
    async def select(self, device_id: str):
        """Into the selection or out of it; the address follows without loading anew."""
        chosen = set(self.selected) ^ {device_id}
        return self._choose([row.id for row in self.rows if row.id in chosen])

    @rx.event
    @guarded()
    async def select_page(self):
        return self._choose([row.id for row in self.rows])

    @rx.event
    @guarded()
    async def select_none(self):
        return self._choose([])

    def _choose(self, ids: list[str]) -> Any:
        self.selected = ids
        self.rows = [DeviceRow(**{**vars(row), "selected": row.id in ids}) for row in self.rows]
        address = rx.Var.create(self._link(selected=",".join(ids)))
        return rx.run_script(f"history.replaceState(history.state, '', {address!s})")

    @rx.event
    @guarded("engineer")
    async def hold(self, on: bool):
        """Maintenance for the selection, or its end."""
        self.working = True
        yield
        patch = DevicePatch(maintenance=on)
        done, refused = await self._change_selected(lambda _: patch)
        yield self._tell(done, refused, "in maintenance" if on else "out of maintenance")

    @rx.event
    @guarded("engineer")
    async def add_tags(self, form: dict[str, Any]):
        """Tags for every device of the selection, beside those it has."""
        tags = split_tags(str(form.get("tags", "")))
        if not tags:
            self.form_errors = {"tags": "give at least one"}
            yield first_error()
            return
        self.working = True
        yield
        had = {row.id: row.tags for row in self.rows}
        done, refused = await self._change_selected(
            lambda id: DevicePatch(tags=list(dict.fromkeys([*had.get(id, []), *tags])))
        )
        self.tagging = False
        yield self._tell(done, refused, "tagged")

    async def _change_selected(self, patch_of: Any) -> tuple[int, list[str]]:
        """Each in its own transaction: what is refused for one does not hold up the others."""
        done, refused = 0, []
        try:
            for id in self.selected:
                try:
                    await call(devices.change, id, patch_of(id))
                    done += 1
                except (Conflict, Invalid, NotFound) as error:
                    refused.append(error.detail)
        finally:
            self.working = False
        await self._read()
        return done, refused

    def _tell(self, done: int, refused: list[str], what: str) -> Any:
        noun = "device is" if done == 1 else "devices are"
        text = f"{done} {noun} {what}."
        if refused:
            return rx.toast.error(f"{text} Refused: {refused[0]}")
        return rx.toast.success(text)

    @rx.event
    @guarded("engineer")
    async def open_tagging(self, is_open: bool):
        self.tagging = is_open
        self.form_errors = {}

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


def _new_device(form: Mapping[str, Any]) -> NewDevice:
    given = {key: str(form.get(key, "")).strip() for key in ("name", "kind", "ip", "mac")}
    kept = {key: text for key, text in given.items() if text or key == "name"}
    return NewDevice.model_validate({**kept, "tags": split_tags(str(form.get("tags", "")))})
