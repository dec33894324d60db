"""The list of runs: filtered, sorted and paged by the address, live while it is shown."""

from dataclasses import dataclass
from typing import cast

import reflex as rx

from testbench.domain.runs import OUTCOMES, Status
from testbench.services import choices
from testbench.services.runs import summaries
from testbench.services.runs.summaries import SORTS, RunSummary, Sort
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.views import ViewState

PAGE = 50
STATUSES: tuple[Status | str, ...] = ("active", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class RunRow:
    """A run as the table shows it; times as RFC 3339 text."""

    id: str
    number: int
    name: str
    status: str
    outcome: str
    progress: float
    test_case: str
    environment: str
    devices: str
    queued_at: str
    window_end: str
    seconds: float | None
    reason: str


def row_of(run: RunSummary) -> RunRow:
    """A summary as a row."""
    ended, began = run.ended_at, run.started_at
    return RunRow(
        id=str(run.id),
        number=run.number,
        name=run.name,
        status=run.status,
        outcome=run.outcome or "",
        progress=run.progress,
        test_case=run.test_case,
        environment=run.environment or "",
        devices=_devices([device.name for device in run.devices]),
        queued_at=run.queued_at.isoformat(),
        window_end=run.window_end.isoformat() if run.window_end else "",
        seconds=(ended - began).total_seconds() if ended and began else None,
        reason=run.reason or "",
    )


def _devices(names: list[str]) -> str:
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "") if names else ""


class RunsState(ViewState, rx.State):
    """What the table shows now."""

    rows: list[RunRow] = []
    total: int = 0
    shown: str = ""
    first_link: str = ""
    next_link: str = ""

    status: str = ""
    outcome: str = ""
    device: str = ""
    case: str = ""
    q: str = ""
    sort: str = "number"
    descending: bool = True
    filtered: bool = False
    sort_links: dict[str, str] = {}
    status_links: dict[str, str] = {}
    outcome_links: dict[str, str] = {}
    devices: list[list[str]] = []
    cases: list[list[str]] = []

    chosen: list[str] = []
    _offset: int = 0

    @rx.event
    @guarded()
    async def load(self):
        self._read_address()
        live.watch(self, {"runs": None}, every_s=0.5)
        async with self._loading():
            await self._read()
            self.devices = options(await call(choices.named_devices))
            self.cases = options(await call(choices.named_test_cases))

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    def _read_address(self) -> None:
        query = self._query()
        self.status = query.get("status", "")
        self.outcome = query.get("outcome", "")
        self.device, self.case = query.get("device", ""), query.get("case", "")
        self.q = query.get("q", "")[:200]
        sort = query.get("sort", "-number")
        self.sort, self.descending = sort.lstrip("-"), sort.startswith("-")
        if self.sort not in SORTS:
            self.sort, self.descending = "number", True
        offset = query.get("offset", "")
        self._offset = int(offset) if offset.isdecimal() and len(offset) < 9 else 0
        self.filtered = any((self.status, self.outcome, self.device, self.case, self.q))
        self._make_links()

    def _make_links(self) -> None:
        self.sort_links = {
            name: self._link(sort=self._next_sort(name), offset=None) for name in SORTS
        }
        self.status_links = {
            name: self._link(status=name, outcome=None, offset=None) for name in ("", *STATUSES)
        }
        self.outcome_links = {
            name: self._link(outcome=name, status=None, offset=None) for name in OUTCOMES
        }

    def _next_sort(self, name: str) -> str:
        return name if name == self.sort and self.descending else f"-{name}"

    async def _read(self) -> None:
        found = await call(
            summaries.table,
            status=self.status or None,
            outcome=self.outcome or None,
            device_id=self.device or None,
            test_case_id=self.case or None,
            q=self.q or None,
            sort=cast(Sort, self.sort),
            descending=self.descending,
            offset=self._offset,
            limit=PAGE,
        )
        self.rows = [row_of(run) for run in found.items]
        self.total = found.total
        last = self._offset + len(self.rows)
        self.shown = f"{self._offset + 1}–{last}" if self.rows else "0"
        self.first_link = self._link(offset=None) if self._offset else ""
        self.next_link = self._link(offset=last) if last < found.total else ""

    @rx.event
    @guarded()
    async def search(self, text: str):
        return rx.redirect(self._link(q=text.strip()[:200], offset=None), replace=True)

    @rx.event
    @guarded()
    async def filter_device(self, device_id: str):
        return rx.redirect(self._link(device=device_id, offset=None))

    @rx.event
    @guarded()
    async def filter_case(self, test_case_id: str):
        return rx.redirect(self._link(case=test_case_id, offset=None))

    @rx.event
    @guarded()
    async def choose(self, run_id: str):
        """At most two: the third takes the place of the first."""
        if run_id in self.chosen:
            self.chosen = [one for one in self.chosen if one != run_id]
        else:
            self.chosen = sorted([*self.chosen, run_id][-2:])

    @rx.event
    @guarded()
    async def choose_none(self):
        self.chosen = []


def options(found: list[choices.Choice]) -> list[list[str]]:
    """Choices as a select takes them."""
    return [[str(one.id), one.name] for one in found]
