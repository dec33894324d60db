"""The fold over all criteria: outcomes, holes, wrong clocks, stopping early, while running."""

import json

import pytest

from testbench.domain.criteria import Series, Window
from testbench.domain.judging import DeviceJudgement, judge_device, metrics_needed, provisional
from testbench.domain.test_cases import TestCaseSpec

T0 = 1_700_000_000_000
WINDOW = Window(T0, T0 + 10_000)
Points = list[tuple[float, float | str | bool]]

RANGE = {"kind": "range", "name": "warm", "metric": "temp", "high": 30}
COVERAGE = {"kind": "coverage", "name": "data", "metric": "temp", "min_samples": 3}


def case(*criteria: dict[str, object], **fields: object) -> TestCaseSpec:
    return TestCaseSpec.model_validate({"duration_s": 10, "criteria": criteria, **fields})


def readings(**points: Points) -> dict[str, Series]:
    return {
        metric: Series.from_points([(T0 + round(s * 1000), v) for s, v in found])
        for metric, found in points.items()
    }


def steady(value: float = 20, step: float = 1) -> Points:
    return [(i * step, value) for i in range(int(10 / step) + 1)]


def verdicts(judgement: DeviceJudgement) -> list[str]:
    return [criterion.verdict for criterion in judgement.criteria]


# --- outcome


def test_the_outcome_is_the_worst_of_the_required_criteria() -> None:
    series = readings(temp=steady(40))
    spec = case({**RANGE, "severity": "warning"}, COVERAGE)
    judgement = judge_device(spec, series, WINDOW)
    assert verdicts(judgement) == ["fail", "pass"]
    assert judgement.outcome == "pass"
    assert judge_device(case(RANGE, COVERAGE), series, WINDOW).outcome == "fail"


def test_a_required_criterion_without_readings_makes_an_error_of_a_failure() -> None:
    lost = {**RANGE, "name": "other", "metric": "volt"}
    assert judge_device(case(RANGE, lost), readings(temp=steady(40)), WINDOW).outcome == "error"
    warning = {**lost, "severity": "warning"}
    assert judge_device(case(RANGE, warning), readings(temp=steady(40)), WINDOW).outcome == "fail"


def test_a_required_unset_is_never_a_pass() -> None:
    slope = {"kind": "rate_of_change", "name": "s", "metric": "temp", "max_per_s": 1}
    judgement = judge_device(case(RANGE, slope), readings(temp=[(5, 20)]), WINDOW)
    assert verdicts(judgement) == ["pass", "unset"]
    assert judgement.outcome == "error"


def test_what_ignores_missing_readings_is_left_out_unless_nothing_else_is_judged() -> None:
    ignoring = {**RANGE, "name": "other", "metric": "volt", "on_missing": "ignore"}
    series = readings(temp=steady())
    assert judge_device(case(RANGE, ignoring), series, WINDOW).outcome == "pass"
    assert judge_device(case(ignoring), series, WINDOW).outcome == "error"
    warning = {**RANGE, "severity": "warning"}
    assert judge_device(case(ignoring, warning), series, WINDOW).outcome == "error"


@pytest.mark.parametrize(("on_missing", "outcome"), [("error", "error"), ("fail", "fail")])
def test_a_silent_device_is_judged_by_on_missing(on_missing: str, outcome: str) -> None:
    spec = case({**RANGE, "on_missing": on_missing}, {**COVERAGE, "on_missing": on_missing})
    assert judge_device(spec, {}, WINDOW).outcome == outcome


# --- holes


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ([(0, 20), (3, 20), (6, 20), (9, 20)], "pass"),
        ([(0, 20), (3.001, 20), (6, 20), (9, 20)], "error"),
        ([(3.001, 20), (6, 20), (9, 20)], "error"),
        ([(0, 20), (3, 20), (6, 20), (6.999, 20)], "error"),
        ([(0, 20), (3.001, 40), (6, 20), (9, 20)], "error"),
    ],
)
def test_a_hole_above_three_intervals_makes_the_verdict_an_error(
    points: Points, outcome: str
) -> None:
    judgement = judge_device(case(RANGE, sample_interval_s=1), readings(temp=points), WINDOW)
    assert judgement.outcome == outcome
    if outcome == "error":
        assert "no readings of temp for" in judgement.criteria[0].message
    assert judge_device(case(RANGE), readings(temp=points), WINDOW).outcome != "error"


def test_a_hole_in_one_metric_leaves_the_others_alone() -> None:
    volt = {**RANGE, "name": "v", "metric": "volt"}
    series = readings(temp=steady(), volt=[(0, 1), (9, 1)])
    judgement = judge_device(case(RANGE, volt, sample_interval_s=1), series, WINDOW)
    assert verdicts(judgement) == ["pass", "error"]


# --- clock


