"""What the pages say of runs: headlines, what is opened first, choices and their reasons."""

from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.services import charts, choices, devices, runs
from testbench.services.devices import DevicePatch
from testbench.state.run.views import deciding, facts_of, rows_of, view_of
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")
WARM = {**made_runs.LIMITS, "name": "warm", "severity": "warning", "high": 10.0}


def test_a_failed_run_says_what_where_and_when() -> None:
    device = made_runs.online_device("bench-07")
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [20.0, 35.0]}})

    headline = facts_of(run).headline

    assert headline.startswith("Failed: temp reached 35.0 °C at ")
    assert headline.endswith("limit 30 °C, on bench-07")


def test_a_passed_run_counts_only_what_was_required() -> None:
    one, two = made_runs.online_device(), made_runs.online_device()
    readings: dict[Any, Any] = {one.id: {"temp": [20.0]}, two.id: {"temp": [21.0]}}
    run = made_runs.judged(made_runs.case(made_runs.LIMITS, WARM).id, readings)

    assert facts_of(run).headline == "Passed: the required criterion held on all 2 devices"


def test_a_cancelled_run_says_by_whom_and_a_queued_one_what_it_waits_for() -> None:
    run = made_runs.started(made_runs.case().id, [made_runs.online_device().id])
    assert facts_of(run).headline == "Waiting for a worker"

    ended = db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))

    assert facts_of(ended).headline == "Aborted: Cancelled by testbench."


def test_a_run_again_has_the_same_devices_test_case_and_environment() -> None:
    device, case = made_runs.online_device(), made_runs.case()
    warm = made_runs.environment(hot=30.0)
    run = made_runs.started(case.id, [device.id], warm.id)

    again = facts_of(run).again

    assert again == f"/runs/new?device={device.id}&case={case.id}&environment={warm.id}"


def test_the_required_failure_decides_before_the_warning() -> None:
    device = made_runs.online_device()
    case = made_runs.case(WARM, made_runs.LIMITS)
    run = made_runs.judged(case.id, {device.id: {"temp": [35.0]}})

    rows = rows_of(run.devices[0], ["warm", "temperature"])

    assert [row.verdict for row in rows] == ["fail", "fail"]
    assert deciding(rows) == "temperature"


def test_before_any_verdict_every_criterion_is_shown_as_open() -> None:
    run = made_runs.started(made_runs.case().id, [made_runs.online_device().id])

    (row,) = rows_of(run.devices[0], ["temperature"])

    assert (row.name, row.verdict, row.measured) == ("temperature", "unset", None)


def test_a_closed_chart_sends_no_points() -> None:
    device = made_runs.online_device()
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [20.0, 35.0]}})
    (chart,) = db.run(lambda tx: charts.of_run(tx, BENCH, run.id))

    opened, closed = view_of(chart), view_of(chart, is_open=False)

    assert [value for _, value in opened.series[0]["points"]] == [20.0, 35.0]
    assert len(opened.marks) == 1
    assert (closed.series[0]["points"], closed.marks) == ([], [])


def test_available_devices_are_offered_first_and_others_say_why_not() -> None:
    busy = made_runs.online_device("a-busy")
    made_runs.started(made_runs.case().id, [busy.id])
    broken = made_runs.online_device("b-broken")
    patch = DevicePatch(maintenance=True, maintenance_reason="fan replaced")
    db.run(lambda tx: devices.change(tx, BENCH, str(broken.id), patch))
    made_runs.online_device("c-free")

    found = db.run(lambda tx: choices.run_devices(tx, BENCH))

    assert [(one.name, one.why) for one in found.items] == [
        ("c-free", ""),
        ("b-broken", "is in maintenance: fan replaced"),
        ("a-busy", "is in a run"),
    ]
    assert (found.total, found.available) == (3, 1)


def test_a_device_without_a_required_tag_is_offered_last() -> None:
    plain = made_runs.online_device("a-plain")
    tagged = made_runs.online_device("z-tagged")
    patch = DevicePatch(tags=["oven"])
    db.run(lambda tx: devices.change(tx, BENCH, str(tagged.id), patch))

    found = db.run(lambda tx: choices.run_devices(tx, BENCH, required_tags=["oven"]))

    assert [(one.id, one.why) for one in found.items] == [
        (tagged.id, ""),
        (plain.id, "lacks the tag oven"),
    ]
