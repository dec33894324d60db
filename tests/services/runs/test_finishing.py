"""How runs end: once, releasing what they held, through teardown where there is one."""

import uuid

import pytest

from testbench.adapters import db
from testbench.domain.errors import Conflict, Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.services import devices, runs
from testbench.services.runs import Fenced, RunView
from testbench.services.runs.finishing import Ending, conclude
from testbench.services.runs.views import find
from tests import made_runs
from tests.stepped_runs import (
    age,
    claim,
    deliver,
    events,
    held_by,
    perform,
    row,
    started,
    step,
    view,
)

pytestmark = pytest.mark.usefixtures("bench_env")


def cancel(run_id: uuid.UUID) -> RunView:
    return db.run(lambda tx: runs.cancel(tx, BENCH, str(run_id)))


def test_a_run_ends_once() -> None:
    run = started()
    with db.transaction() as tx:
        runs.finish(tx, find(tx, run.id, lock=True), Ending(outcome="pass"))

    with pytest.raises(Conflict), db.transaction() as tx:
        runs.finish(tx, find(tx, run.id, lock=True), Ending(outcome="fail"))
    with pytest.raises(Conflict):
        cancel(run.id)

    assert (view(run.id).status, view(run.id).outcome) == ("completed", "pass")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("pass", "completed"), ("fail", "completed"), ("error", "failed"), ("timeout", "failed"),
     ("aborted", "cancelled")],
)  # fmt: skip
def test_status_and_release_are_one_transaction(outcome: str, status: str) -> None:
    run = started()
    ending = Ending.model_validate({"outcome": outcome, "reason": "why"})

    with pytest.raises(ZeroDivisionError):
        _finish_and_fail(run.id, ending)
    assert held_by(run.devices[0].device_id) == run.id
    with db.transaction() as tx:
        runs.finish(tx, find(tx, run.id, lock=True), ending)

    ended = view(run.id)
    assert (ended.status, ended.outcome, ended.reason, ended.progress) == (
        status,
        outcome,
        "why",
        1,
    )
    assert held_by(run.devices[0].device_id) is None


def _finish_and_fail(run_id: uuid.UUID, ending: Ending) -> None:
    with db.transaction() as tx:
        runs.finish(tx, find(tx, run_id, lock=True), ending)
        raise ZeroDivisionError


def test_teardown_comes_after_cancelling_and_devices_are_held_until_then() -> None:
    run = started(duration_s=60, teardown="restore")
    device = run.devices[0].device_id
    step(run.id)

    asked = cancel(run.id)
    again = cancel(run.id)
    held = held_by(device)
    step(run.id)
    ended = view(run.id)

    assert (asked.status, asked.phase, again.phase) == ("running", "teardown", "teardown")
    assert held == run.id
    assert (ended.status, ended.outcome) == ("cancelled", "aborted")
    assert events(ended)[-2:] == ["teardown", "cancelled"]
    assert held_by(device) is None


def test_a_run_nobody_took_needs_no_teardown() -> None:
    assert cancel(started(teardown="restore").id).status == "cancelled"


def test_cancelling_during_the_teardown_of_a_passed_run_counts() -> None:
    """The teardown that was being done meanwhile cannot write its old ending over."""
    run = started(duration_s=1, grace_s=0, teardown="restore")
    step(run.id)
    age(run.id, 2)
    step(run.id)
    claimed = claim(run.id)
    assert claimed is not None
    assert claimed.phase == "teardown"

    cancel(run.id)
    with pytest.raises(Fenced):
        perform(claimed)
    step(run.id)

    assert view(run.id).outcome == "aborted"


def test_cancelling_a_judged_run_whose_callback_is_on_its_way_counts() -> None:
    run = started(duration_s=1, grace_s=0)
    step(run.id)
    age(run.id, 2)
    step(run.id)
    assert row(run.id).phase == "callback"

    assert cancel(run.id).outcome == "aborted"
    with pytest.raises(Conflict):
        db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))


def test_a_judged_run_with_teardown_is_delivered_after_it() -> None:
    device = made_runs.online_device()
    run = started(device.id, duration_s=1, grace_s=0, teardown="restore")
    step(run.id)
    age(run.id, 2)
    shown = view(run.id)
    assert shown.window_start is not None
    assert shown.window_end is not None
    made_runs.store({device.id: {"temp": [20.0]}}, shown.window_start, shown.window_end)
    step(run.id)
    step(run.id)

    ended = deliver(run.id)

    assert (ended.status, ended.outcome) == ("completed", "pass")
    assert events(ended)[-4:] == ["judged", "teardown", "callback", "completed"]


def test_concluding_an_ended_run_is_refused() -> None:
    run = started()
    cancel(run.id)

    with pytest.raises(Conflict), db.transaction() as tx:
        conclude(tx, find(tx, run.id, lock=True), Ending(outcome="pass"))


def test_a_viewer_cancels_nothing() -> None:
    run = started()
    viewer = Actor(new_id(), "v", "viewer")

    with pytest.raises(Forbidden):
        db.run(lambda tx: runs.cancel(tx, viewer, str(run.id)))
    with pytest.raises(Conflict):
        db.run(lambda tx: devices.remove(tx, BENCH, str(run.devices[0].device_id)))
