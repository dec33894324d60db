"""Is the bench itself healthy?"""

import asyncio
from dataclasses import dataclass

import reflex as rx

from testbench import __version__
from testbench.services import demo, health, metrics
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.views import ViewState

EVERY_S = 5
NAMES = {
    "postgres": "Database",
    "redis": "Cache, sessions and bus",
    "rabbitmq": "Job queue",
    "mqtt": "MQTT broker",
    "influxdb": "Telemetry store",
    "clock": "Clock",
    "collector": "Collector",
    "worker": "Worker",
}
QUEUES = {"testbench": "Steps", "testbench.jobs": "Jobs"}


@dataclass(frozen=True)
class Part:
    """One part of the bench and what it said."""

    id: str
    name: str
    ok: bool
    latency_ms: float
    detail: str


@dataclass(frozen=True)
class Measure:
    """A figure of how the bench does, and what it means."""

    name: str
    value: float
    unit: str
    note: str


class SystemState(ViewState, rx.State):
    """What the page shows now."""

    status: str = ""
    parts: list[Part] = []
    measures: list[Measure] = []
    version: str = __version__
    demo_devices: int = 0
    is_removing: bool = False

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        self.is_removing = False
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    @rx.event
    @guarded("engineer")
    async def ask_remove(self, is_open: bool):
        self.is_removing = is_open

    @rx.event
    @guarded("engineer")
    async def remove_demo(self):
        self.is_removing = False
        removed = await call(demo.remove)
        await self._read()
        return rx.toast.success(f"The demo is gone: {removed} devices and what belonged to them.")

    async def _read(self) -> None:
        self.demo_devices = await call(demo.size)
        found, known = await asyncio.gather(
            asyncio.to_thread(health.check), asyncio.to_thread(metrics.figures)
        )
        self.measures = _measures(known)
        self.status = found.status
        self.parts = [
            Part(name, NAMES.get(name, name.capitalize()), part.ok, part.latency_ms, part.detail)
            for name, part in found.checks.items()
        ]


def _measures(known: metrics.Figures) -> list[Measure]:
    """Those that could be found out."""
    told: list[tuple[str, float | None, str, str]] = [
        ("Ingest lag", known.ingest_lag_s, "s", "from a reading's arrival until it is stored"),
        ("Step lateness", known.step_lateness_s, "s", "how long the most overdue step waits"),
        ("Outbox age", known.outbox_age_s, "s", "the oldest step not sent to the workers"),
        *(
            (_queue(name), depth, "", "waiting in the queue")
            for name, depth in known.queues.items()
        ),
    ]
    if known.dashboards_waiting:
        told.append(("Dashboards", known.dashboards_waiting, "", "waiting for Grafana"))
    return [
        Measure(name, round(value, 3), unit, note)
        for name, value, unit, note in told
        if value is not None
    ]


def _queue(name: str) -> str:
    """What waits in it; others than the bench's own are named."""
    return QUEUES.get(name, f"Queue {name}")
