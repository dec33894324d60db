"""One device: how it is, its readings live, its runs, its access; changing and removing it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import reflex as rx
from pydantic import ValidationError

from testbench.adapters import mqtt
from testbench.domain.axeos import number_of
from testbench.domain.devices import KIND_WORDS, POLLED
from testbench.domain.errors import BenchError
from testbench.services import devices, telemetry
from testbench.services.devices import DevicePatch, DeviceView
from testbench.services.runs import summaries
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.device_readings import (
    FIGURES,
    Chart,
    Figure,
    Toggle,
    chart_of,
    figures_of,
    ms_of,
    now_of,
    toggles_of,
)
from testbench.state.devices import key_metrics, split_tags
from testbench.state.runs import RunRow, row_of
from testbench.state.views import ViewState, faults, first_error

SPANS: dict[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
LIVE_SPANS = ("15m", "1h")
"""Drawn anew with each reading; longer ones when they are opened."""
LIVE_POINTS = 120
POINTS = 300
CHARTS = 4
TABS = ("telemetry", "configuration", "runs", "logs", "access", "details")
RUNS = 50
REFUSED = 50


@dataclass(frozen=True)
class Refusal:
    """A message that was refused."""

    id: str
    at: str
    door: str
    errors: str
    payload: str


class DeviceState(ViewState, rx.State):
    """The device the address names, and the tab that is shown."""

    id: str = ""
    name: str = ""
    kind: str = ""
    tags: list[str] = []
    state: str = ""
    online: bool = False
    maintenance: bool = False
    reason: str = ""
    run_id: str = ""
    last_seen: str = ""
    missing: int = 0
    clock_off_s: float = 0
    poll_error: str = ""
    grafana_url: str = ""
    grafana_public_url: str = ""
    facts: list[list[str]] = []
    info: list[list[str]] = []
    figures: list[Figure] = []
    now: list[list[Any]] = []  # value and, where it is old, its time: one pair for each toggle
    listed: bool = False

    tab: str = "telemetry"
    span: str = "15m"
    tab_links: dict[str, str] = {}
    span_links: dict[str, str] = {}
    toggles: list[Toggle] = []
    charts: list[Chart] = []
    runs: list[RunRow] = []
    runs_total: int = 0
    refusals: list[Refusal] = []
    mqtt_host: str = ""
    mqtt_port: int = 1883

    offline_after_s: int = 60
    is_polled: bool = False
    poll_interval_s: str = ""
    form_errors: dict[str, str] = {}
    saving: bool = False
    holding: bool = False
    renewing: bool = False
    removing: bool = False
    token: str = ""

    _metrics: list[str] = []

    @rx.event
    @guarded()
    async def load(self):
        self._read_address()
        self.holding = self.removing = False  # what was asked before a reload is not asked again
        live.watch(self, {"devices": {self.id}, **self._tab_topics()})
        if self.tab == "telemetry" and self.span in LIVE_SPANS:
            live.watch_too(self, {"telemetry": {self.id}}, DeviceState.refresh_telemetry, 1.0)
        async with self._loading():
            await self._read()
            await self._read_tab()

    @rx.event
    @guarded()
    async def refresh(self):
        async with self._loading():
            await self._read()
            if self.tab in ("runs", "access"):
                await self._read_tab()

    @rx.event
    @guarded()
    async def refresh_telemetry(self):
        await self._read()
        await self._read_charts()

    def _tab_topics(self) -> dict[str, Any]:
        return {"runs": None} if self.tab == "runs" else {}

    def _read_address(self) -> None:
        id = self._part(1)
        if id != self.id:
            self.reset()
            self.id = id
        query = self._query()
        tab, span = query.get("tab", ""), query.get("span", "")
        self.tab = tab if tab in TABS else TABS[0]
        self.span = span if span in SPANS else "15m"
        self._metrics = [one for one in query.get("metrics", "").split(",") if one][:12]
        self.tab_links = {key: self._link(tab=key if key != TABS[0] else None) for key in TABS}
        self.span_links = {key: self._link(span=key) for key in SPANS}

    async def _read(self) -> None:
        device = await call(devices.get, self.id)
        self.id = str(device.id)
        self.name, self.kind, self.tags = device.name, device.kind, device.tags
        self.state, self.online = device.state, device.online
        self.maintenance = device.maintenance
        self.reason = device.maintenance_reason or ""
        self.run_id = str(device.run_id or "")
        self.last_seen = device.last_seen.isoformat() if device.last_seen else ""
        self.missing, self.clock_off_s = device.missing, round(device.clock_off_ms / 1000, 1)
        self.poll_error = device.poll_error or ""
        made = device.grafana
        interval = device.poll_interval_s
        self._show(
            grafana_url=f"{made.url}?from=now-{self.span}&to=now" if made else "",
            grafana_public_url=made.public_url or "" if made else "",
            offline_after_s=device.offline_after_s,
            is_polled=device.kind in POLLED,
            poll_interval_s="" if interval is None else f"{interval:g}",
        )
        info = [[name, _raw(value)] for name, value in sorted(device.info.items())]
        self._show(facts=_facts(device), info=info)
        self._read_figures(device)
        self._choose_metrics(device)

    def _read_figures(self, device: DeviceView) -> None:
        self.figures = figures_of(device)
        self._show(listed=len(device.latest) > FIGURES)
        if self.listed:
            self.now = now_of(device)

    def _choose_metrics(self, device: DeviceView) -> None:
        if not self._metrics:
            self._metrics = key_metrics(device.latest, CHARTS)

        def link(metric: str) -> str:
            return self._link(metrics=_toggled(self._metrics, metric))

        self._show(toggles=toggles_of(device, self._metrics, link))

    async def _read_tab(self) -> None:
        if self.tab == "telemetry":
            await self._read_charts()
        elif self.tab == "runs":
            found = await call(summaries.table, device_id=self.id, limit=RUNS)
            self.runs, self.runs_total = [row_of(run) for run in found.items], found.total
        elif self.tab == "access":
            self.mqtt_host, self.mqtt_port = mqtt.door()
            await self._read_refusals()

    async def _read_charts(self) -> None:
        end = datetime.now(UTC)
        start = end - SPANS[self.span]
        if not self._metrics:
            self.charts = []
            return
        points = LIVE_POINTS if self.span in LIVE_SPANS else POINTS
        found = await call(telemetry.series, self.id, self._metrics, start, None, points)
        self.charts = [chart_of(one, ms_of(start), ms_of(end)) for one in found.series]

    async def _read_refusals(self) -> None:
        found = await call(telemetry.validation_errors, self.id, REFUSED)
        self.refusals = [
            Refusal(
                id=str(one.id),
                at=one.at.isoformat(),
                door=one.door,
                errors="; ".join(f"{fault.loc} {fault.msg}".strip() for fault in one.errors[:3]),
                payload=one.payload[:300],
            )
            for one in found.items
        ]

    # --- changing it

    @rx.event
    @guarded("engineer")
    async def open_hold(self, is_open: bool):
        self.holding = is_open

    @rx.event
    @guarded("engineer")
    async def hold(self, form: dict[str, Any]):
        """Into maintenance, with the reason; runs leave it alone until it is released."""
        reason = str(form.get("reason", "")).strip() or None
        await call(
            devices.change, self.id, DevicePatch(maintenance=True, maintenance_reason=reason)
        )
        self.holding = False
        await self._read()
        return rx.toast.success(f"{self.name} is in maintenance.")

    @rx.event
    @guarded("engineer")
    async def release(self):
        await call(devices.change, self.id, DevicePatch(maintenance=False))
        await self._read()
        return rx.toast.success(f"{self.name} is out of maintenance.")

    @rx.event
    @guarded("engineer")
    async def save(self, form: dict[str, Any]):
        self.saving, self.form_errors = True, {}
        yield
        silence = str(form.get("offline_after_s", "")).strip()
        try:
            patch = DevicePatch.model_validate(
                {
                    "name": str(form.get("name", "")).strip(),
                    "tags": split_tags(str(form.get("tags", ""))),
                    "offline_after_s": int(silence) if silence.isdecimal() else silence,
                    **_interval(form),
                }
            )
            await call(devices.change, self.id, patch)
        except (BenchError, ValidationError) as error:
            self.form_errors = faults(error)
            yield first_error()
        else:
            await self._read()
            yield rx.toast.success("Saved.")
        finally:
            self.saving = False

    @rx.event
    @guarded("engineer")
    async def open_renew(self, is_open: bool):
        self.renewing, self.token = is_open, ""

    @rx.event
    @guarded("engineer")
    async def renew(self):
        """A new credential, shown this once; the old one stops working."""
        _, self.token = await asyncio.to_thread(devices.renew_token, actor(), self.id)

    @rx.event
    @guarded("engineer")
    async def open_remove(self, is_open: bool):
        self.removing = is_open

    @rx.event
    @guarded("engineer")
    async def remove(self):
        name = self.name
        await asyncio.to_thread(devices.remove_fully, actor(), self.id)
        self.removing = False
        return [rx.redirect("/devices"), rx.toast.success(f"{name} is removed.")]


def _interval(form: dict[str, Any]) -> dict[str, Any]:
    """How often it is asked; an empty field means as often as the bench's setting says."""
    # A field that is not shown, of a device that is not polled, comes as null.
    if form.get("poll_interval_s") is None:
        return {}
    text = str(form["poll_interval_s"]).strip()
    return {"poll_interval_s": (number_of(text) or text) if text else None}


def _facts(device: DeviceView) -> list[list[str]]:
    pairs = (
        ("Id", str(device.id)),
        ("Kind", KIND_WORDS[device.kind]),
        ("Model", device.info.get("deviceModel") or device.info.get("ASICModel")),
        ("Firmware", device.info.get("version")),
        ("Address", device.ip),
        ("MAC", device.mac),
        ("Host name", device.hostname),
        ("Registered", device.created_at.strftime("%Y-%m-%d %H:%M UTC")),
    )
    return [[name, str(value)] for name, value in pairs if value]


def _raw(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _toggled(metrics: Sequence[str], metric: str) -> str:
    kept = [one for one in metrics if one != metric]
    return ",".join(kept if metric in metrics else [*metrics, metric])
