"""What must hold for any readings: against plain loops, and of the fold itself."""

import itertools
import json
import math
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from testbench.domain.criteria import Criterion, Series, Window
from testbench.domain.judging import DeviceJudgement, judge_device, provisional
from testbench.domain.test_cases import TestCaseSpec

CRITERION = TypeAdapter[Criterion](Criterion)
T0 = 1_700_000_000_000
SPAN = 40  # ms: short, so that every instant of it can be tried
WINDOW = Window(T0, T0 + SPAN)

Value = float | str | bool
Point = tuple[int, Value]
Parameters = dict[str, object]

numbers = st.integers(0, 12).map(lambda n: n / 4)
values = st.one_of(numbers, numbers, numbers, numbers, st.sampled_from([True, "x"]))
plain_points = st.lists(st.tuples(st.integers(-5, SPAN + 5), numbers), max_size=14)
points = st.lists(st.tuples(st.integers(-5, SPAN + 5), values), max_size=14)
span_s = st.integers(1, SPAN + 10).map(lambda ms: ms / 1000)
limits = st.one_of(
    st.tuples(numbers, st.none()),
    st.tuples(st.none(), numbers),
    st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))),
).map(lambda pair: {"low": pair[0], "high": pair[1]})
maybe_count = st.one_of(st.none(), st.integers(0, 4))
maybe_span = st.one_of(st.none(), span_s)

STATISTICS = ["mean", "min", "max", "median", "p95", "stddev", "first", "last", "sum", "count"]


def of_kind(kind: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Parameters]:
    return st.fixed_dictionaries(
        {"kind": st.just(kind), "name": st.just("c"), "metric": st.just("m"), **fields}
    )


def with_limits(strategy: st.SearchStrategy[Parameters]) -> st.SearchStrategy[Parameters]:
    return st.tuples(strategy, limits).map(lambda pair: {**pair[0], **pair[1]})


ranges = with_limits(
    of_kind("range", max_violations=maybe_count, max_violation_s=st.one_of(st.none(), span_s))
)
aggregates = with_limits(
    of_kind("aggregate", statistic=st.sampled_from([*STATISTICS, "time_weighted_mean"]))
)
increases = with_limits(of_kind("increase"))
slopes = of_kind("rate_of_change", max_per_s=st.integers(0, 400))
settles = with_limits(of_kind("settle", within_s=span_s, hold_s=maybe_span))
coverages = st.one_of(
    of_kind("coverage", min_samples=st.integers(1, 8), max_gap_s=maybe_span),
    of_kind("coverage", max_gap_s=span_s),
)
equalities = of_kind("equals", value=st.sampled_from([1, 0.5, True, "x"]))
ratios = with_limits(of_kind("ratio", other_metric=st.just("n")))
every_kind = st.one_of(
    ranges, aggregates, increases, slopes, settles, coverages, equalities, ratios
)


def series_of(found: list[Point]) -> Series:
    return Series.from_points([(T0 + at, value) for at, value in found])


# --- the same rules again, as plain loops


def kept(found: list[Point], end: int = SPAN) -> list[Point]:
    return [(at, v) for at, v in sorted(dict(found).items()) if 0 <= at <= end]


def is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fits(value: Value | Fraction, p: Parameters) -> bool:
    if not (is_number(value) or isinstance(value, Fraction)):
        return False
    return (p["low"] is None or value >= p["low"]) and (p["high"] is None or value <= p["high"])


def rows_of(flags: list[tuple[int, bool]]) -> list[list[int]]:
    rows: list[list[int]] = []
    previous = False
    for at, flag in flags:
        if flag and previous:
            rows[-1].append(at)
        elif flag:
            rows.append([at])
        previous = flag
    return rows


def plain_range(found: list[Point], p: Parameters) -> str:
    rows = rows_of([(at, not fits(v, p)) for at, v in found])
    count, dwell = sum(map(len, rows)), max((r[-1] - r[0] for r in rows), default=0)
    most, longest = p.get("max_violations"), p.get("max_violation_s")
    if most is None and longest is None:
        return "fail" if count else "pass"
    too_many = most is not None and count > most
    too_long = longest is not None and dwell > round(longest * 1000)
    return "fail" if too_many or too_long else "pass"


def plain_statistic(name: str, numbers: list[Fraction], found: list[Point]) -> Fraction | float:
    ordered = sorted(numbers)
    if name == "p95":
        rank = Fraction(95, 100) * (len(ordered) - 1)
        below = math.floor(rank)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (rank - below) * (ordered[above] - ordered[below])
    if name == "time_weighted_mean":
        ends = [at for at, _ in found[1:]] + [SPAN]
        held = [end - at for (at, _), end in zip(found, ends, strict=True)]
        total = sum(held)
        return sum(h * n for h, n in zip(held, numbers, strict=True)) / Fraction(total or 1) + (
            0 if total else numbers[-1]
        )
    simple = {"mean": statistics.mean, "min": min, "max": max, "median": statistics.median}
    others = {"first": lambda n: n[0], "last": lambda n: n[-1], "sum": sum}
    return {**simple, **others, "stddev": statistics.stdev}[name](numbers)


