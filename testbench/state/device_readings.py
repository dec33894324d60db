"""A device's readings as its page shows them: boxes, the list of all, charts."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from testbench.domain.metrics.words import in_order, label_of
from testbench.services.devices import DeviceView
from testbench.services.telemetry import SeriesView
from testbench.state.devices import key_metrics, old, short

FIGURES = 6
"""So many stand in boxes; a device with more metrics has a list of all as well."""


@dataclass(frozen=True)
class Figure:
    """A metric's newest value, in a box."""

    metric: str
    label: str
    value: Any
    unit: str
    at: int


@dataclass(frozen=True)
class Toggle:
    """A metric that can be drawn; the link draws it, or leaves it out. Empty: it is no number."""

    metric: str
    label: str
    unit: str
    drawn: bool
    href: str


@dataclass(frozen=True)
class Chart:
    """One metric's line, which names it; times as steps, which spares most of their digits."""

    lines: list[dict[str, Any]]
    start: int
    end: int


def figures_of(device: DeviceView) -> list[Figure]:
    """What says most about a device, numbers first."""
    latest = device.latest
    keys = key_metrics(latest, FIGURES)
    keys += [metric for metric in in_order(latest) if metric not in keys]
    found = [(metric, latest[metric]) for metric in keys[:FIGURES]]
    return [
        Figure(metric, label_of(metric), short(one["value"]), _unit(one), ms_of(one["at"]))
        for metric, one in found
    ]


def now_of(device: DeviceView) -> list[list[Any]]:
    """For each of `toggles_of` its value, and its time in ms where it is old, else 0."""
    found = [device.latest[metric] for metric in in_order(device.latest)]
    return [[short(one["value"]), old(one["at"], device.offline_after_s)] for one in found]


def toggles_of(
    device: DeviceView, drawn: Collection[str], link: Callable[[str], str]
) -> list[Toggle]:
    """All its metrics, those that say most first; `link(metric)`: the address that toggles it."""
    return [
        Toggle(
            metric,
            label_of(metric),
            _unit(device.latest[metric]),
            metric in drawn,
            "" if isinstance(device.latest[metric]["value"], str) else link(metric),
        )
        for metric in in_order(device.latest)
    ]


def chart_of(view: SeriesView, start: int, end: int) -> Chart:
    """A metric between two times in ms; what is not a number is left out."""
    numbers = [(ms_of(at), value) for at, value in view.points if not isinstance(value, str)]
    t0 = numbers[0][0] if numbers else 0
    times = [t0, *(at for at, _ in numbers)]
    line = {
        "name": label_of(view.metric),
        "metric": view.metric,
        "unit": view.unit or "",
        "t0": t0,
        "steps": [after - before for before, after in pairwise(times)],
        "values": [short(value) for _, value in numbers],
    }
    return Chart([line], start, end)


def ms_of(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _unit(one: dict[str, Any]) -> str:
    return one.get("unit") or ""
