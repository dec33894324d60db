"""The clock dies or hangs: due rows wait for the next one, none is forgotten."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbench.launcher.instance import Instance
from tests.faults.stage import Stage
from tests.services import ROOT, TESTBENCH, wait_until


@contextmanager
def standby(stage: Stage) -> Iterator[Path]:
    """A second clock beside the bench's own; the file of what it says."""
    env = stage.bench.env | Instance.at(stage.bench.folder).state()["env"]
    env |= {"PGAPPNAME": "testbench standby"}
    said = stage.bench.folder / "standby.out"
    with said.open("wb") as out:
        clock = subprocess.Popen((*TESTBENCH, "clock"), cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield said
    finally:
        clock.send_signal(signal.SIGTERM)
        assert clock.wait(10) == 0


def test_a_killed_clock_is_started_again_and_sends_what_is_due(stage: Stage) -> None:
    device, case = stage.devices[0], stage.case()
    with stage.reporting(device):
        stage.kill("clock")
        run = stage.start(case, device)
        assert stage.ended(run) == ["pass"]
    assert stage.leader() == "clock"


def test_a_clock_that_stands_by_takes_over_within_seconds(stage: Stage) -> None:
    device, case = stage.devices[0], stage.case()
    wait_until(lambda: stage.leader() == "clock", 10)
    with standby(stage) as said, stage.reporting(device):
        wait_until(lambda: b"clock_stands_by" in said.read_bytes(), 20)
        assert stage.leader() == "clock"
        run = stage.start(case, device)
        stage.kill("clock")
        wait_until(lambda: stage.leader() == "standby", 3)
        assert stage.ended(run) == ["pass"]
    wait_until(lambda: stage.leader() == "clock", 10)


def test_a_clock_killed_between_marking_and_sending_forgets_nothing(stage: Stage) -> None:
    devices, case = stage.devices, stage.case()
    with stage.reporting(*devices):
        with ExitStack() as stack:
            with stage.frozen("clock"):
                runs = [stage.start(case, device) for device in devices]
                stack.enter_context(stage.servers.paused("rabbitmq"))
            # All ten are marked as sent; at most one of them has reached the broker's socket.
            marked = "SELECT count(*) FROM runs WHERE sent_until IS NOT NULL AND outcome IS NULL"
            wait_until(lambda: stage.db.execute(marked).fetchone() == (len(runs),), 5)
            stage.kill("clock")
        assert stage.ended(*runs) == ["pass"] * len(runs)
