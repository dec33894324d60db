"""SIGKILL to a worker at every place of a run: another does the step again, once."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.stage import LEASE_S, Stage

ALL = {"setup": [{"kind": "wait_online", "timeout_s": 30}], "teardown": "restore"}
PLACES = [
    "claim setup",
    "setup>observe",
    "claim observe",
    "observe>observe",
    "observe>teardown",
    "teardown>callback",
    "claim callback",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_step_whose_worker_was_killed_is_done_by_another(stage: Stage, place: str) -> None:
    device, case = stage.devices[0], stage.case(**ALL)
    with stage.reporting(device):
        with stage.run_up_to(place, case, device) as (run, gate):
            worker = gate.reached()
            before = stage.run(run, "step", "phase")
            stage.kill(worker)
        freed = time.monotonic()
        while stage.run(run, "step", "phase") == before:
            assert time.monotonic() - freed < LEASE_S + 4, "the step was not done again in time"
            time.sleep(0.02)
        assert stage.ended(run) == ["pass"]
    _was_done_once(stage, run)


def test_a_callback_in_flight_when_every_worker_is_killed_counts_once(stage: Stage) -> None:
    device, case = stage.devices[0], stage.case(**ALL)
    with stage.reporting(device):
        with stage.run_up_to("callback>done", case, device) as (run, gate):
            assert gate.reached() == "web"
            stage.kill("worker", "worker-2")
        assert stage.ended(run) == ["pass"]
    _was_done_once(stage, run)


def test_a_callback_whose_web_process_is_killed_is_delivered_again(stage: Stage) -> None:
    device, case = stage.devices[0], stage.case(**ALL)
    with stage.reporting(device):
        with stage.run_up_to("callback>done", case, device) as (run, gate):
            assert gate.reached() == "web"
            stage.kill("web")
        assert stage.ended(run) == ["pass"]
    lines = [line for line in stage.lines(run) if line != "fault"]
    assert lines[-2:] == ["callback", "completed"]
    assert lines.count("callback") == 1


def test_a_worker_pool_that_lost_its_child_is_started_again(stage: Stage) -> None:
    device, case = stage.devices[1], stage.case(**ALL)
    pools = {name: stage.pid(name) for name in ("worker", "worker-2")}
    for pool in pools.values():
        children = Path(f"/proc/{pool}/task/{pool}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
    with stage.reporting(device):
        assert stage.ended(stage.start(case, device)) == ["pass"]


def _was_done_once(stage: Stage, run: str) -> None:
    lines = stage.lines(run)
    assert lines == ["queued", "started", "window", "judged", "teardown", "callback", "completed"]
