"""Two runs side by side."""

import pytest

from testbench.adapters import db
from testbench.domain.errors import NotFound
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.services import comparisons
from testbench.services.comparisons import Comparison
from testbench.services.runs import RunView
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")
HUMID = {"kind": "range", "name": "humidity", "metric": "rh", "high": 60.0}


def compared(a: RunView, b: RunView) -> Comparison:
    return db.run(lambda tx: comparisons.compare(tx, BENCH, a.id, b.id))


def test_what_changed_comes_first_with_its_delta() -> None:
    device = made_runs.online_device()
    case = made_runs.case(HUMID, made_runs.LIMITS)
    a = made_runs.judged(case.id, {device.id: {"temp": [25.0], "rh": [40.0]}})
    b = made_runs.judged(case.id, {device.id: {"temp": [35.0], "rh": [44.0]}})

    found = compared(a, b)

    assert [(row.name, row.change, row.delta) for row in found.criteria] == [
        ("temperature", "verdict", 10.0),
        ("humidity", "measured", 4.0),
    ]
    assert found.criteria[0].relative == 0.4
    assert (found.differences, found.a.outcome, found.b.outcome) == (1, "pass", "fail")


def test_a_criterion_that_only_one_run_has_is_a_difference() -> None:
    device = made_runs.online_device()
    a = made_runs.judged(made_runs.case().id, {device.id: {"temp": [25.0]}})
    b = made_runs.judged(made_runs.case(HUMID).id, {device.id: {"rh": [25.0]}})

    changes = {row.name: row.change for row in compared(a, b).criteria}

    assert changes == {"temperature": "only_a", "humidity": "only_b"}


def test_devices_are_matched_by_name_and_the_rest_by_place() -> None:
    one, two, three, four = (made_runs.online_device(name) for name in ("a", "b", "c", "d"))
    case = made_runs.case()
    a = made_runs.judged(case.id, {one.id: {"temp": [1.0]}, two.id: {"temp": [2.0]}})
    b = made_runs.judged(
        case.id, {three.id: {"temp": [3.0]}, one.id: {"temp": [1.0]}, four.id: {"temp": [4.0]}}
    )

    pairs = [(device.a_name, device.b_name) for device in compared(a, b).devices]

    assert pairs == [("a", "a"), ("b", "c"), (None, "d")]


def test_a_limit_that_moved_is_a_difference_even_if_the_verdict_stayed() -> None:
    device = made_runs.online_device()
    case = made_runs.case({**made_runs.LIMITS, "high": "{{hot}}"})
    readings = {device.id: {"temp": [20.0]}}
    cool, warm = made_runs.environment(hot=25.0), made_runs.environment(hot=30.0)

    found = compared(
        made_runs.judged(case.id, readings, cool.id), made_runs.judged(case.id, readings, warm.id)
    )

    assert [row.change for row in found.criteria] == ["limits"]


def test_a_run_equals_itself() -> None:
    device = made_runs.online_device()
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [25.0]}})

    found = compared(run, run)

    assert found.differences == 0
    assert [row.change for row in found.criteria] == ["none"]


def test_an_unknown_run_cannot_be_compared() -> None:
    run = made_runs.started(made_runs.case().id, [made_runs.online_device().id])

    with pytest.raises(NotFound):
        db.run(lambda tx: comparisons.compare(tx, BENCH, run.id, new_id()))


def test_the_noise_of_numbers_is_no_difference() -> None:
    device = made_runs.online_device()
    mean = {"kind": "aggregate", "name": "mean", "metric": "t", "statistic": "mean", "high": 9.0}
    case = made_runs.case(mean)
    a = made_runs.judged(case.id, {device.id: {"t": [0.3]}})
    b = made_runs.judged(case.id, {device.id: {"t": [0.1 + 0.2]}})

    (row,) = compared(a, b).criteria

    assert (row.change, row.delta) == ("none", 0.0)


def test_the_partner_of_a_run_is_the_last_ended_one_of_its_test_case() -> None:
    device, case = made_runs.online_device(), made_runs.case()
    readings = {device.id: {"temp": [20.0]}}
    first = made_runs.judged(case.id, readings)
    second = made_runs.judged(case.id, readings)
    made_runs.judged(made_runs.case().id, readings)
    third = made_runs.judged(case.id, readings)

    def partner(run: RunView) -> object:
        return db.run(lambda tx: comparisons.partner(tx, BENCH, run.id))

    assert [partner(run) for run in (first, second, third)] == [None, first.id, second.id]
