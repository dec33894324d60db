"""Every kind on real recordings, against values that pandas computes on its own."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from testbench.domain.criteria import Criterion, Series, Verdict, Window

DATA = Path(__file__).parents[1] / "data" / "telemetry"
NAMES = ["ambient_temperature", "daily_jumpsup", "flatline"]
CRITERION = TypeAdapter[Criterion](Criterion)


@pytest.fixture(params=NAMES)
def frame(request: pytest.FixtureRequest) -> pd.Series:
    """The recording's values by UTC time."""
    table = pd.read_csv(DATA / f"{request.param}.csv", parse_dates=["timestamp"])
    return table.set_index(table["timestamp"].dt.tz_localize("UTC"))["value"]


def ms(at: pd.Timestamp) -> int:
    return int(at.timestamp() * 1000)


def window_of(frame: pd.Series) -> Window:
    return Window(ms(frame.index[0]), ms(frame.index[-1]))


def series_of(frame: pd.Series) -> Series:
    return Series.from_points([(ms(at), float(v)) for at, v in frame.items()])


def judged(frame: pd.Series, window: Window | None = None, **parameters: object) -> Verdict:
    criterion = CRITERION.validate_python({"name": "c", "metric": "m", **parameters})
    return criterion.judge({"m": series_of(frame)}, window or window_of(frame))


def longest_row_s(outside: pd.Series) -> float:
    """First to last of each unbroken row of True, the longest, by pandas' group-by."""
    rows = outside.index.to_series()[outside].groupby((~outside).cumsum()[outside])
    return max(((g.iloc[-1] - g.iloc[0]).total_seconds() for _, g in rows), default=0.0)


@pytest.mark.parametrize(("low", "high"), [(60.0, 80.0), (18.0, 90.0), (45.0, 45.0), (0.0, 200.0)])
def test_range_counts_and_times_the_readings_outside(
    frame: pd.Series, low: float, high: float
) -> None:
    outside = ~frame.between(low, high)
    verdict = judged(frame, kind="range", low=low, high=high)
    assert verdict.verdict == ("fail" if outside.any() else "pass")
    assert verdict.samples == len(frame)
    assert verdict.violations == outside.sum()
    assert verdict.longest_violation_s == longest_row_s(outside)
    if outside.any():
        assert verdict.first_violation is not None
        assert verdict.first_violation.at == outside.idxmax()
        assert verdict.first_violation.value == frame[outside].iloc[0]
    else:
        assert verdict.first_violation is None


def test_range_tolerates_exactly_what_is_counted(frame: pd.Series) -> None:
    outside = frame > frame.quantile(0.9)
    count, dwell = int(outside.sum()), longest_row_s(outside)
    high = float(frame.quantile(0.9))
    allowed = {"kind": "range", "high": high, "max_violations": count, "max_violation_s": dwell}
    assert judged(frame, **allowed).verdict == "pass"
    if count:
        assert judged(frame, **{**allowed, "max_violations": count - 1}).verdict == "fail"
        shorter = judged(frame, **{**allowed, "max_violation_s": dwell - 1})
        assert shorter.verdict == ("fail" if dwell >= 1 else "pass")


def held_mean(frame: pd.Series, end: pd.Timestamp) -> float:
    held = frame.index.to_series().diff().shift(-1).dt.total_seconds()
    held.iloc[-1] = (end - frame.index[-1]).total_seconds()
    return float((frame * held).sum() / held.sum())


