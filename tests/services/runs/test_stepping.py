"""The step machine: claims, windows, judging, timeouts; each step driven by hand."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.services import runs, test_cases
from testbench.services.runs import Fenced, RunView
from testbench.services.test_cases import Evaluation
from tests import made_runs
from tests.stepped_runs import (
    age,
    claim,
    deliver,
    events,
    held_by,
    opened,
    perform,
    row,
    started,
    step,
    view,
)

pytestmark = pytest.mark.usefixtures("bench_env")


def at(device_id: uuid.UUID, moment: datetime, value: Any) -> None:
    """One reading of `temp` at one time."""
    made_runs.store({device_id: {"temp": [value]}}, moment, moment)


def passed(run: RunView, seconds: float = 0) -> tuple[datetime, datetime]:
    """The window is opened, and it and its grace, or `seconds`, have passed."""
    opened(run.id)
    case = run.test_case
    age(run.id, seconds or case["warmup_s"] + case["duration_s"] + case["grace_s"])
    shown = view(run.id)
    assert shown.window_start is not None
    assert shown.window_end is not None
    return shown.window_start, shown.window_end


def judged(run: RunView) -> RunView:
    """The run with its verdict, by the step that is due."""
    step(run.id)
    assert row(run.id).phase == "callback"
    return deliver(run.id)


def test_a_run_goes_from_queued_to_judged_to_completed() -> None:
    run = started(duration_s=10, grace_s=1)
    device = run.devices[0].device_id

    start, end = passed(run)
    running = view(run.id)
    made_runs.store({device: {"temp": [20.0, 29.0]}}, start, end)
    ended = judged(run)

    assert (running.status, running.phase, running.outcome) == ("running", "observe", None)
    assert end - start == timedelta(seconds=10)
    assert start.microsecond % 1000 == end.microsecond % 1000 == 0
    assert (ended.status, ended.outcome, ended.progress, ended.reason) == (
        "completed", "pass", 1, None,
    )  # fmt: skip
    assert ended.devices[0].criteria[0]["samples"] == 2
    names = ["queued", "started", "window", "judged", "callback", "completed"]
    assert events(ended) == names
    assert [e.at for e in ended.timeline] == sorted(e.at for e in ended.timeline)
    assert held_by(device) is None


def test_a_step_is_claimed_by_one_worker_until_its_lease_is_over() -> None:
    run = started()

    first = claim(run.id)
    second = claim(run.id)
    age(run.id, 11)
    third = claim(run.id)

    assert first is not None
    assert second is None
    assert third is not None
    perform(third)
    with pytest.raises(Fenced):
        perform(first)
    assert row(run.id).step == 1
    assert events(view(run.id)).count("window") == 1


@pytest.mark.parametrize("number", [-1, 1, 2**31 - 1])
def test_only_the_expected_step_is_claimed(number: int) -> None:
    run = started()

    assert claim(run.id, number) is None
    assert claim(uuid.uuid4(), 0) is None


def test_a_step_that_is_not_due_is_not_claimed() -> None:
    run = started(duration_s=60)
    step(run.id)

    assert claim(run.id) is None


def test_a_lease_is_renewed_only_by_its_holder() -> None:
    run = started()
    old = claim(run.id)
    assert old is not None
    age(run.id, 11)
    new = claim(run.id)
    assert new is not None

    with db.transaction() as tx:
        assert runs.renew(tx, new)
        assert not runs.renew(tx, old)


def test_a_step_of_a_run_that_was_cancelled_meanwhile_writes_nothing() -> None:
    run = started()
    claimed = claim(run.id)
    assert claimed is not None
    cancelled = db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))

    with pytest.raises(Fenced):
        perform(claimed)

    assert view(run.id) == cancelled
    assert claim(run.id) is None


def test_the_warm_up_is_recorded_and_not_judged() -> None:
    run = started(duration_s=10, warmup_s=5, grace_s=0)
    device = run.devices[0].device_id
    start, end = passed(run)
    at(device, start - timedelta(milliseconds=1), 99.0)
    at(device, start, 20.0)
    at(device, end, 21.0)
    at(device, end + timedelta(milliseconds=1), 99.0)

    criterion = judged(run).devices[0].criteria[0]

    assert (criterion["verdict"], criterion["samples"]) == ("pass", 2)


def test_progress_is_the_elapsed_share_of_warm_up_duration_and_grace() -> None:
    run = started(duration_s=10, warmup_s=5, grace_s=5)
    assert view(run.id).progress == 0
    step(run.id)

    age(run.id, 10)
    half = view(run.id).progress
    age(run.id, 1000)
    late = view(run.id).progress

    assert 0.5 <= half < 0.6
    assert 0.99 < late < 1


def test_late_readings_count_until_the_grace_is_over_and_not_after() -> None:
    run = started(duration_s=10, grace_s=5)
    device = run.devices[0].device_id
    passed(run, seconds=12)
    step(run.id)
    assert row(run.id).phase == "observe"
    age(run.id, 3)
    start = view(run.id).window_start
    assert start is not None
    at(device, start, 20.0)
    step(run.id)
    at(device, start + timedelta(seconds=9), 99.0)
    ended = deliver(run.id)
    at(device, start + timedelta(seconds=1), 99.0)

    assert (ended.outcome, ended.devices[0].criteria[0]["samples"]) == ("pass", 1)
    assert view(run.id) == ended


def test_without_readings_a_run_is_failed_and_an_error() -> None:
    run = started(duration_s=1, grace_s=0)
    passed(run)

    ended = judged(run)

    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.reason is not None
    assert "no readings of temp" in ended.reason


def test_each_device_has_its_own_outcome_and_the_worst_is_the_runs() -> None:
    ids = [made_runs.online_device().id for _ in range(3)]
    run = started(*ids, duration_s=10, grace_s=0)
    start, end = passed(run)
    made_runs.store({ids[0]: {"temp": [20.0]}, ids[1]: {"temp": [99.0]}}, start, end)

    ended = judged(run)

    assert [device.outcome for device in ended.devices] == ["pass", "fail", "error"]
    assert (ended.status, ended.outcome) == ("failed", "error")


def test_a_test_that_stops_on_failure_ends_its_window_there() -> None:
    run = started(duration_s=600, grace_s=2, stop_on_fail=True)
    device = run.devices[0].device_id
    start, _ = passed(run, seconds=30)
    violation = start + timedelta(seconds=7)
    at(device, start, 20.0)
    at(device, violation, 31.0)
    at(device, start + timedelta(seconds=8), 20.0)

    ended = judged(run)

    assert (ended.status, ended.outcome) == ("completed", "fail")
    assert ended.window_end is not None
    assert ended.window_start is not None
    assert ended.window_end - ended.window_start == timedelta(seconds=7)
    assert ended.devices[0].criteria[0]["samples"] == 2


def test_evaluating_a_runs_window_gives_the_runs_criteria() -> None:
    kinds = [
        made_runs.LIMITS,
        {"kind": "aggregate", "name": "mean", "metric": "temp", "statistic": "mean", "high": 25},
        {"kind": "aggregate", "name": "twm", "metric": "temp", "high": 25,
         "statistic": "time_weighted_mean"},
        {"kind": "coverage", "name": "cover", "metric": "temp", "max_gap_s": 4},
        {"kind": "rate_of_change", "name": "slope", "metric": "temp", "max_per_s": 3},
        {"kind": "settle", "name": "settle", "metric": "temp", "high": 25, "within_s": 5},
    ]  # fmt: skip
    run = started(criteria=kinds, duration_s=10, grace_s=0)
    device = run.devices[0].device_id
    start, end = passed(run)
    made_runs.store({device: {"temp": [30.1, 28.7, 24.3, 22.9, 21.1]}}, start, end)
    ended = judged(run)
    assert ended.window_start is not None
    assert ended.window_end is not None

    window = Evaluation(device_id=str(device), start=ended.window_start, end=ended.window_end)
    again = db.run(lambda tx: test_cases.evaluate(tx, BENCH, str(run.test_case["id"]), window))

    assert [v.model_dump(mode="json") for v in again.criteria] == ended.devices[0].criteria
    assert again.outcome == ended.devices[0].outcome


def test_verdicts_are_shown_while_a_run_goes_on() -> None:
    run = started(duration_s=100, grace_s=0)
    device = run.devices[0].device_id
    start, _ = passed(run, seconds=20)
    at(device, start, 20.0)

    shown = step(run.id)

    assert shown.devices[0].outcome is None
    assert shown.status == "running"
    assert shown.devices[0].criteria[0]["samples"] == 1


def test_setup_waits_until_every_device_is_online() -> None:
    device = made_runs.online_device()
    run = started(device.id, setup=[{"kind": "wait_online", "timeout_s": 30}])
    made_runs.heard(device.id, ahead_s=-3600)

    step(run.id)
    waiting = view(run.id)
    made_runs.heard(device.id)
    age(run.id, 1)
    step(run.id)

    assert (waiting.status, waiting.phase, waiting.window_start) == ("running", "setup", None)
    assert view(run.id).phase == "observe"


def test_setup_that_waits_too_long_ends_the_run_naming_the_device() -> None:
    device = made_runs.online_device("oven 7")
    run = started(device.id, setup=[{"kind": "wait_online", "timeout_s": 5}])
    made_runs.heard(device.id, ahead_s=-3600)
    step(run.id)

    age(run.id, 6)
    step(run.id)

    ended = view(run.id)
    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.reason == "Setup: oven 7 did not come online."
    assert held_by(device.id) is None


def test_a_timeout_before_the_end_of_the_test_ends_it_as_timeout() -> None:
    run = started(duration_s=60, timeout_s=5)
    step(run.id)

    age(run.id, 4)
    still = step(run.id)
    age(run.id, 2)
    ended = step(run.id)

    assert still.status == "running"
    assert (ended.status, ended.outcome) == ("failed", "timeout")
    assert held_by(run.devices[0].device_id) is None


def test_a_bench_that_was_down_judges_what_is_stored() -> None:
    run = started(duration_s=10, grace_s=1)
    device = run.devices[0].device_id
    start, end = passed(run, seconds=86_400)
    made_runs.store({device: {"temp": [20.0]}}, start, end)

    assert judged(run).outcome == "pass"


def test_a_step_that_fails_is_tried_again_and_after_five_times_the_run_fails() -> None:
    run = started()
    for _ in range(5):
        age(run.id, 60)
        claimed = claim(run.id)
        assert claimed is not None
        with db.transaction() as tx:
            runs.retry(tx, claimed, "ZeroDivisionError")

    ended = view(run.id)

    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.reason == "The bench failed: ZeroDivisionError"
    assert events(ended).count("fault") == 5
    assert held_by(run.devices[0].device_id) is None


def test_a_device_whose_clock_is_off_is_an_error_where_data_lacks() -> None:
    coverage = {"kind": "coverage", "name": "c", "metric": "temp", "min_samples": 3}
    device = made_runs.online_device()
    run = started(device.id, criteria=[coverage], duration_s=10, grace_s=1)
    start, end = passed(run)
    made_runs.store({device.id: {"temp": [20.0]}}, start, end)
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE presence SET clock_off_ms = 5000")

    verdict = judged(run).devices[0].criteria[0]

    assert verdict["verdict"] == "error"
    assert "clock is off" in verdict["message"]
