"""What to draw of a criterion: its curve, the limits as a band, the violations as marks. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from testbench.domain.criteria import (
    Aggregate,
    BaseCriterion,
    Coverage,
    Criterion,
    Equals,
    Increase,
    Range,
    RateOfChange,
    Ratio,
    Series,
    SeriesByMetric,
    Settle,
    Verdict,
    Window,
    texts,
)
from testbench.domain.criteria.base import Banded
from testbench.domain.criteria.increase import rise
from testbench.domain.criteria.parameters import number
from testbench.domain.criteria.rate_of_change import slopes_of
from testbench.domain.criteria.series import MS_PER_S, Mask, Times, Values
from testbench.domain.times import ms

MAX_POINTS = 400
MAX_MARKS = 200
HOLE = 3  # usual intervals without a reading that are drawn as a gap
COMPARABLE = frozenset(
    {
        "mean",
        "min",
        "max",
        "median",
        "p05",
        "p95",
        "p99",
        "first",
        "last",
        "time_weighted_mean",
    }
)
"""Statistics in the unit and size of the readings themselves: their limits fit the same axis."""


class Plot(BaseModel):
    """One curve. Times in ms since the epoch; a value of None is a gap.

    `measured` is a level to draw (a statistic), `silences` are stretches without readings that
    were longer than allowed.
    """

    label: str
    unit: str | None
    start: int
    end: int
    points: list[tuple[int, float | None]]
    low: float | None = None
    high: float | None = None
    measured: float | None = None
    marks: list[tuple[int, float]]
    silences: list[tuple[int, int]]


def measured_unit(kind: str, unit: str | None, limits: Mapping[str, Any]) -> str | None:
    """The unit of a verdict's `measured`: some kinds measure a time or a slope."""
    if kind == "settle" or (kind == "coverage" and "max_gap_s" in limits):
        return "s"
    if kind == "coverage":
        return None
    if kind == "rate_of_change":
        return f"{unit}/s" if unit else "per s"
    return unit


def limits_in_words(kind: str, unit: str | None, limits: Mapping[str, Any]) -> str:
    """`low 10 °C, high 30 °C, within 60 s`: each limit in its own unit."""
    slope = measured_unit("rate_of_change", unit, {})
    words: list[str] = []
    for name, value in limits.items():
        own = slope if name == "max_per_s" else "s" if name.endswith("_s") else None
        own = unit if name in ("low", "high", "value") else own
        text = texts.plain(value) if isinstance(value, int | float) else str(value)
        text = str(value).lower() if isinstance(value, bool) else text
        label = name.removesuffix("_per_s").removesuffix("_s").replace("_", " ")
        words.append(f"{label} {texts.with_unit(text, own)}")
    return ", ".join(words)


class _Curve(NamedTuple):
    label: str
    unit: str | None
    ts: Times
    values: Values
    low: float | None = None
    high: float | None = None
    outside: Mask | None = None
    """Which readings violate; None: only the verdict knows."""
    level: bool = False
    """Whether what was measured is a level on this axis."""


def plot(
    criterion: Criterion,
    series: SeriesByMetric,
    window: Window,
    verdict: Verdict | None = None,
    sample_interval_s: float | None = None,
    max_points: int = MAX_POINTS,
    until: int | None = None,
) -> Plot:
    """The drawing of one resolved criterion over one device's readings of `window`.

    `until`: now, in ms, while the window is not over; what is yet to come is no silence.
    """
    samples = criterion.samples(series, window)
    curve = CURVES.get(criterion.kind, _raw)(criterion, samples, window)
    measured = verdict.measured if verdict and curve.level else None
    return Plot(
        label=curve.label,
        unit=curve.unit,
        start=window.start,
        end=window.end,
        points=_points(curve, _hole_ms(curve.ts, sample_interval_s), max_points),
        low=curve.low,
        high=curve.high,
        measured=measured if isinstance(measured, float) else None,
        marks=_marks(curve, verdict),
        silences=_silences(criterion, samples, window.start, min(window.end, until or window.end)),
    )


def _raw(criterion: Any, samples: Series, window: Window) -> _Curve:
    return _Curve(criterion.subject(), criterion.unit, samples.ts, samples.values)


def _banded(criterion: Banded, samples: Series, window: Window) -> _Curve:
    outside = ~criterion.bounds().inside(samples.values)
    return _raw(criterion, samples, window)._replace(**_limits(criterion), outside=outside)


def _limits(criterion: Banded) -> dict[str, float | None]:
    return {"low": number(criterion.low), "high": number(criterion.high)}


def _aggregate(criterion: Aggregate, samples: Series, window: Window) -> _Curve:
    curve = _raw(criterion, samples, window)._replace(label=criterion.metric)
    if criterion.statistic not in COMPARABLE:
        return curve
    curve = curve._replace(**_limits(criterion), level=True)
    if criterion.statistic == "max" and curve.high is not None:
        return curve._replace(outside=samples.values > curve.high)
    if criterion.statistic == "min" and curve.low is not None:
        return curve._replace(outside=samples.values < curve.low)
    return curve


