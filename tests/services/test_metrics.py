"""How far ingest is behind, and scrapes that come faster than they can be answered."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbench.adapters import db
from testbench.domain.errors import Unavailable
from testbench.domain.identity import BENCH
from testbench.services import devices, metrics, telemetry
from testbench.services.devices import NewDevice
from testbench.services.telemetry import Message
from tests.services import Env, free_port, wait_until


def sent(ago_s: float) -> Message:
    """A reading that arrived some time ago."""
    new = NewDevice(name=f"d-{uuid.uuid4()}", kind="http")
    device = db.run(lambda tx: devices.create(tx, BENCH, new))
    return Message(device.id, {"temp": 20.0}, "http", round((time.time() - ago_s) * 1000))


def test_lag_is_from_the_arrival_of_a_reading_to_its_commit(bench_env: Env) -> None:
    assert metrics.figures().ingest_lag_s == 0

    telemetry.ingest([sent(ago_s=7)])

    lag = metrics.figures().ingest_lag_s
    assert lag is not None
    assert 7 <= lag < 60


def test_reading_that_cannot_be_stored_makes_the_lag_grow_until_one_can(bench_env: Env) -> None:
    message = sent(ago_s=20)
    url = db.psycopg_url(_database_url())
    bench_env.set(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    with pytest.raises(Unavailable):
        telemetry.ingest([message], attempt_s=0.1)
    first = metrics.figures().ingest_lag_s
    assert first is not None
    assert first >= 20
    wait_until(lambda: (metrics.figures().ingest_lag_s or 0) > first + 0.5, 10)

    bench_env.set(DATABASE_URL=url)
    telemetry.ingest([message._replace(received=round(time.time() * 1000))])

    now = metrics.figures().ingest_lag_s
    assert now is not None
    assert now < 20


def _database_url() -> str:
    from testbench.settings import settings

    return settings().database_url or ""


def test_scrapes_beyond_a_few_at_once_are_asked_to_come_again(bench_env: Env) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()
    real = metrics._written

    def slow() -> bytes:
        began.release()
        go_on.wait(30)
        return real()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(metrics, "_written", slow)
        under_way = [pool.submit(metrics.exposition) for _ in range(metrics.MAX_WAITING)]
        began.acquire(timeout=30)
        wait_until(lambda: metrics._waiting._value == 0, 30)
        with pytest.raises(Unavailable):
            metrics.exposition()
        go_on.set()
        answers = [one.result(60) for one in under_way]

    assert all(b"testbench_database_up 1" in answer for answer in answers)
    assert b"testbench_database_up 1" in metrics.exposition()
