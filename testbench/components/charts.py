"""The one chart: readings over time with limits, violations, gaps and a hover that reads all."""

from typing import Any

import reflex as rx

RECHARTS = "recharts@3.10.1"
"""The one that reflex-components-recharts brings."""


class TimeChart(rx.NoSSRComponent):
    """See `time_chart`."""

    library = "$/public/chart.jsx"
    tag = "TimeChart"
    lib_dependencies: list[str] = [RECHARTS]  # noqa: RUF012 (how Reflex declares a field)

    series: rx.Var[Any]
    start: rx.Var[Any]
    end: rx.Var[Any]
    low: rx.Var[Any]
    high: rx.Var[Any]
    measured: rx.Var[Any]
    marks: rx.Var[Any]
    silences: rx.Var[Any]
    spans: rx.Var[Any]
    height: rx.Var[int]
    unit: rx.Var[Any]
    relative: rx.Var[bool]
    gap_ms: rx.Var[Any]
    label: rx.Var[str]
    legend: rx.Var[bool]


def time_chart(series: Any, **props: Any) -> rx.Component:
    """Lines over time; zoom by drag, all of it again by double click.

    `series`: [{name, unit?, metric?, color?, t0?, points: [[ms, value or null], …]}], times
    relative to `t0` (default 0), or shorter: `steps`, each time as ms since the one before (the
    first since `t0`), and `values`. At most 120 points a series where they are live, 500 else. The
    colour follows from `metric` (else `name`), the same on every page; `color` names a Radix one.
    `start`, `end`: the axis, in ms. `low`, `high`: limits, as a band. `measured`: a level.
    `marks`: violations as [[ms, value]]. `silences`: red stretches [[ms, ms]]. `spans`: grey
    ones [{from, to}]. `relative`: times are ms since the start. `gap_ms`: a hole longer than that
    is a gap (default 3 usual steps). `height` in px. `label`: for screen readers.
    """
    return TimeChart.create(series=series, **props)
