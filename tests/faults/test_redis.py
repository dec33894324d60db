"""Redis restarts, with or without what it held, or hangs: it is never the only copy."""

import time
from typing import Any

import pytest
import redis

from tests.faults.stage import Stage
from tests.services import wait_until


def latest(stage: Stage, number: int) -> dict[str, Any]:
    """What the bench shows of a device."""
    shown: dict[str, Any] = stage.http.get(f"/api/devices/{stage.devices[number].id}").json()
    return shown


@pytest.mark.parametrize("data", ["kept", "lost"])
def test_latest_values_and_presence_are_there_again(stage: Stage, data: str) -> None:
    running, silent = stage.devices[0], stage.devices[9]
    assert stage.report(silent, {"temp": 23.25, "fan": True}).status_code == 200
    wait_until(lambda: latest(stage, 9)["latest"]["temp"]["value"] == 23.25, 2)
    before = latest(stage, 9)
    with stage.reporting(running):
        run = stage.start(stage.case(2.0), running)
        _restart(stage, data)
        if data == "lost":
            assert stage.http.get("/api/devices").status_code == 401
            stage.log_in()
        assert stage.http.get("/api/devices").status_code == 200
        wait_until(lambda: latest(stage, 9) == before, 6, lambda: str(latest(stage, 9)))
        assert stage.ended(run) == ["pass"]


def _restart(stage: Stage, data: str) -> None:
    if data == "lost":
        with redis.Redis.from_url(stage.servers.url("redis")) as client:
            client.flushall()
            client.shutdown(nosave=True)
        stage.servers.stop("redis")
    else:
        stage.servers.stop("redis")
    stage.servers.start("redis")


def test_a_hanging_redis_delays_nobody_beyond_five_seconds(stage: Stage) -> None:
    device = stage.devices[0]
    run = stage.start(stage.case(2.0), device)
    wait_until(lambda: stage.run(run, "phase")[0] == "observe", 5)
    assert stage.report(device, {"temp": 21.0}).status_code == 200
    with stage.servers.paused("redis"):
        for _ in range(3):
            began = time.monotonic()
            told = stage.http.get("/api/devices")
            reported = stage.report(device, {"temp": 21.0})
            assert time.monotonic() - began < 10
            assert told.status_code == 503
            assert told.headers["retry-after"]
            assert reported.status_code == 200, "readings are stored without Redis"
        assert stage.ended(run) == ["pass"]
