"""Home: is the lab all right, what is going on?"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import reflex as rx

from testbench.services import dashboard, health
from testbench.services.runs import summaries
from testbench.services.runs.summaries import RunSummary
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.runs import RunRow, row_of
from testbench.state.views import ViewState

HEALTH_EVERY_S = 10
STRIP = 60


@dataclass(frozen=True)
class Mark:
    """An ended run in the strip."""

    id: str
    outcome: str
    label: str


class HomeState(ViewState, rx.State):
    """What the page shows now."""

    counts: dict[str, int] = {}
    everything: int = 0
    active: int = 0
    live: list[RunRow] = []
    recent: list[RunRow] = []
    strip: list[Mark] = []
    outcomes: dict[str, int] = {}
    ended: int = 0
    passed: int = 0
    """Per cent of the last day's runs."""
    health: str = ""
    ailing: list[str] = []

    @rx.event
    @guarded()
    async def load(self):
        live.watch(self, {"devices": None, "runs": None})
        async with self._loading():
            await self._read()
        yield HomeState.check

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    @rx.event
    @guarded()
    async def check(self):
        """The bench's own health; apart, for it waits for what does not answer."""
        found = await asyncio.to_thread(health.check)
        self.health = found.status
        self.ailing = sorted(name for name, part in found.checks.items() if not part.ok)

    async def _read(self) -> None:
        found = await call(dashboard.read)
        self.counts = found.devices.model_dump()
        self.everything = sum(self.counts.values())
        self.active = found.runs.active
        self.live = [row_of(run) for run in found.runs.live]
        ended = [run for run in found.runs.recent if run.outcome]
        self.recent = [row_of(run) for run in ended[:8]]
        ended_before, self.outcomes = self.outcomes, found.runs.outcomes_24h
        if self.outcomes != ended_before:
            await self._read_strip()
        self.ended = sum(self.outcomes.values())
        self.passed = round(100 * self.outcomes["pass"] / self.ended) if self.ended else 0

    async def _read_strip(self) -> None:
        found = await call(summaries.table, sort="ended_at", limit=STRIP)
        since = datetime.now(UTC) - timedelta(days=1)
        day = [run for run in found.items if run.ended_at and run.ended_at >= since]
        self.strip = [_mark(run) for run in reversed(day)]


def _mark(run: RunSummary) -> Mark:
    return Mark(
        id=str(run.id),
        outcome=run.outcome or "",
        label=f"#{run.number} {run.name}: {run.outcome}",
    )