def plain_aggregate(found: list[Point], p: Parameters) -> str:
    name = str(p["statistic"])
    if name == "count":
        return "pass" if fits(len(found), p) else "fail"
    if not all(is_number(v) for _, v in found):
        return "fail"
    if name == "stddev" and len(found) == 1:
        return "unset"
    figure = plain_statistic(name, [Fraction(v) for _, v in found], found)
    return "pass" if fits(figure, p) else "fail"


def plain_increase(found: list[Point], p: Parameters) -> str:
    if not all(is_number(v) for _, v in found):
        return "fail"
    if len(found) == 1:
        return "unset"
    rise = 0.0
    for (_, before), (_, after) in itertools.pairwise(found):
        rise += after - before if after >= before else after
    return "pass" if fits(rise, p) else "fail"


def plain_slope(found: list[Point], p: Parameters) -> str:
    if not all(is_number(v) for _, v in found):
        return "fail"
    if len(found) == 1:
        return "unset"
    pairs = itertools.pairwise(found)
    steepest = max(abs(Fraction(b) - Fraction(a)) * 1000 / (u - t) for (t, a), (u, b) in pairs)
    return "pass" if steepest <= p["max_per_s"] else "fail"


def plain_settle(found: list[Point], p: Parameters, end: int) -> str:
    within, hold = round(p["within_s"] * 1000), p["hold_s"]
    for at, _ in found:
        until = end if hold is None else at + round(hold * 1000)
        stays = all(fits(v, p) for t, v in found if at <= t <= until)
        if at <= within and until <= end and stays:
            return "pass"
    return "fail"


def plain_coverage(found: list[Point], p: Parameters, end: int) -> str:
    edges = [0, *(at for at, _ in found), end]
    gap = max(b - a for a, b in itertools.pairwise(edges))
    few = p.get("min_samples") is not None and len(found) < p["min_samples"]
    silent = p.get("max_gap_s") is not None and gap > round(p["max_gap_s"] * 1000)
    return "fail" if few or silent else "pass"


def plain_equals(found: list[Point], p: Parameters) -> str:
    wanted = p["value"]

    def equal(value: Value) -> bool:
        return is_number(value) == is_number(wanted) and value == wanted

    return "pass" if all(equal(v) for _, v in found) else "fail"


def plain_ratio(found: list[Point], below: list[Point], p: Parameters) -> str:
    others = dict(below)
    pairs = [(v, others[at]) for at, v in found if at in others]
    if not pairs:
        return "error"
    good = [is_number(a) and is_number(b) and b != 0 and fits(a / b, p) for a, b in pairs]
    return "pass" if all(good) else "fail"


def plainly(p: Parameters, found: list[Point], below: list[Point], end: int = SPAN) -> str:
    found, below = kept(found, end), kept(below, end)
    if not found:
        return "error"
    kinds = {
        "range": lambda: plain_range(found, p),
        "aggregate": lambda: plain_aggregate(found, p),
        "increase": lambda: plain_increase(found, p),
        "rate_of_change": lambda: plain_slope(found, p),
        "settle": lambda: plain_settle(found, p, end),
        "coverage": lambda: plain_coverage(found, p, end),
        "equals": lambda: plain_equals(found, p),
        "ratio": lambda: plain_ratio(found, below, p),
    }
    return kinds[str(p["kind"])]()


def borderline(p: Parameters, found: list[Point]) -> bool:
    """Statistics that rounding may put on either side of a limit that they equal."""
    exact = ("min", "max", "first", "last", "count", "sum", "median")
    return p["kind"] == "aggregate" and p["statistic"] not in exact


@settings(max_examples=600, deadline=None)
@given(every_kind, points, points)
def test_every_kind_agrees_with_a_plain_loop(
    p: Parameters, found: list[Point], below: list[Point]
) -> None:
    criterion = CRITERION.validate_python(p)
    verdict = criterion.judge({"m": series_of(found), "n": series_of(below)}, WINDOW)
    if borderline(p, found) and verdict.measured in (p["low"], p["high"]):
        return
    assert verdict.verdict == plainly(p, found, below)


# --- when a failure is certain


CERTAIN = st.one_of(
    ranges,
    increases,
    slopes,
    settles,
    coverages,
    equalities,
    ratios,
    with_limits(of_kind("aggregate", statistic=st.sampled_from(["max", "min", "first", "count"]))),
)


@settings(max_examples=500, deadline=None)
@given(CERTAIN, points, points)
def test_a_failure_is_certain_from_its_instant_on_and_not_before(
    p: Parameters, found: list[Point], below: list[Point]
) -> None:
    criterion = CRITERION.validate_python(p)
    series = {"m": series_of(found), "n": series_of(below)}
    failed_at = criterion.find(series, WINDOW).failed_at
    for end in range(T0, T0 + SPAN + 1):
        finding = criterion.find(series, Window(T0, end))
        if failed_at is None or end < failed_at:
            assert finding.failed_at is None
            assert finding.ruling != "fail" or finding.pending
        else:
            assert (finding.ruling, finding.failed_at) == ("fail", failed_at)
            assert not finding.pending


