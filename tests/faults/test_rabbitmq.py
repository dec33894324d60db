"""RabbitMQ goes away, by itself or by force, or hangs: nothing accepted is lost, nobody waits."""

import time

import pytest

from tests.faults.stage import Stage
from tests.services import wait_until


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_runs_started_while_rabbitmq_is_away_go_on_when_it_is_back(stage: Stage, way: str) -> None:
    early, late = stage.devices[0], stage.devices[1]
    long, short = stage.case(4.0), stage.case()
    with stage.reporting(early, late):
        under_way = stage.start(long, early)
        wait_until(lambda: stage.run(under_way, "phase")[0] == "observe", 5)
        getattr(stage.servers, way)("rabbitmq")
        began = time.monotonic()
        waiting = stage.start(short, late)
        assert time.monotonic() - began < 1
        stage.servers.start("rabbitmq")
        assert stage.ended(under_way, waiting, within_s=30) == ["pass", "pass"]


def test_a_start_is_answered_at_once_while_rabbitmq_hangs(stage: Stage) -> None:
    devices, case = stage.devices[:5], stage.case()
    with stage.reporting(*devices):
        with stage.servers.paused("rabbitmq"):
            runs: list[str] = []
            for device in devices:
                began = time.monotonic()
                runs.append(stage.start(case, device))
                assert time.monotonic() - began < 1
                time.sleep(0.3)
        assert stage.ended(*runs, within_s=30) == ["pass"] * len(runs)


def test_what_waited_too_long_is_ended_while_rabbitmq_hangs(stage: Stage) -> None:
    device, case = stage.devices[0], stage.case(timeout_s=2.0, duration_s=60.0)
    with stage.reporting(device):
        run = stage.start(case, device)
        wait_until(lambda: stage.run(run, "phase")[0] == "observe", 5)
        with stage.servers.paused("rabbitmq"):
            assert stage.ended(run, within_s=8) == ["timeout"]
