"""One run: live while it goes on, then why it came out as it did."""

import time

import reflex as rx

from testbench.services import charts, runs
from testbench.services.runs import RunView
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.run.views import (
    EVENTS,
    Cell,
    ChartView,
    DevicePart,
    Line,
    RunFacts,
    VerdictRow,
    age_s,
    deciding,
    detail_of,
    facts_of,
    part_of,
    row_of,
    rows_of,
    view_of,
)
from testbench.state.views import ViewState

__all__ = ["Cell", "ChartView", "DevicePart", "RunState", "VerdictRow", "row_of", "view_of"]

OPEN_LIVE = 6
CELLS_PER_S = 500
"""A large grid is drawn anew less often."""
POINTS_LIVE = 120
REDRAW = 1800
"""After an hour a chart is drawn anew every 2 s, after a day every 48 s: it changes as slowly."""


class RunState(ViewState, rx.State):
    """What the page shows of the run its address names."""

    run: RunFacts = RunFacts()
    heads: list[str] = []
    devices: list[DevicePart] = []
    device: str = ""
    device_name: str = ""
    criterion: str = ""
    verdicts: list[VerdictRow] = []
    charts: list[ChartView] = []
    timeline: list[Line] = []
    asking: bool = False
    _rows: dict[str, list[VerdictRow]] = {}
    _draw_at: float = 0.0
    _closed: list[str] = []
    _opened: list[str] = []
    _id: str = ""

    @rx.event
    @guarded()
    async def load(self):
        query, run_id = self._query(), self.router.url.path.rstrip("/").rpartition("/")[2]
        if run_id != self._id:
            self.reset()
            self._id = run_id
        self.device, self.criterion = query.get("device", ""), query.get("criterion", "")
        self.asking = False
        live.unwatch(self)
        async with self._loading():
            await self._read()
            ids = [part.id for part in self.devices]
            often = max(1.0, len(ids) * len(self.heads) / CELLS_PER_S)
            live.watch(self, {"runs": {self.run.id}, "telemetry": ids}, every_s=often)

    @rx.event
    @guarded()
    async def refresh(self):
        going = self.run.going
        if not going:
            live.unwatch(self)
            return
        await self._read(redraw=time.monotonic() >= self._draw_at)
        if not self.run.going:
            self._closed, self._opened, self.device, self.criterion = [], [], "", ""
            await self._read()

    async def _read(self, redraw: bool = True) -> None:
        run = await call(runs.get, self._id)
        self.run = facts_of(run)
        self.timeline = [
            Line(line.at.isoformat(), EVENTS.get(line.event, line.event), detail_of(line))
            for line in run.timeline
        ]
        self.heads = [str(criterion["name"]) for criterion in run.test_case.get("criteria", [])]
        self._rows = {str(part.device_id): rows_of(part, self.heads) for part in run.devices}
        self.devices = [part_of(part, self._rows[str(part.device_id)]) for part in run.devices]
        self._select()
        if redraw:
            await self._draw(run)
            self._draw_at = time.monotonic() + age_s(run) / REDRAW

    def _select(self) -> None:
        """What the address names, else what decided: the first that failed of the worst device."""
        parts = {part.id: part for part in self.devices}
        part = parts.get(self.device) or self._worst()
        if part is None:
            return
        self.device, self.device_name = part.id, part.name
        self.verdicts = self._rows[part.id]
        if self.criterion not in self.heads:
            self.criterion = ""

    def _worst(self) -> DevicePart | None:
        decided = [part for part in self.devices if deciding(self._rows[part.id])]
        return (decided or self.devices or [None])[0]

    def _is_open(self, name: str, position: int) -> bool:
        if name in self._opened:
            return True
        if name in self._closed:
            return False
        if self.run.going:
            return position < OPEN_LIVE
        return name == (self.criterion or deciding(self.verdicts))

    async def _draw(self, run: RunView) -> None:
        if not self.device or run.window_start is None:
            self.charts = []
            return
        points = {"max_points": POINTS_LIVE} if self.run.going else {}
        found = await call(charts.of_run, run.id, self.device, attempt_s=4, **points)
        self.charts = [
            view_of(chart, self._is_open(chart.criterion, position))
            for position, chart in enumerate(found)
        ]

    @rx.event
    @guarded()
    async def choose(self, device_id: str, criterion: str):
        """A cell of the grid."""
        self._closed, self._opened = [], []
        return rx.redirect(self._link(device=device_id, criterion=criterion), replace=True)

    @rx.event
    @guarded()
    async def toggle(self, criterion: str):
        """Open or close one chart."""
        opened = any(chart.open for chart in self.charts if chart.name == criterion)
        self._opened = [name for name in self._opened if name != criterion]
        self._closed = [name for name in self._closed if name != criterion]
        (self._closed if opened else self._opened).append(criterion)
        await self._read()

    @rx.event
    @guarded()
    async def ask(self, asking: bool):
        self.asking = asking

    @rx.event
    @guarded("engineer")
    async def cancel(self):
        """A person stops the run."""
        self.asking = False
        await call(runs.cancel, self._id)
        await self._read()
        return rx.toast.success("The run is cancelled.")
