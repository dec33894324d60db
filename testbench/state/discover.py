"""The discover page: the search that is under way, what it has found, what is chosen of it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import reflex as rx

from testbench.domain.discovery import Filters
from testbench.domain.errors import BenchError, Conflict
from testbench.services import discovery
from testbench.services.discovery import Candidate
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.views import ViewState

PAGE = 100
REFRESH_S = 0.5


@dataclass(frozen=True)
class FoundRow:
    """A device that answered; `device_id` is empty where the bench does not have it."""

    mac: str
    ip: str
    hostname: str
    model: str
    firmware: str
    device_id: str
    device_name: str
    selected: bool


class DiscoverState(ViewState, rx.State):
    """What the last search found, a window of it; and how far one is that is under way."""

    configured: bool = True
    service: bool = False
    networks: str = ""
    ports: str = ""
    searched_at: str = ""

    searching: bool = False
    asked: int = 0
    to_ask: int = 0
    answered: int = 0
    share: float = 0
    fault: str = ""
    """Why the last search of this tab came to nothing."""

    rows: list[FoundRow] = []
    total: int = 0
    new: int = 0
    shown: str = ""
    first_link: str = ""
    next_link: str = ""
    q: str = ""

    chosen: int = 0
    monitored: bool = True
    working: bool = False
    done: str = ""
    """What was imprinted last, in words."""

    _chosen: set[str] = set()
    _offset: int = 0

    @rx.event
    @guarded()
    async def load(self):
        query = self._query()
        self.q = query.get("q", "")[:200]
        offset = query.get("offset", "")
        self._offset = int(offset) if offset.isdecimal() and len(offset) < 9 else 0
        live.watch(self, {"discovery": None, "devices": None}, every_s=REFRESH_S)
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        place = await asyncio.to_thread(discovery.place, actor())
        search = place.search
        self._show(
            configured=place.configured,
            service=place.service,
            networks=", ".join(place.networks),
            ports=_ranges(place.ports),
            searching=search is not None,
            asked=search.asked if search else 0,
            to_ask=search.total if search else 0,
            answered=search.found if search else 0,
            share=search.asked / search.total if search and search.total else 0.0,
            searched_at=place.completed_at.isoformat() if place.completed_at else "",
        )
        await self._read_rows(search.began if search else None)

    async def _read_rows(self, since: datetime | None) -> None:
        found = await call(
            discovery.candidates, q=self.q, since=since, offset=self._offset, limit=PAGE
        )
        last = self._offset + len(found.items)
        self._show(
            rows=[self._row(one) for one in found.items],
            total=found.total,
            new=found.new,
            shown=f"{self._offset + 1}–{last}" if found.items else "0",
            first_link=self._link(offset=None) if self._offset else "",
            next_link=self._link(offset=last) if last < found.total else "",
        )

    def _row(self, one: Candidate) -> FoundRow:
        return FoundRow(
            mac=one.mac,
            ip=one.ip,
            hostname=one.hostname or "",
            model=one.model or "",
            firmware=one.firmware or "",
            device_id=str(one.device_id or ""),
            device_name=one.device_name or "",
            selected=one.mac in self._chosen,
        )

    @rx.event
    @guarded()
    async def filter(self, text: str):
        return rx.redirect(self._link(q=text.strip()[:200], offset=None), replace=True)

    # --- searching

    @rx.event(background=True)
    @guarded("engineer")
    async def search(self):
        """Ask the network; the page follows by the bus, here and wherever it is open."""
        async with self:
            self.searching, self.share, self.fault, self.done = True, 0.0, "", ""
            self.asked = self.to_ask = self.answered = 0
        fault = ""
        try:
            await asyncio.to_thread(discovery.discover, actor(), Filters())
        except Conflict:
            fault = "The search was called off. What had answered until then is kept."
        except BenchError as error:
            fault = error.detail
        async with self:
            self.fault = fault
            await self._read()
        return None if fault else rx.toast.success(f"Search done: {self._answers()}.")

    def _answers(self) -> str:
        devices = f"{self.total} device" + ("" if self.total == 1 else "s")
        return f"{devices} found, {self.new} new" if self.total else "nothing found"

    @rx.event
    @guarded("engineer")
    async def call_off(self):
        await asyncio.to_thread(discovery.call_off, actor())
        return rx.toast.info("The search stops.")

    # --- choosing

    @rx.event
    @guarded()
    async def select(self, mac: str):
        """Into the selection or out of it."""
        self._choose(self._chosen ^ {mac})

    @rx.event
    @guarded()
    async def select_new(self):
        """All that match and that the bench does not have, on other pages of the list too."""
        self._choose(set(await call(discovery.unimprinted, q=self.q)))

    @rx.event
    @guarded()
    async def select_all(self):
        self._choose(set(await call(discovery.unimprinted, q=self.q, known=True)))

    @rx.event
    @guarded()
    async def select_none(self):
        self._choose(set())

    def _choose(self, macs: set[str]) -> None:
        self._chosen, self.chosen = macs, len(macs)
        rows = [FoundRow(**{**vars(row), "selected": row.mac in macs}) for row in self.rows]
        self._show(rows=rows)

    # --- imprinting

    @rx.event
    @guarded("engineer")
    async def set_monitored(self, on: bool):
        self.monitored = on

    @rx.event
    @guarded("engineer")
    async def imprint(self):
        """Make devices of what is chosen."""
        self.working, self.done = True, ""
        yield
        try:
            made = await asyncio.to_thread(
                discovery.imprint, actor(), sorted(self._chosen), monitored=self.monitored
            )
        finally:
            self.working = False
        self.done = _imprinted(len(made), monitored=self.monitored)
        self._choose(set())
        await self._read()
        yield rx.toast.success(self.done)


def _imprinted(count: int, *, monitored: bool) -> str:
    text = "1 device is imprinted" if count == 1 else f"{count} devices are imprinted"
    return f"{text} and monitored." if monitored else f"{text}."


def _ranges(ports: list[int]) -> str:
    """`80, 8080–8090` of every port by itself."""
    spans: list[list[int]] = []
    for port in sorted(ports):
        if spans and port == spans[-1][1] + 1:
            spans[-1][1] = port
        else:
            spans.append([port, port])
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in spans)
