"""Each kind at its edges, by hand."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import TypeAdapter

from testbench.domain.criteria import Criterion, Series, Verdict, Window
from testbench.domain.errors import Invalid

CRITERION = TypeAdapter[Criterion](Criterion)
T0 = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
TEN_S = Window(T0, T0 + 10_000)
Points = list[tuple[float, float | str | bool]]


def series(points: Points) -> Series:
    return Series.from_points([(T0 + round(s * 1000), v) for s, v in points])


def judged(points: Points, window: Window = TEN_S, **parameters: object) -> Verdict:
    criterion = CRITERION.validate_python({"name": "c", "metric": "temp", **parameters})
    verdict = criterion.judge({"temp": series(points)}, window)
    json.dumps(verdict.model_dump(mode="json"), allow_nan=False)
    return verdict


# --- Series and Window


def test_of_equal_times_the_last_write_wins() -> None:
    found = Series.from_points([(5, 1), (3, "a"), (5, 2), (3, 7.5)])
    assert found.ts.tolist() == [3, 5]
    assert found.values.tolist() == [7.5, 2.0]
    assert found.other == {}


def test_strings_and_bools_are_kept_beside_the_numbers() -> None:
    found = Series.from_points([(2, True), (1, "on"), (3, 4)])
    assert np.isnan(found.values[:2]).all()
    assert found.other == {0: "on", 1: True}


def test_both_ends_of_the_window_belong_to_it() -> None:
    points: Points = [(-0.001, 99), (0, 20), (10, 21), (10.001, 99)]
    verdict = judged(points, kind="range", high=30)
    assert (verdict.verdict, verdict.samples) == ("pass", 2)


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(Invalid):
        Window(5, 4)


# --- range


def test_range_limits_are_inclusive() -> None:
    assert judged([(0, 10), (1, 30)], kind="range", low=10, high=30).verdict == "pass"
    assert judged([(0, 30.000001)], kind="range", low=10, high=30).verdict == "fail"
    assert judged([(0, 9.999999)], kind="range", low=10, high=30).verdict == "fail"


def test_range_says_in_words_what_happened() -> None:
    verdict = judged([(0, 20), (1, 35)], kind="range", low=10, high=30, unit="°C")
    assert verdict.message == "temp reached 35.0 °C at 22:13:21 UTC, limit 30 °C"
    assert verdict.measured == 35.0
    assert verdict.first_violation is not None
    assert verdict.first_violation.at == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    assert verdict.first_violation.value == 35.0
    assert verdict.limits == {"low": 10.0, "high": 30.0}
    below = judged([(0.25, -5)], kind="range", low=10, high=30)
    assert below.message == "temp fell to -5.0 at 22:13:20.250 UTC, limit 10"


def test_range_never_hides_a_violation_by_rounding() -> None:
    assert "30.0000000001" in judged([(0, 30.0000000001)], kind="range", high=30).message


def test_range_dwell_is_first_to_last_reading_of_one_unbroken_row() -> None:
    points: Points = [(0, 20), (1, 40), (2, 40), (3, 40), (4, 20), (5, 40), (6, 20)]
    verdict = judged(points, kind="range", high=30, max_violation_s=2)
    assert (verdict.verdict, verdict.longest_violation_s, verdict.violations) == ("pass", 2.0, 4)
    assert judged(points, kind="range", high=30, max_violation_s=1.999).verdict == "fail"


def test_range_crossing_from_above_to_below_is_one_row() -> None:
    verdict = judged([(1, 40), (2, 0), (3, 40)], kind="range", low=10, high=30)
    assert verdict.longest_violation_s == 2.0


def test_range_zero_dwell_allows_single_readings_only() -> None:
    single: Points = [(0, 40), (1, 20), (2, 40), (3, 20)]
    assert judged(single, kind="range", high=30, max_violation_s=0).verdict == "pass"
    assert judged([*single, (2.5, 40)], kind="range", high=30, max_violation_s=0).verdict == "fail"


@pytest.mark.parametrize(
    ("max_violations", "max_violation_s", "verdict"),
    [
        (None, None, "fail"),
        (3, None, "pass"),
        (2, None, "fail"),
        (None, 1, "pass"),
        (None, 0.5, "fail"),
        (3, 1, "pass"),
        (2, 1, "fail"),
        (3, 0.5, "fail"),
        (0, 100, "fail"),
    ],
)
def test_range_with_both_tolerances_needs_both(
    max_violations: int | None, max_violation_s: float | None, verdict: str
) -> None:
    points: Points = [(0, 40), (1, 40), (2, 20), (3, 40)]
    tolerance = {"max_violations": max_violations, "max_violation_s": max_violation_s}
    assert judged(points, kind="range", high=30, **tolerance).verdict == verdict


def test_a_reading_of_the_wrong_type_violates() -> None:
    verdict = judged([(0, 20), (1, "n/a"), (2, True)], kind="range", low=10, high=30)
    assert (verdict.verdict, verdict.violations, verdict.measured) == ("fail", 2, 20.0)
    assert verdict.first_violation is not None
    assert verdict.first_violation.value == "n/a"
    assert 'temp was "n/a" at 22:13:21 UTC, a number was expected' in verdict.message


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_stored_number_without_a_value_satisfies_no_limit(number: float) -> None:
    parameters: list[dict[str, object]] = [
        {"kind": "range", "low": -1e300},
        {"kind": "range", "high": 1e300},
        {"kind": "aggregate", "statistic": "max", "low": 0},
        {"kind": "increase", "low": 0},
        {"kind": "rate_of_change", "max_per_s": 1e300},
        {"kind": "settle", "low": 0, "within_s": 5},
        {"kind": "equals", "value": 1},
    ]
    for each in parameters:
        verdict = judged([(0, 1), (1, 1), (10, number)], **each)
        assert verdict.verdict == "fail", each


# --- marginal


@pytest.mark.parametrize(
    ("value", "low", "high", "marginal"),
    [
        (28.1, 10, 30, True),
        (28.0, 10, 30, False),
        (11.9, 10, 30, True),
        (20.0, 10, 30, False),
        (27.1, None, 30, True),
        (27.0, None, 30, False),
        (10.9, 10, None, True),
        (11.0, 10, None, False),
        (-9.5, -10, None, True),
        (0.0, None, 0, False),
    ],
)
def test_marginal_is_nearer_than_the_fraction(
    value: float, low: float | None, high: float | None, marginal: bool
) -> None:
    limits = {"low": low, "high": high, "marginal_fraction": 0.1}
    near = judged([(1, value), (2, value)], kind="range", **limits)
    assert (near.verdict, near.marginal) == ("pass", marginal)
    mean = judged([(1, value), (2, value)], kind="aggregate", statistic="mean", **limits)
    assert (mean.verdict, mean.marginal) == ("pass", marginal)


def test_marginal_needs_a_fraction_and_a_pass() -> None:
    assert not judged([(0, 30)], kind="range", high=30).marginal
    assert not judged([(0, 31)], kind="range", high=30, marginal_fraction=0.5).marginal


def test_marginal_times_counts_and_slopes_are_measured_against_their_own_limit() -> None:
    slope = judged([(0, 0), (1, 1.95)], kind="rate_of_change", max_per_s=2, marginal_fraction=0.1)
    assert slope.marginal
    settle = judged([(0, 9), (4.8, 1)], kind="settle", high=5, within_s=5, marginal_fraction=0.1)
    assert settle.marginal
    few = judged([(0, 1), (1, 1)], kind="coverage", min_samples=2, marginal_fraction=0.1)
    assert few.marginal
    gap = judged([(0, 1), (9.6, 1)], kind="coverage", max_gap_s=10, marginal_fraction=0.1)
    assert gap.marginal


# --- aggregate


def test_constant_readings_have_their_own_value_as_mean() -> None:
    points: Points = [(i, 0.1) for i in range(10)]
    for statistic in ("mean", "time_weighted_mean", "median"):
        verdict = judged(points, kind="aggregate", statistic=statistic, low=0.1, high=0.1)
        assert (verdict.verdict, verdict.measured) == ("pass", 0.1)
    assert judged(points, kind="aggregate", statistic="stddev", high=0).measured == 0.0
    assert judged(points, kind="aggregate", statistic="sum", low=1, high=1).verdict == "pass"


def test_percentiles_interpolate_linearly() -> None:
    points: Points = [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]
    for statistic, expected in [("p05", 2.0), ("median", 20.0), ("p95", 38.0), ("p99", 39.6)]:
        verdict = judged(points, kind="aggregate", statistic=statistic, low=0)
        assert verdict.measured == pytest.approx(expected, rel=1e-15)


def test_stddev_is_that_of_the_sample_and_needs_two() -> None:
    two = judged([(0, 1), (1, 3)], kind="aggregate", statistic="stddev", high=2)
    assert two.measured == pytest.approx(math.sqrt(2), rel=1e-15)
    one = judged([(0, 1)], kind="aggregate", statistic="stddev", high=2)
    assert (one.verdict, one.measured, one.samples) == ("unset", None, 1)


def test_time_weighted_mean_starts_with_the_first_reading() -> None:
    verdict = judged([(2, 10), (4, 20)], kind="aggregate", statistic="time_weighted_mean", low=0)
    assert verdict.measured == (10 * 2 + 20 * 6) / 8
    last = judged([(10, 7)], kind="aggregate", statistic="time_weighted_mean", low=0)
    assert last.measured == 7.0


def test_count_counts_readings_of_any_type_all_others_need_numbers() -> None:
    points: Points = [(0, "a"), (1, True), (2, 3)]
    assert judged(points, kind="aggregate", statistic="count", low=3, high=3).verdict == "pass"
    mean = judged(points, kind="aggregate", statistic="mean", low=3, high=3)
    assert (mean.verdict, mean.measured, mean.violations) == ("fail", 3.0, 2)
    none = judged([(0, "a")], kind="aggregate", statistic="stddev", low=0)
    assert (none.verdict, none.measured) == ("fail", None)


def test_a_sum_beyond_a_double_fails_and_stays_json() -> None:
    verdict = judged([(0, 1.7e308), (1, 1.7e308)], kind="aggregate", statistic="sum", low=0)
    assert (verdict.verdict, verdict.measured) == ("fail", None)


def test_aggregate_says_which_statistic_missed() -> None:
    verdict = judged([(0, 35.25)], kind="aggregate", statistic="p95", high=30, unit="°C")
    assert verdict.message == "p95 of temp was 35.25 °C, limit 30 °C"


# --- increase


def test_increase_counts_a_drop_as_a_restart_from_zero() -> None:
    points: Points = [(0, 5), (1, 8), (2, 2), (3, 4), (4, 0), (5, 1)]
    verdict = judged(points, kind="increase", low=0)
    assert verdict.measured == 3 + 2 + 2 + 0 + 1


def test_increase_is_not_extrapolated_and_needs_two() -> None:
    assert judged([(4, 1), (6, 3)], kind="increase", low=2, high=2).verdict == "pass"
    assert judged([(4, 1)], kind="increase", low=0).verdict == "unset"


# --- rate of change


def test_rate_of_change_looks_both_ways() -> None:
    verdict = judged([(0, 0), (2, 2), (4, -4), (8, 0)], kind="rate_of_change", max_per_s=2)
    assert (verdict.measured, verdict.verdict, verdict.violations) == (3.0, "fail", 1)
    assert verdict.first_violation is not None
    assert verdict.first_violation.at.second == 24
    assert verdict.first_violation.value == 3.0


def test_rate_of_change_needs_two() -> None:
    assert judged([(0, 0)], kind="rate_of_change", max_per_s=2).verdict == "unset"
    assert judged([(0, "a")], kind="rate_of_change", max_per_s=2).verdict == "fail"


# --- settle


def test_settle_enters_in_time_inclusive_and_stays() -> None:
    points: Points = [(0, 99), (4, 99), (5, 20), (10, 20)]
    assert judged(points, kind="settle", low=10, high=30, within_s=5).verdict == "pass"
    late = judged(points, kind="settle", low=10, high=30, within_s=4.999)
    assert (late.verdict, late.measured) == ("fail", 5.0)


def test_settle_counts_no_violations_before_its_time_is_up() -> None:
    passed = judged([(0, 99), (1, 99), (2, 20)], kind="settle", high=30, within_s=5)
    assert (passed.violations, passed.first_violation, passed.longest_violation_s) == (0, None, 0)
    left = judged([(0, 99), (2, 20), (7, 99), (8, 20)], kind="settle", high=30, within_s=5)
    assert (left.verdict, left.violations) == ("fail", 1)
    assert left.first_violation is not None
    assert left.first_violation.at.second == 27


def test_settle_that_leaves_at_the_end_fails() -> None:
    assert judged([(0, 20), (10, 99)], kind="settle", high=30, within_s=5).verdict == "fail"


def test_settle_with_hold_may_leave_after_it() -> None:
    points: Points = [(0, 99), (1, 20), (4, 20), (4.001, 99)]
    assert judged(points, kind="settle", high=30, within_s=5, hold_s=3).verdict == "pass"
    assert judged(points, kind="settle", high=30, within_s=5, hold_s=3.001).verdict == "fail"


def test_settle_hold_must_fit_into_the_window() -> None:
    points: Points = [(0, 99), (5, 20), (9, 20)]
    assert judged(points, kind="settle", high=30, within_s=5, hold_s=5).verdict == "pass"
    assert judged(points, kind="settle", high=30, within_s=5, hold_s=5.001).verdict == "fail"


def test_settle_takes_the_first_stay_that_lasts() -> None:
    points: Points = [(0, 20), (1, 99), (2, 20), (6, 99)]
    verdict = judged(points, kind="settle", high=30, within_s=5, hold_s=3)
    assert (verdict.verdict, verdict.measured) == ("pass", 2.0)


# --- coverage


def test_coverage_counts_the_gaps_at_both_ends() -> None:
    points: Points = [(3, 1), (5, 1), (7, 1)]
    assert judged(points, kind="coverage", max_gap_s=3).verdict == "pass"
    assert judged([(3.001, 1), (5, 1), (7, 1)], kind="coverage", max_gap_s=3).verdict == "fail"
    end = judged([(3, 1), (5, 1), (6.999, 1)], kind="coverage", max_gap_s=3)
    assert (end.verdict, end.measured, end.longest_violation_s) == ("fail", 3.001, 3.001)


def test_coverage_takes_readings_of_any_type() -> None:
    points: Points = [(0, "on"), (1, True), (2, 3)]
    assert judged(points, kind="coverage", min_samples=3).verdict == "pass"
    few = judged(points, kind="coverage", min_samples=4)
    assert (few.verdict, few.measured) == ("fail", 3.0)
    assert few.message == "3 readings of temp, at least 4 expected"


# --- equals


@pytest.mark.parametrize(
    ("value", "reading", "verdict"),
    [
        (1, 1.0, "pass"),
        (1, True, "fail"),
        (True, 1, "fail"),
        (True, True, "pass"),
        (False, True, "fail"),
        ("1", 1, "fail"),
        ("on", "on", "pass"),
        ("on", "On", "fail"),
        ("true", True, "fail"),
    ],
)
def test_equals_minds_the_type(value: object, reading: float | str | bool, verdict: str) -> None:
    found = judged([(0, reading), (1, reading)], kind="equals", value=value)
    assert (found.verdict, found.violations) == (verdict, 2 if verdict == "fail" else 0)


def test_equals_names_the_first_that_differed() -> None:
    verdict = judged([(0, "ok"), (1, "hot"), (2, "ok")], kind="equals", value="ok")
    assert verdict.message == 'temp was "hot" at 22:13:21 UTC, expected "ok"'
    assert verdict.measured == "hot"


# --- ratio


def ratio(above: Points, below: Points, **limits: object) -> Verdict:
    criterion = CRITERION.validate_python(
        {"name": "c", "kind": "ratio", "metric": "p", "other_metric": "h", **limits}
    )
    verdict = criterion.judge({"p": series(above), "h": series(below)}, TEN_S)
    json.dumps(verdict.model_dump(mode="json"), allow_nan=False)
    return verdict


def test_ratio_joins_at_equal_times_only() -> None:
    verdict = ratio([(0, 10), (1, 20), (2, 99)], [(0, 5), (1, 4), (3, 1)], high=5)
    assert (verdict.verdict, verdict.samples, verdict.measured) == ("pass", 2, 5.0)


@pytest.mark.parametrize("below", [0, -0.0, "x", True])
def test_ratio_by_zero_or_by_no_number_violates(below: float | str | bool) -> None:
    verdict = ratio([(0, 10), (1, 0)], [(0, 5), (1, below)], low=-1e9, high=1e9)
    assert (verdict.verdict, verdict.violations) == ("fail", 1)
    assert verdict.first_violation is not None
    assert verdict.first_violation.value is None


def test_ratio_without_a_common_time_is_missing() -> None:
    assert ratio([(0, 10)], [(1, 5)], high=5).verdict == "error"
    assert ratio([(0, 10)], [], high=5, on_missing="fail").verdict == "fail"


# --- no readings


KINDS: list[dict[str, object]] = [
    {"kind": "range", "high": 1},
    {"kind": "aggregate", "statistic": "count", "high": 1},
    {"kind": "increase", "low": 0},
    {"kind": "rate_of_change", "max_per_s": 1},
    {"kind": "settle", "high": 1, "within_s": 1},
    {"kind": "coverage", "min_samples": 1},
    {"kind": "equals", "value": 1},
    {"kind": "ratio", "other_metric": "temp", "high": 1},
]


@pytest.mark.parametrize("parameters", KINDS, ids=lambda p: str(p["kind"]))
@pytest.mark.parametrize(
    ("on_missing", "verdict"),
    [(None, "error"), ("error", "error"), ("fail", "fail"), ("ignore", "unset")],
)
def test_without_readings_on_missing_decides(
    parameters: dict[str, object], on_missing: str | None, verdict: str
) -> None:
    missing = {"on_missing": on_missing} if on_missing else {}
    found = judged([(-1, 0), (11, 0)], **parameters, **missing)
    assert (found.verdict, found.samples, found.measured) == (verdict, 0, None)
    assert found.message.startswith("no readings of temp")
