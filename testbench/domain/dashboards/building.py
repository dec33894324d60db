"""Dashboards put together from panels, as Grafana's HTTP API takes them."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbench.domain.axeos import UNITS
from testbench.domain.dashboards import groups
from testbench.domain.dashboards.groups import Figure, Group
from testbench.domain.dashboards.sources import INTERVAL, Source
from testbench.domain.devices import POLLED

SCHEMA_VERSION = 41
"""Of Grafana 12; older ones take it as well."""
REVISION = 1
"""Raise it where the generated dashboards change: those in Grafana are then made anew."""
FLEET_UID = "testbench-fleet"
WIDTH = 24
PANEL_W, PANEL_H, FIGURE_H = 12, 8, 4


@dataclass(frozen=True)
class Subject:
    """The device a dashboard is about."""

    id: uuid.UUID
    name: str
    kind: str
    metrics: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name → unit, of what it has sent; not needed of a kind whose metrics are known."""


def uid_of(device_id: uuid.UUID) -> str:
    """`tb-` and the id: 35 of the 40 characters that Grafana allows."""
    return f"tb-{device_id.hex}"


def digest_of(subject: Subject | None, source: Source, *, public: bool, at: str) -> str:
    """Changes when the dashboard would, or Grafana (`at`) is another; None: the fleet's."""
    about: Any = None
    if subject is not None:
        known = subject.kind in POLLED
        about = (str(subject.id), subject.name, known, None if known else dict(subject.metrics))
    stated = (REVISION, source.kind, source.uid, public, at, about)
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:32]


def device_dashboard(subject: Subject, source: Source, *, bench_url: str) -> dict[str, Any]:
    """One device: an AxeOS device's metrics in groups, any other's each by itself."""
    known = subject.kind in POLLED
    units: Mapping[str, str] = UNITS if known else subject.metrics
    id = str(subject.id)
    panels = _Panels()
    for figure in groups.AXEOS_FIGURES if known else ():
        metrics = [(figure.metric, figure.unit)]
        panels.add(_figure(figure, source.of_device(id, metrics, axeos=True, states=False)))
    for group in groups.AXEOS if known else groups.groups_of(subject.metrics):
        metrics = [(metric, units[metric]) for metric in group.metrics]
        targets = source.of_device(id, metrics, axeos=known, states=group.states)
        panels.add(_chart(group, targets))
    link = _link("Open in Testbench", f"{bench_url.rstrip('/')}/devices/{id}")
    tags = ["testbench", "testbench-device", subject.kind]
    return _dashboard(uid_of(subject.id), subject.name, tags, panels, [link], source, [])


def fleet_dashboard(source: Source, *, bench_url: str, public: bool) -> dict[str, Any]:
    """The fleet: totals, then each metric by device; without a choice where it is public.

    Public dashboards of Grafana have no variables.
    """
    panels = _Panels()
    panels.add(_figure(Figure("Devices online", "", "up"), source.online()))
    for title, metric in (("Hash rate", "hashrate"), ("Power", "power")):
        figure = Figure(title, UNITS[metric], metric)
        panels.add(_figure(figure, source.total(metric)))
    for title, metric in (("Hash rate of the fleet", "hashrate"), ("Power of the fleet", "power")):
        panels.add(_chart(Group(title, UNITS[metric], (metric,)), source.total(metric)))
    for title, metric in (
        ("Hash rate by device", "hashrate"),
        ("Temperature by device", "temp"),
        ("Power by device", "power"),
        ("Efficiency by device", "efficiency"),
    ):
        limits = (groups.HOT_C, groups.TOO_HOT_C) if metric == "temp" else None
        group = Group(title, UNITS[metric], (metric,), limits)
        panels.add(_chart(group, source.by_device(metric, chosen=not public)))
    variables = [] if public else [source.devices()]
    link = _link("Open in Testbench", f"{bench_url.rstrip('/')}/devices")
    tags = ["testbench", "testbench-fleet"]
    return _dashboard(FLEET_UID, "Fleet", tags, panels, [link], source, variables)


class _Panels:
    """Placed from left to right, and on the next line where there is no room."""

    def __init__(self) -> None:
        self.placed: list[dict[str, Any]] = []
        self._x = self._y = self._height = 0

    def add(self, panel: dict[str, Any]) -> None:
        """`panel` says its own width and height."""
        width, height = panel["gridPos"]["w"], panel["gridPos"]["h"]
        if self._x + width > WIDTH or (self._height and height != self._height):
            self._x, self._y = 0, self._y + self._height
        panel["gridPos"] = {"x": self._x, "y": self._y, "w": width, "h": height}
        panel["id"] = len(self.placed) + 1
        self._x, self._height = self._x + width, height
        self.placed.append(panel)


def _dashboard(
    uid: str,
    name: str,
    tags: Sequence[str],
    panels: _Panels,
    links: Sequence[dict[str, Any]],
    source: Source,
    variables: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "id": None,
        "uid": uid,
        # Two lines of text would be two dashboards to a reader, and `$` the start of a variable.
        "title": f"Testbench: {name.replace('$', '＄')}",
        "tags": list(tags),
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "version": 0,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "annotations": {"list": []},
        "templating": {"list": list(variables)},
        "links": list(links),
        "panels": panels.placed,
        "description": f"Made by Testbench from {source.kind}; your changes here are overwritten "
        "when the device changes.",
    }


def _chart(group: Group, targets: list[dict[str, Any]]) -> dict[str, Any]:
    custom: dict[str, Any] = {
        "lineWidth": 1,
        "fillOpacity": 8,
        "showPoints": "auto",
        "spanNulls": 60_000,
        "lineInterpolation": "stepAfter" if group.states else "linear",
    }
    if group.limits:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    panel = _panel("timeseries", group.title, targets, PANEL_W, PANEL_H)
    panel["fieldConfig"]["defaults"] = _defaults(group.unit, group.limits) | {"custom": custom}
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def _figure(figure: Figure, targets: list[dict[str, Any]]) -> dict[str, Any]:
    panel = _panel("stat", figure.title, targets, 4, FIGURE_H)
    panel["fieldConfig"]["defaults"] = _defaults(figure.unit, figure.limits)
    panel["options"] = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "value" if figure.limits else "none",
        "graphMode": "area",
        "textMode": "value",
    }
    return panel


def _panel(
    type: str, title: str, targets: list[dict[str, Any]], width: int, height: int
) -> dict[str, Any]:
    return {
        "type": type,
        "title": title.replace("$", "＄"),
        "datasource": targets[0]["datasource"],
        "interval": INTERVAL,
        "targets": targets,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": {},
    }


def _defaults(unit: str, limits: tuple[float, float] | None) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if limits:
        steps += [{"color": "orange", "value": limits[0]}, {"color": "red", "value": limits[1]}]
    return {
        "unit": groups.UNITS.get(unit, f"suffix: {unit.replace('$', '＄')}"),
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "palette-classic"},
    }


def _link(title: str, url: str) -> dict[str, Any]:
    return {
        "title": title,
        "type": "link",
        "icon": "external link",
        "url": url,
        "targetBlank": True,
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
    }