def _increase(criterion: Increase, samples: Series, window: Window) -> _Curve:
    plain = samples.numbers()
    curve = _raw(criterion, plain, window)
    return curve._replace(values=rise(plain.values), **_limits(criterion))


def _rate(criterion: RateOfChange, samples: Series, window: Window) -> _Curve:
    slopes, _ = slopes_of(samples)
    high = number(criterion.max_per_s)
    return _Curve(
        label=f"change of {criterion.metric}",
        unit=f"{criterion.unit}/s" if criterion.unit else "per s",
        ts=samples.ts,
        values=slopes,
        high=high,
        outside=slopes > (high or 0.0),
    )


def _settle(criterion: Settle, samples: Series, window: Window) -> _Curve:
    curve = _banded(criterion, samples, window)
    deadline = window.start + (number(criterion.within_s) or 0.0) * MS_PER_S
    late = samples.ts > deadline
    return curve._replace(outside=None if curve.outside is None else curve.outside & late)


def _equals(criterion: Equals, samples: Series, window: Window) -> _Curve:
    curve = _raw(criterion, samples, window)
    wanted = criterion.value
    if not isinstance(wanted, str | bool):
        return curve._replace(low=wanted, high=wanted, outside=samples.values != wanted)
    same = np.zeros(len(samples))
    same[[i for i, v in samples.other.items() if type(v) is type(wanted) and v == wanted]] = 1.0
    label = f"{criterion.metric} = {texts.quoted(wanted)} (1 yes, 0 no)"
    return curve._replace(label=label, unit=None, values=same, outside=same == 0)


CURVES: dict[str, Callable[[Any, Series, Window], _Curve]] = {
    Range.model_fields["kind"].default: _banded,
    Ratio.model_fields["kind"].default: _banded,
    Settle.model_fields["kind"].default: _settle,
    Aggregate.model_fields["kind"].default: _aggregate,
    Increase.model_fields["kind"].default: _increase,
    RateOfChange.model_fields["kind"].default: _rate,
    Equals.model_fields["kind"].default: _equals,
}
"""How each kind is drawn; a kind without a line of its own shows its readings."""


def _hole_ms(ts: Times, sample_interval_s: float | None) -> float:
    if sample_interval_s is not None:
        return HOLE * sample_interval_s * MS_PER_S
    return HOLE * float(np.median(np.diff(ts))) + MS_PER_S if len(ts) > 1 else float("inf")


def _points(curve: _Curve, hole_ms: float, max_points: int) -> list[tuple[int, float | None]]:
    """Thinned so that extremes stay, with a None where a gap is."""
    kept = _extremes(curve.values, max_points)
    after_hole = np.flatnonzero(np.diff(curve.ts) > hole_ms) + 1
    kept = np.union1d(kept, np.union1d(after_hole, after_hole - 1)[: 2 * max_points])
    holes = set(after_hole.tolist())
    points: list[tuple[int, float | None]] = []
    for index in kept.tolist():
        if index in holes:
            points.append((int(curve.ts[index - 1]) + 1, None))
        value = float(curve.values[index])
        points.append((int(curve.ts[index]), value if np.isfinite(value) else None))
    return points


def _extremes(values: Values, max_points: int) -> npt.NDArray[np.intp]:
    """Indices of the least and the greatest of each stretch; all of them if they are few."""
    if len(values) <= max_points:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), max_points // 2 + 1).astype(np.intp)
    kept = {0, len(values) - 1}
    for begin, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        stretch = values[begin:stop]
        if np.isfinite(stretch).any():
            kept |= {begin + int(np.nanargmin(stretch)), begin + int(np.nanargmax(stretch))}
    return np.array(sorted(kept), np.intp)


def _marks(curve: _Curve, verdict: Verdict | None) -> list[tuple[int, float]]:
    if curve.outside is not None:
        found = np.flatnonzero(curve.outside & np.isfinite(curve.values))
        if len(found) > MAX_MARKS:
            found = found[np.linspace(0, len(found) - 1, MAX_MARKS).astype(np.intp)]
        return [(int(curve.ts[i]), float(curve.values[i])) for i in found.tolist()]
    first = verdict.first_violation if verdict else None
    if first is None:
        return []
    near = int(np.searchsorted(curve.ts, ms(first.at)))
    if near >= len(curve.ts) or not np.isfinite(curve.values[near]):
        return []
    return [(int(curve.ts[near]), float(curve.values[near]))]


def _silences(
    criterion: BaseCriterion, samples: Series, start: int, end: int
) -> list[tuple[int, int]]:
    limit = number(criterion.max_gap_s) if isinstance(criterion, Coverage) else None
    if limit is None or end <= start:
        return []
    edges = np.concatenate(([start], samples.ts[samples.ts <= end], [end]))
    long = np.flatnonzero(np.diff(edges) / MS_PER_S > limit)[:MAX_MARKS]
    return [(int(edges[i]), int(edges[i + 1])) for i in long.tolist()]