@pytest.mark.parametrize(
    ("off_ms", "verdict"),
    [
        (None, "fail"),
        (0, "fail"),
        (5000, "fail"),
        (-5000, "fail"),
        (5001, "error"),
        (-9000, "error"),
    ],
)
def test_a_wrong_clock_makes_failing_coverage_an_error(off_ms: int | None, verdict: str) -> None:
    spec = case(COVERAGE, RANGE)
    judgement = judge_device(spec, readings(temp=[(1, 40)]), WINDOW, clock_off_ms=off_ms)
    assert verdicts(judgement) == [verdict, "fail"]
    assert judgement.clock_off == (verdict == "error")
    assert ("clock" in judgement.criteria[0].message) == (verdict == "error")


def test_a_wrong_clock_leaves_passing_coverage_alone() -> None:
    judgement = judge_device(case(COVERAGE), readings(temp=steady()), WINDOW, clock_off_ms=60_000)
    assert (judgement.outcome, judgement.clock_off) == ("pass", True)


# --- stop on fail


def test_the_window_ends_at_the_violation_inclusive() -> None:
    points: Points = [*steady()[:4], (4, 40), (4.5, 41), *steady()[5:]]
    spec = case(RANGE, stop_on_fail=True)
    judgement = judge_device(spec, readings(temp=points), WINDOW)
    assert judgement.outcome == "fail"
    assert judgement.window_end == judgement.failed_at == T0 + 4000
    verdict = judgement.criteria[0]
    assert (verdict.samples, verdict.violations, verdict.measured) == (5, 1, 40.0)
    again = judge_device(spec, readings(temp=points), Window(T0, judgement.window_end))
    assert again == judgement


def test_only_required_criteria_stop_a_test() -> None:
    spec = case({**RANGE, "severity": "warning"}, COVERAGE, stop_on_fail=True)
    judgement = judge_device(spec, readings(temp=steady(40)), WINDOW)
    assert (judgement.outcome, judgement.window_end) == ("pass", WINDOW.end)


def test_without_stop_on_fail_the_whole_window_is_judged() -> None:
    judgement = judge_device(case(RANGE), readings(temp=steady(40)), WINDOW)
    assert (judgement.window_end, judgement.criteria[0].violations) == (WINDOW.end, 11)


def test_what_was_not_decided_when_the_test_stopped_is_unset_and_left_out() -> None:
    late = {**RANGE, "name": "late", "metric": "volt"}
    settle = {"kind": "settle", "name": "s", "metric": "temp", "low": 90, "within_s": 8}
    spec = case(RANGE, COVERAGE, late, settle, stop_on_fail=True)
    judgement = judge_device(spec, readings(temp=[(0, 20), (1, 40)], volt=[(2, 1)]), WINDOW)
    assert verdicts(judgement) == ["fail", "unset", "unset", "unset"]
    assert judgement.outcome == "fail"


def test_a_hole_before_the_violation_forbids_to_stop_at_it_one_after_does_not() -> None:
    spec = case(RANGE, sample_interval_s=1, stop_on_fail=True)
    before = judge_device(spec, readings(temp=[(0, 20), (5, 40)]), WINDOW)
    assert (before.outcome, before.window_end) == ("error", WINDOW.end)
    after = judge_device(spec, readings(temp=[(0, 20), (1, 40)]), WINDOW)
    assert (after.outcome, after.window_end) == ("fail", T0 + 1000)


@pytest.mark.parametrize(
    ("criterion", "points", "at"),
    [
        ({"kind": "range", "high": 30, "max_violations": 1}, [(1, 40), (2, 40), (3, 40)], 2),
        ({"kind": "range", "high": 30, "max_violation_s": 1}, [(1, 40), (2, 40), (3, 40)], 3),
        ({"kind": "aggregate", "statistic": "max", "high": 30}, [(1, 20), (2, 40)], 2),
        ({"kind": "aggregate", "statistic": "min", "low": 30}, [(1, 40), (2, 20)], 2),
        ({"kind": "aggregate", "statistic": "count", "high": 2}, [(1, 1), (2, 1), (3, 1)], 3),
        ({"kind": "aggregate", "statistic": "first", "high": 2}, [(1, 3), (2, 1)], 1),
        ({"kind": "aggregate", "statistic": "mean", "high": 2}, [(1, 3), (2, "x")], 2),
        ({"kind": "increase", "high": 4}, [(1, 3), (2, 7), (3, 2), (4, 9)], 3),
        ({"kind": "rate_of_change", "max_per_s": 1}, [(1, 1), (2, 1), (3, 9)], 3),
        ({"kind": "settle", "high": 2, "within_s": 4}, [(1, 9), (2, 1), (6, 9)], 6),
        ({"kind": "settle", "high": 2, "within_s": 4}, [(1, 9), (5, 1)], 4),
        ({"kind": "settle", "high": 2, "within_s": 4}, [(5, 1), (6, 1)], 5),
        ({"kind": "settle", "high": 2, "within_s": 4, "hold_s": 3}, [(3, 1), (5, 9), (6, 1)], 5),
        ({"kind": "coverage", "max_gap_s": 3}, [(1, 1), (2, 1), (7, 1)], 5.001),
        ({"kind": "coverage", "max_gap_s": 3}, [(5, 1), (6, 1)], 5),
        ({"kind": "equals", "value": 1}, [(1, 1), (2, 2), (3, 3)], 2),
        ({"kind": "ratio", "other_metric": "m", "high": 0.5}, [(1, 0), (2, 3)], 1),
    ],
)
def test_every_kind_stops_at_the_instant_it_has_certainly_failed(
    criterion: dict[str, object], points: Points, at: float
) -> None:
    spec = case({"name": "c", "metric": "m", **criterion}, stop_on_fail=True)
    judgement = judge_device(spec, readings(m=points), WINDOW)
    assert (judgement.outcome, judgement.window_end) == ("fail", T0 + round(at * 1000))
    assert judge_device(spec, readings(m=points), Window(T0, judgement.window_end)) == judgement


