"""The store in figures: a chart's points out of ten million rows, and judging against reading."""

import time
import uuid
from statistics import median
from typing import Any

import numpy as np
import pytest

from testbench.adapters import db, stores
from testbench.adapters.stores import Store, partitions
from testbench.adapters.stores import series as keys
from testbench.domain.criteria import Series, Window
from testbench.domain.identity import BENCH
from testbench.domain.judging import judge_device
from testbench.domain.test_cases import TestCaseSpec
from testbench.services import devices
from testbench.services.devices import NewDevice
from tests.bench.figures import tell
from tests.services import Env

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

START = 1_780_272_000_000
"""2026-06-01 00:00 UTC, in ms."""
DEVICES, METRICS, HOURS = 100, 4, 7
HOUR_S = 3600
ROUNDS = 15
JUDGED = 3_600_000
DAY_MS = 86_400_000

_FILL = """
INSERT INTO readings (series_id, ts, value)
SELECT s, to_timestamp(%(start)s::float8 + t), 50 + 10 * sin(t / 300.0 + s) + random()
FROM generate_series(%(first)s::int, %(last)s::int) AS t, unnest(%(ids)s::int[]) AS s
"""


@pytest.fixture
def store(bench_env: Env) -> Store:
    return stores.store()


def device() -> uuid.UUID:
    new = NewDevice(name=f"load-{uuid.uuid4().hex}", kind="http")
    return db.run(lambda tx: devices.create(tx, BENCH, new)).id


def fill(device_ids: list[uuid.UUID], metrics: list[str], seconds: int) -> None:
    """A reading of every metric of every device each second, in the order of time."""
    partitions.ensure({START // DAY_MS + day for day in range(seconds // 86_400 + 1)})
    with db.transaction() as tx:
        ids = keys.ensure(tx, [(device, metric) for device in device_ids for metric in metrics])
    flat = [id for some in ids.values() for id in some.values()]
    for first in range(0, seconds, HOUR_S):
        last = min(first + HOUR_S, seconds) - 1
        limits = {"start": START / 1000, "first": first, "last": last, "ids": flat}
        with db.transaction() as tx:
            tx.cursor().execute(_FILL, limits)
    with db.connect() as connection:
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE readings")


def test_an_hour_among_ten_million_rows(store: Store) -> None:
    fleet = [device() for _ in range(DEVICES)]
    metrics = [f"m{i}" for i in range(METRICS)]
    fill(fleet, metrics, HOURS * HOUR_S)
    spent: list[float] = []
    for turn in range(ROUNDS):
        first = START + turn % (HOURS - 1) * HOUR_S * 1000
        one, metric = fleet[turn * 7 % DEVICES], metrics[turn % METRICS]

        began = time.perf_counter()
        with db.transaction() as tx:
            last = first + HOUR_S * 1000 - 1
            points = store.downsampled(tx, one, [metric], first, last, 500)[metric]
        spent.append((time.perf_counter() - began) * 1000)
        assert 400 <= len(points) <= 500
    rows = DEVICES * METRICS * HOURS * HOUR_S
    tell(
        f"1 h of one metric among {rows / 1e6:.1f} M rows → 500 points",
        f"p50 {median(spent):.1f} ms, worst {max(spent):.1f} ms (with the way there and back)",
        "<= 10 ms in the database",
        reached=median(spent) <= 10,
    )


CRITERIA: list[dict[str, Any]] = [
    {"kind": "range", "name": "range", "metric": "m", "low": 0, "high": 100},
    {"kind": "aggregate", "name": "mean", "metric": "m", "statistic": "mean", "low": 0},
    {"kind": "aggregate", "name": "p95", "metric": "m", "statistic": "p95", "high": 100},
    {
        "kind": "aggregate",
        "name": "held",
        "metric": "m",
        "statistic": "time_weighted_mean",
        "high": 100,
    },
    {"kind": "increase", "name": "increase", "metric": "m", "low": 0},
    {"kind": "rate_of_change", "name": "slope", "metric": "m", "max_per_s": 1000},
    {"kind": "settle", "name": "settle", "metric": "m", "low": 0, "high": 100, "within_s": 10},
    {"kind": "coverage", "name": "coverage", "metric": "m", "min_samples": 10, "max_gap_s": 5},
    {"kind": "equals", "name": "equals", "metric": "m", "value": 50, "severity": "warning"},
    {
        "kind": "ratio",
        "name": "ratio",
        "metric": "m",
        "other_metric": "n",
        "low": 0,
        "severity": "warning",
    },
]


def test_judging_against_reading(store: Store) -> None:
    one = device()
    seconds = JUDGED // 2
    fill([one], ["m", "n"], seconds)
    window = Window(START, START + seconds * 1000 - 1)
    spec = TestCaseSpec.model_validate(
        {"name": "all kinds", "duration_s": seconds, "criteria": CRITERIA}
    )

    def read() -> dict[str, Series]:
        with db.transaction() as tx:
            return store.window(tx, one, ["m", "n"], window.start, window.end)

    readings, judgings = [], []
    for _ in range(3):
        began = time.perf_counter()
        series = read()
        readings.append(time.perf_counter() - began)
        began = time.perf_counter()
        judged = judge_device(spec, series, window)
        judgings.append(time.perf_counter() - began)
    assert sum(len(some) for some in series.values()) == JUDGED
    assert np.isfinite(series["m"].values).all()
    assert len(judged.criteria) == len(CRITERIA)
    ratio = median(judgings) / median(readings)
    tell(
        f"judging {JUDGED / 1e6:.1f} M stored readings with all kinds",
        f"read {median(readings):.2f} s, judged {median(judgings):.2f} s: {ratio:.2f} ×",
        "<= 2 × the reading",
        reached=ratio <= 2,
    )