# --- the fold


@st.composite
def specs(draw: st.DrawFn) -> TestCaseSpec:
    chosen = draw(st.lists(every_kind, min_size=1, max_size=4))
    criteria = [
        {
            **p,
            "name": f"c{i}",
            "severity": "required" if i == 0 else draw(st.sampled_from(["required", "warning"])),
            "on_missing": draw(st.sampled_from(["error", "fail", "ignore"])),
            "marginal_fraction": draw(st.sampled_from([None, 0.1])),
        }
        for i, p in enumerate(chosen)
    ]
    return TestCaseSpec.model_validate(
        {
            "duration_s": SPAN / 1000,
            "grace_s": 0.01,
            "stop_on_fail": draw(st.booleans()),
            "sample_interval_s": draw(st.sampled_from([None, None, 0.005])),
            "criteria": criteria,
        }
    )


clocks = st.sampled_from([None, 0, 10, -11])


@settings(max_examples=300, deadline=None)
@given(specs(), points, points, clocks, st.randoms())
def test_neither_order_nor_other_readings_change_a_single_bit(
    spec: TestCaseSpec,
    found: list[Point],
    below: list[Point],
    clock: int | None,
    random: object,
) -> None:
    series = {"m": series_of(found), "n": series_of(below)}
    first = judge_device(spec, series, WINDOW, clock_off_ms=clock).model_dump_json()
    shuffled = list(dict(found).items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    more = [*shuffled, (-1000, 99.0), (SPAN + 1000, "late")]
    again = {"m": series_of(more), "n": series_of(below), "unrelated": series_of([(1, 1)])}
    assert judge_device(spec, again, WINDOW, clock_off_ms=clock).model_dump_json() == first


@settings(max_examples=400, deadline=None)
@given(specs(), points, points, clocks)
def test_judging_the_shortened_window_again_gives_the_same(
    spec: TestCaseSpec, found: list[Point], below: list[Point], clock: int | None
) -> None:
    series = {"m": series_of(found), "n": series_of(below)}
    judgement = judge_device(spec, series, WINDOW, clock_off_ms=clock)
    shortened = Window(T0, judgement.window_end)
    assert judge_device(spec, series, shortened, clock_off_ms=clock) == judgement
    if spec.stop_on_fail and judgement.failed_at is not None:
        assert judgement.window_end == judgement.failed_at
        assert judgement.outcome in ("fail", "error")


@settings(max_examples=300, deadline=None)
@given(specs(), points, points, clocks)
def test_nothing_passes_that_was_not_judged(
    spec: TestCaseSpec, found: list[Point], below: list[Point], clock: int | None
) -> None:
    series = {"m": series_of(found), "n": series_of(below)}
    judgement = judge_device(spec, series, WINDOW, clock_off_ms=clock)
    assert judgement.outcome in ("pass", "fail", "error")
    required = [v for v in judgement.criteria if v.severity == "required"]
    if judgement.outcome == "pass":
        assert any(v.verdict == "pass" for v in required)
        left_out = [v for v in required if v.verdict != "pass"]
        assert all((v.verdict, v.samples) == ("unset", 0) for v in left_out)
    if judgement.outcome == "fail":
        assert any(v.verdict == "fail" for v in required)
    for verdict in judgement.criteria:
        assert not verdict.marginal or verdict.verdict == "pass"
        assert (verdict.first_violation is None) or verdict.violations > 0


@settings(max_examples=300, deadline=None)
@given(specs(), points, points, st.integers(-5, SPAN + 20))
def test_what_is_provisionally_certain_stays(
    spec: TestCaseSpec, found: list[Point], below: list[Point], now: int
) -> None:
    series = {"m": series_of(found), "n": series_of(below)}
    shown = provisional(spec, series, WINDOW, T0 + now)
    final = judge_device(spec, series, WINDOW)
    if shown.failed_at is not None:
        assert shown.failed_at == final.failed_at
    if now >= SPAN + 10:
        assert shown == final
    elif now < 0:
        assert {v.verdict for v in shown.criteria} == {"unset"}


wild = st.one_of(st.floats(), st.booleans(), st.text(max_size=5))
wild_points = st.lists(st.tuples(st.integers(-5, SPAN + 5), wild), max_size=14)


@settings(max_examples=400, deadline=None)
@given(specs(), wild_points, wild_points)
def test_whatever_was_stored_the_judgement_is_plain_json(
    spec: TestCaseSpec, found: list[Point], below: list[Point]
) -> None:
    series = {"m": series_of(found), "n": series_of(below)}
    text = judge_device(spec, series, WINDOW).model_dump_json()
    json.loads(text, parse_constant=pytest.fail)
    assert DeviceJudgement.model_validate_json(text).model_dump_json() == text