STATISTICS = {
    "mean": lambda f: f.mean(),
    "min": lambda f: f.min(),
    "max": lambda f: f.max(),
    "median": lambda f: f.median(),
    "p05": lambda f: f.quantile(0.05),
    "p95": lambda f: f.quantile(0.95),
    "p99": lambda f: f.quantile(0.99),
    "stddev": lambda f: f.std(),
    "first": lambda f: f.iloc[0],
    "last": lambda f: f.iloc[-1],
    "sum": lambda f: f.sum(),
    "count": lambda f: f.count(),
    "time_weighted_mean": lambda f: held_mean(f, f.index[-1]),
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_aggregates_equal_those_of_pandas(frame: pd.Series, statistic: str) -> None:
    expected = float(STATISTICS[statistic](frame))
    slack = max(abs(expected) * 1e-9, 1e-9)
    parameters = {"kind": "aggregate", "statistic": statistic}
    fits = judged(frame, low=expected - slack, high=expected + slack, **parameters)
    assert fits.verdict == "pass"
    assert fits.measured == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert judged(frame, high=expected - slack, **parameters).verdict == "fail"
    assert judged(frame, low=expected + slack, **parameters).verdict == "fail"


def test_time_weighted_mean_holds_the_last_value_to_the_end_of_the_window(
    frame: pd.Series,
) -> None:
    later = frame.index[-1] + timedelta(days=3)
    verdict = judged(
        frame,
        Window(ms(frame.index[0]), ms(later)),
        kind="aggregate",
        statistic="time_weighted_mean",
        low=0,
    )
    assert verdict.measured == pytest.approx(held_mean(frame, later), rel=1e-12)


def test_increase_adds_what_each_reset_lost(frame: pd.Series) -> None:
    steps = frame.diff().iloc[1:]
    rise = float(np.where(steps < 0, frame.iloc[1:], steps).sum())
    verdict = judged(frame, kind="increase", low=0)
    assert verdict.measured == pytest.approx(rise, rel=1e-9, abs=1e-9)
    assert judged(frame, kind="increase", high=rise - 1).verdict == "fail"


def test_rate_of_change_is_the_steepest_slope_of_neighbours(frame: pd.Series) -> None:
    seconds = frame.index.to_series().diff().dt.total_seconds()
    slopes = (frame.diff() / seconds).abs()
    limit = float(slopes.quantile(0.99))
    verdict = judged(frame, kind="rate_of_change", max_per_s=limit)
    assert verdict.measured == pytest.approx(slopes.max(), rel=1e-12)
    assert verdict.violations == (slopes > limit).sum()
    assert verdict.verdict == ("fail" if (slopes > limit).any() else "pass")
    if (slopes > limit).any():
        assert verdict.first_violation is not None
        assert verdict.first_violation.at == (slopes > limit).idxmax()
    steepest = verdict.measured
    assert judged(frame, kind="rate_of_change", max_per_s=steepest).verdict == "pass"


def test_settle_takes_as_long_as_the_last_reading_outside(frame: pd.Series) -> None:
    low, high = 10.0, 70.0
    outside = ~frame.between(low, high)
    settled = frame.index[0]
    if outside.any():
        settled = frame.index[frame.index > outside[outside].index[-1]].min()
    ended_inside = not outside.iloc[-1]
    after = (settled - frame.index[0]).total_seconds() if ended_inside else None
    verdict = judged(frame, kind="settle", low=low, high=high, within_s=max(after or 0, 1))
    assert verdict.measured == after
    assert verdict.verdict == ("pass" if ended_inside else "fail")
    if after:
        early = judged(frame, kind="settle", low=low, high=high, within_s=after - 1)
        assert early.verdict == "fail"


def test_settle_holds_for_the_first_stay_that_is_long_enough(frame: pd.Series) -> None:
    low, high, hold = 60.0, 80.0, 24 * 3600.0
    inside = frame.between(low, high)
    expected = None
    for _, row in inside[inside].groupby((~inside).cumsum()[inside]):
        left = inside[row.index[-1] :].index[1:2]
        until = left[0] if len(left) else frame.index[-1]
        stayed = (until - row.index[0]).total_seconds()
        if stayed > hold or (not len(left) and stayed >= hold):
            expected = (row.index[0] - frame.index[0]).total_seconds()
            break
    verdict = judged(frame, kind="settle", low=low, high=high, within_s=1e8, hold_s=hold)
    assert verdict.measured == expected
    assert verdict.verdict == ("fail" if expected is None else "pass")


def test_coverage_finds_the_longest_gap_with_both_ends_of_the_window(frame: pd.Series) -> None:
    start, end = frame.index[0] - timedelta(hours=30), frame.index[-1] + timedelta(hours=40)
    edges = pd.Series([start, *frame.index, end])
    gaps = edges.diff().dt.total_seconds().iloc[1:]
    window = Window(ms(start), ms(end))
    verdict = judged(frame, window, kind="coverage", max_gap_s=20 * 3600, min_samples=len(frame))
    assert verdict.verdict == "fail"
    assert verdict.measured == gaps.max()
    assert verdict.violations == (gaps > 20 * 3600).sum()
    assert verdict.first_violation is not None
    assert verdict.first_violation.at == start
    assert judged(frame, window, kind="coverage", max_gap_s=float(gaps.max())).verdict == "pass"
    assert judged(frame, kind="coverage", min_samples=len(frame) + 1).verdict == "fail"


def test_equals_counts_the_readings_that_differ(frame: pd.Series) -> None:
    verdict = judged(frame, kind="equals", value=45)
    assert verdict.violations == (frame != 45.0).sum()
    assert verdict.verdict == ("pass" if (frame == 45.0).all() else "fail")


def test_ratio_divides_where_both_have_a_reading(frame: pd.Series) -> None:
    other = frame.shift(3).dropna().iloc[::2] + 1
    ratio = (frame / other).dropna()
    series = {"m": series_of(frame), "n": series_of(other)}
    criterion = CRITERION.validate_python(
        {"name": "c", "kind": "ratio", "metric": "m", "other_metric": "n", "high": 1.05}
    )
    verdict = criterion.judge(series, window_of(frame))
    assert verdict.samples == len(ratio)
    assert verdict.measured == pytest.approx(ratio.max(), rel=1e-15)
    assert verdict.violations == (ratio > 1.05).sum()
    assert verdict.longest_violation_s == longest_row_s(ratio > 1.05)


def test_a_part_of_the_recording_is_judged_with_both_its_ends(frame: pd.Series) -> None:
    part = frame.iloc[100:201]
    verdict = judged(
        frame, window_of(part), kind="aggregate", statistic="mean", low=float(part.min())
    )
    assert verdict.samples == 101
    assert verdict.measured == pytest.approx(part.mean(), rel=1e-12)
