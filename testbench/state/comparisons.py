"""Two runs side by side; which ones is in the address."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from testbench.domain.plots import measured_unit
from testbench.services import charts, comparisons
from testbench.services.charts import Chart
from testbench.services.comparisons import ComparedCriterion, ComparedRun, Comparison
from testbench.services.runs import summaries
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.views import ViewState

RECENT = 100
CHANGES = {
    "verdict": "Verdict",
    "only_a": "Only in A",
    "only_b": "Only in B",
    "limits": "Limits",
    "measured": "Measured",
    "none": "",
}


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    id: str = ""
    title: str = ""
    outcome: str = ""
    headline: str = ""
    case: str = ""
    environment: str = ""
    at: str = ""


@dataclass(frozen=True)
class PairRow:
    """A criterion in both runs; a verdict is empty where a run has none."""

    key: str
    device: str
    name: str
    unit: str
    change: str
    differs: bool
    a_verdict: str
    a_marginal: bool
    a_measured: float | str | bool | None
    b_verdict: str
    b_marginal: bool
    b_measured: float | str | bool | None
    delta: float | None
    relative: str


@dataclass(frozen=True)
class Overlay:
    """A criterion's readings of both runs, in ms since each began."""

    key: str
    title: str
    sentence: str
    series: list[dict[str, Any]]
    end: int
    low: float | None
    high: float | None
    unit: str


class ComparisonState(ViewState, rx.State):
    """What the page shows."""

    runs: list[list[str]] = []
    a: str = ""
    b: str = ""
    left: Side = Side()
    right: Side = Side()
    differences: int = 0
    rows: list[PairRow] = []
    pairs: list[list[str]] = []
    pair: str = "0"
    overlays: list[Overlay] = []
    complete: bool = False

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        query = self._query()
        self.a, self.b = query.get("a", ""), query.get("b", "")
        self.pair = query.get("devices", "0")
        self.complete = False
        async with self._loading():
            recent = await call(summaries.table, limit=RECENT)
            self.runs = [[str(run.id), f"#{run.number} {run.name}"] for run in recent.items]
            if self.b and not self.a:
                earlier = await call(comparisons.partner, self.b)
                self.a = str(earlier) if earlier else ""
            if self.a and self.b:
                await self._read()

    async def _read(self) -> None:
        found = await call(comparisons.compare, self.a, self.b)
        self.left, self.right = _side(found.a), _side(found.b)
        self._offer(found.a, found.b)
        self.differences = found.differences
        self.rows = [_row(row, i) for i, row in enumerate(found.criteria)]
        names = [(one.a_name or "–", one.b_name or "–") for one in found.devices]
        self.pairs = [[str(i), a if a == b else f"{a} / {b}"] for i, (a, b) in enumerate(names)]
        self.overlays = await self._draw(found)
        self.complete = True

    def _offer(self, *shown: ComparedRun) -> None:
        """Runs too old for the list are still named in it."""
        known = {run_id for run_id, _ in self.runs}
        self.runs = self.runs + [
            [str(run.id), f"#{run.number} {run.name}"] for run in shown if str(run.id) not in known
        ]

    async def _draw(self, found: Comparison) -> list[Overlay]:
        """The chosen pair of devices; criteria in the order of the table."""
        number = int(self.pair) if self.pair.isdecimal() and len(self.pair) < 4 else 0
        if not found.devices:
            return []
        device = found.devices[min(number, len(found.devices) - 1)]
        a = await self._charts(found.a.id, device.a_device_id)
        b = await self._charts(found.b.id, device.b_device_id)
        order = [
            row.name
            for row in found.criteria
            if (row.a_device_id, row.b_device_id) == (device.a_device_id, device.b_device_id)
        ]
        return [
            _overlay(name, a.get(name), b.get(name)) for name in order if name in a or name in b
        ]

    async def _charts(self, run_id: Any, device_id: Any) -> dict[str, Chart]:
        if device_id is None:
            return {}
        found = await call(charts.of_run, run_id, device_id, attempt_s=4)
        return {chart.criterion: chart for chart in found}

    @rx.event
    @guarded()
    async def choose(self, side: str, run_id: str):
        pair = {"a": self.a, "b": self.b}
        if side in pair:
            pair[side] = run_id
        return rx.redirect(self._link(**pair, devices=None))

    @rx.event
    @guarded()
    async def choose_pair(self, number: str):
        return rx.redirect(self._link(a=self.a, b=self.b, devices=number), replace=True)

    @rx.event
    @guarded()
    async def swap(self):
        return rx.redirect(self._link(a=self.b, b=self.a))


def _side(run: ComparedRun) -> Side:
    return Side(
        id=str(run.id),
        title=f"#{run.number} {run.name}",
        outcome=run.outcome or "",
        headline=run.reason or "",
        case=f"{run.test_case} · revision {run.revision}",
        environment=run.environment or "none",
        at=run.window_start.isoformat() if run.window_start else "",
    )


def _row(row: ComparedCriterion, number: int) -> PairRow:
    a, b = row.a or {}, row.b or {}
    limits = (b or a).get("limits") or {}
    return PairRow(
        key=str(number),
        device=row.device,
        name=row.name,
        unit=measured_unit(row.kind, row.unit, limits) or "",
        change=CHANGES[row.change],
        differs=row.change not in ("measured", "none"),
        a_verdict=a.get("verdict", ""),
        a_marginal=bool(a.get("marginal")),
        a_measured=a.get("measured"),
        b_verdict=b.get("verdict", ""),
        b_marginal=bool(b.get("marginal")),
        b_measured=b.get("measured"),
        delta=row.delta,
        relative=f"{row.relative:+.1%}" if row.relative else "",
    )


def _overlay(name: str, a: Chart | None, b: Chart | None) -> Overlay:
    shown = b or a
    assert shown is not None  # noqa: S101 (one of them has the criterion)
    drawn = (("A", "blue", a), ("B", "orange", b))
    series = [
        {
            "name": f"{letter} · {chart.plot.label}",
            "color": color,
            "unit": chart.plot.unit or "",
            "t0": -chart.plot.start,
            "points": [[ts, value] for ts, value in chart.plot.points],
        }
        for letter, color, chart in drawn
        if chart
    ]
    ends = [chart.plot.end - chart.plot.start for chart in (a, b) if chart]
    return Overlay(
        key=name,
        title=name,
        sentence=shown.sentence,
        series=series,
        end=max(ends),
        low=shown.plot.low,
        high=shown.plot.high,
        unit=shown.plot.unit or "",
    )