@pytest.mark.parametrize(
    "criterion",
    [
        {"kind": "aggregate", "statistic": "mean", "high": 1},
        {"kind": "aggregate", "statistic": "max", "low": 9},
        {"kind": "aggregate", "statistic": "last", "high": 1},
        {"kind": "increase", "low": 9},
        {"kind": "coverage", "min_samples": 99},
    ],
)
def test_what_later_readings_can_cure_stops_nothing(criterion: dict[str, object]) -> None:
    spec = case({"name": "c", "metric": "m", **criterion}, stop_on_fail=True)
    judgement = judge_device(spec, readings(m=[(0, 3), (9, 4)]), WINDOW)
    assert (judgement.outcome, judgement.window_end) == ("fail", WINDOW.end)


# --- provisional


def at(seconds: float) -> int:
    return T0 + round(seconds * 1000)


def test_before_the_window_nothing_is_decided() -> None:
    judgement = provisional(case(RANGE), readings(temp=steady(40)), WINDOW, at(-3))
    assert (judgement.outcome, verdicts(judgement)) == (None, ["unset"])


def test_before_any_reading_nothing_is_decided() -> None:
    spec = case(RANGE, COVERAGE, {**COVERAGE, "name": "gap", "max_gap_s": 1})
    judgement = provisional(spec, {}, WINDOW, at(5))
    assert (judgement.outcome, set(verdicts(judgement))) == (None, {"unset"})


def test_what_more_time_may_decide_is_unset() -> None:
    settle = {"kind": "settle", "name": "s", "metric": "temp", "high": 10, "within_s": 5}
    rise = {"kind": "increase", "name": "i", "metric": "temp", "low": 5}
    spec = case(RANGE, COVERAGE, settle, rise)
    judgement = provisional(spec, readings(temp=[(0, 20), (1, 21)]), WINDOW, at(2))
    assert verdicts(judgement) == ["pass", "unset", "unset", "unset"]
    assert judgement.outcome is None
    late = provisional(spec, readings(temp=[(0, 20), (1, 21)]), WINDOW, at(6))
    assert verdicts(late) == ["pass", "unset", "fail", "unset"]
    assert (late.outcome, late.failed_at) == ("fail", at(5))


def test_readings_of_the_future_do_not_count_yet() -> None:
    judgement = provisional(case(RANGE), readings(temp=[(1, 20), (4, 40)]), WINDOW, at(3))
    assert (judgement.outcome, judgement.criteria[0].samples) == ("pass", 1)


def test_a_certain_failure_shows_at_once_and_says_since_when() -> None:
    judgement = provisional(case(RANGE), readings(temp=[(1, 40), (2, 40)]), WINDOW, at(3))
    assert (judgement.outcome, judgement.failed_at) == ("fail", at(1))
    assert judgement.window_end == at(3)


def test_after_the_grace_the_provisional_is_the_final_verdict() -> None:
    spec, series = case(RANGE, COVERAGE), readings(temp=[(1, 20)])
    before = provisional(spec, series, WINDOW, at(14.999))
    assert (before.outcome, verdicts(before)) == (None, ["pass", "unset"])
    after = provisional(spec, series, WINDOW, at(15))
    assert after == judge_device(spec, series, WINDOW)
    assert after.outcome == "fail"


def test_a_stopped_test_shows_the_same_while_running_and_after() -> None:
    spec = case(RANGE, COVERAGE, stop_on_fail=True)
    series = readings(temp=[(1, 20), (2, 40), (3, 40)])
    assert provisional(spec, series, WINDOW, at(4)) == judge_device(spec, series, WINDOW)


# --- what it needs and what it gives


def test_the_metrics_needed_include_the_denominators() -> None:
    ratio = {"kind": "ratio", "name": "q", "metric": "power", "other_metric": "rate", "high": 1}
    assert metrics_needed(case(RANGE, COVERAGE, ratio)) == {"temp", "power", "rate"}


def test_a_judgement_is_plain_json() -> None:
    series = readings(temp=[(0, 1e308), (1, -1e308), (2, "x")])
    kinds = [
        RANGE,
        {"kind": "aggregate", "name": "a", "metric": "temp", "statistic": "stddev", "high": 1},
        {"kind": "rate_of_change", "name": "r", "metric": "temp", "max_per_s": 1},
        {"kind": "increase", "name": "i", "metric": "temp", "low": 1},
    ]
    text = judge_device(case(*kinds), series, WINDOW).model_dump_json()
    assert DeviceJudgement.model_validate_json(text).outcome == "fail"
    json.loads(text, parse_constant=pytest.fail)
