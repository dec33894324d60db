"""Is the bench itself healthy?"""

import asyncio
from dataclasses import dataclass

import reflex as rx

from testbench import __version__
from testbench.services import demo, health
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


@dataclass(frozen=True)
class Part:
    """One part of the bench and what it said."""

    id: str
    name: str
    ok: bool
    latency_ms: float
    detail: str


class SystemState(ViewState, rx.State):
    """What the page shows now."""

    status: str = ""
    parts: list[Part] = []
    version: str = __version__
    demo_devices: int = 0
    is_removing: bool = False

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
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
        found = await asyncio.to_thread(health.check)
        self.status = found.status
        self.parts = [
            Part(name, NAMES.get(name, name.capitalize()), part.ok, part.latency_ms, part.detail)
            for name, part in found.checks.items()
        ]
