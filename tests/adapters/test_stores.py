"""One contract for every telemetry store, on the real servers."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbench.adapters import db, stores
from testbench.adapters.stores import Point, Reading, Store, Value, Written, partitions
from testbench.domain.ids import new_id
from testbench.models import Device
from tests.services import Env

T0 = 1_780_000_000_000
"""A moment in 2026, in ms."""


@pytest.fixture(params=["postgres", "influx"])
def store(request: pytest.FixtureRequest, bench_env: Env) -> Iterator[Store]:
    if request.param == "influx":
        bench_env.set(**request.getfixturevalue("influx"))
    yield stores.store()
    stores.store.cache_clear()


@pytest.fixture
def device(store: Store) -> uuid.UUID:
    return make_device()


def make_device() -> uuid.UUID:
    with db.transaction() as tx:
        made = Device(
            id=new_id(),
            name=f"device {uuid.uuid4().hex}",
            kind="http",
            offline_after_s=60,
            created_at=tx.now,
        )
        device_id = made.id
        tx.session.add(made)
    return device_id


def write(store: Store, *readings: tuple[uuid.UUID, str, int, Value]) -> Written:
    with db.transaction() as tx:
        return store.write(tx, [Reading(*reading) for reading in readings])


def read(store: Store, device: uuid.UUID, metric: str, start: int, end: int) -> list[Point]:
    with db.transaction() as tx:
        series = store.window(tx, device, [metric], start, end)[metric]
    return [
        Point(int(ts), series.other.get(i, float(series.values[i])))
        for i, ts in enumerate(series.ts)
    ]


def thin(store: Store, device: uuid.UUID, metric: str, points: int) -> list[Point]:
    with db.transaction() as tx:
        return store.downsampled(tx, device, [metric], 946_684_800_000, T0 * 2, points)[metric]


def test_a_stored_reading_comes_back_as_it_was_sent(store: Store, device: uuid.UUID) -> None:
    values: list[Value] = [21.5, -0.5, 1e300, 5e-324, "on", "", 'say "hi" \\ \n', True, False]

    written = write(store, *[(device, "m", T0 + i, value) for i, value in enumerate(values)])

    assert written == Written(len(values), 0)
    back = read(store, device, "m", T0, T0 + 100)
    assert [point.ts for point in back] == [T0 + i for i in range(len(values))]
    assert [repr(point.value) for point in back] == [repr(value) for value in values]


def test_the_same_value_again_is_a_duplicate_and_another_value_wins(
    store: Store, device: uuid.UUID
) -> None:
    write(store, (device, "m", T0, 1.0), (device, "m", T0 + 1, 2.0))

    written = write(store, (device, "m", T0, 1.0), (device, "m", T0 + 1, 3.0))

    assert written == Written(1, 1)
    assert read(store, device, "m", T0, T0 + 1) == [Point(T0, 1.0), Point(T0 + 1, 3.0)]


def test_of_equal_times_in_one_batch_the_last_wins_and_the_others_are_duplicates(
    store: Store, device: uuid.UUID
) -> None:
    written = write(store, (device, "m", T0, 1.0), (device, "m", T0, 2.0), (device, "m", T0, 9.0))

    assert written == Written(1, 2)
    assert read(store, device, "m", T0, T0) == [Point(T0, 9.0)]


@pytest.mark.parametrize(
    ("first", "second"), [(1.0, True), (True, 1.0), ("1", 1.0), (0.0, False), (2.0, "2")]
)
def test_a_rewritten_value_leaves_nothing_of_another_type_behind(
    store: Store, device: uuid.UUID, first: Value, second: Value
) -> None:
    write(store, (device, "m", T0, first))

    assert write(store, (device, "m", T0, second)) == Written(1, 0)

    [point] = read(store, device, "m", T0, T0)
    assert (point.value, type(point.value)) == (second, type(second))


def test_a_window_includes_both_its_ends_and_nothing_else(store: Store, device: uuid.UUID) -> None:
    write(store, *[(device, "m", T0 + i, float(i)) for i in range(10)], (device, "n", T0, 1.0))

    assert [point.value for point in read(store, device, "m", T0 + 3, T0 + 6)] == [3, 4, 5, 6]


def test_an_unknown_metric_is_an_empty_series(store: Store, device: uuid.UUID) -> None:
    with db.transaction() as tx:
        assert len(store.window(tx, device, ["nothing"], 0, T0)["nothing"]) == 0
        assert store.downsampled(tx, device, ["nothing"], 0, T0, 10) == {"nothing": []}
        assert store.metrics(tx, device) == []
        assert store.latest(tx, [device]).get(device, {}) == {}


def test_readings_of_any_time_since_2000_are_kept(store: Store, device: uuid.UUID) -> None:
    now = int(time.time() * 1000)
    moments = [946_684_800_000, 1_372_896_000_000, 1_767_225_599_999, 1_767_225_600_000, now]

    write(store, *[(device, "m", ts, float(i)) for i, ts in enumerate(moments)])

    assert [point.ts for point in read(store, device, "m", 0, now)] == moments


def test_up_to_max_points_come_back_whole(store: Store, device: uuid.UUID) -> None:
    points = [Point(T0 + i, float(i % 7)) for i in range(50)]
    write(store, *[(device, "m", *point) for point in points])

    assert thin(store, device, "m", 50) == points


def test_downsampling_keeps_minima_and_maxima_where_they_were(
    store: Store, device: uuid.UUID
) -> None:
    values = [10 + math.sin(i / 9) for i in range(2000)]
    values[777], values[1500] = 99.0, -99.0
    write(store, *[(device, "m", T0 + 1000 * i, value) for i, value in enumerate(values)])

    points = thin(store, device, "m", 100)

    assert 50 <= len(points) <= 100
    assert Point(T0 + 777_000, 99.0) in points
    assert Point(T0 + 1_500_000, -99.0) in points
    assert [point.ts for point in points] == sorted({point.ts for point in points})
    assert all(values[(point.ts - T0) // 1000] == pytest.approx(point.value) for point in points)


def test_downsampling_follows_where_the_data_is_not_how_wide_the_window(
    store: Store, device: uuid.UUID
) -> None:
    write(store, *[(device, "m", T0 + i, float(i)) for i in range(1000)])

    assert len(thin(store, device, "m", 100)) >= 50


def test_downsampled_strings_and_bools_are_readings_of_their_stretch(
    store: Store, device: uuid.UUID
) -> None:
    sent: list[Value] = ["idle" if i % 3 else True if i % 2 else float(i) for i in range(300)]
    write(store, *[(device, "m", T0 + i, value) for i, value in enumerate(sent)])

    points = thin(store, device, "m", 60)

    assert 20 <= len(points) <= 60
    assert all(sent[point.ts - T0] == point.value for point in points)
    assert any(isinstance(point.value, str) for point in points)


def test_latest_is_the_newest_of_each_metric_and_device(store: Store, device: uuid.UUID) -> None:
    other = make_device()
    write(store, (device, "a", T0 + 5, 5.0), (device, "b", T0, "x"), (other, "a", T0, True))
    write(store, (device, "a", T0 + 1, 1.0))

    with db.transaction() as tx:
        latest = store.latest(tx, [device, other])

    assert latest[device] == {"a": Point(T0 + 5, 5.0), "b": Point(T0, "x")}
    assert latest[other] == {"a": Point(T0, True)}


def test_shapes_are_the_means_of_equal_stretches(store: Store, device: uuid.UUID) -> None:
    other = make_device()
    write(
        store,
        *((device, "temp", T0 + i * 500, float(i)) for i in range(4)),
        (device, "temp", T0 + 3000, 9.0),
        (device, "mode", T0, "eco"),
        (other, "temp", T0 + 3999, 5.0),
        (other, "temp", T0 + 4000, 7.0),
    )
    wanted = [(device, "temp"), (other, "temp"), (device, "mode"), (device, "unknown")]

    with db.transaction() as tx:
        shapes = store.shapes(tx, wanted, T0, T0 + 4000, 4)

    assert shapes[device, "temp"] == [0.5, 2.5, None, 9.0]
    assert shapes[other, "temp"] == [None, None, None, 5.0]
    assert not any(shapes.get(key) for key in wanted[2:])


def test_deleting_a_device_forgets_its_readings_alone_and_it_may_come_back(
    store: Store, device: uuid.UUID
) -> None:
    other = make_device()
    write(store, (device, "a", T0, 1.0), (device, "b", T0, 1.0), (other, "a", T0, 1.0))

    with db.transaction() as tx:
        store.delete(tx, device)

    with db.transaction() as tx:
        assert store.metrics(tx, device) == []
        assert store.metrics(tx, other) == ["a"]
    assert write(store, (device, "a", T0, 1.0)) == Written(1, 0)
    assert read(store, device, "a", T0, T0) == [Point(T0, 1.0)]


def test_deleting_up_to_a_time_leaves_what_came_since(store: Store, device: uuid.UUID) -> None:
    write(store, *[(device, metric, T0 + i, 1.0) for metric in "ab" for i in range(10)])

    with db.transaction() as tx:
        assert store.delete(tx, device, before=T0 + 7)

    for metric in "ab":
        points = read(store, device, metric, T0, T0 + 10)
        assert [point.ts for point in points] == [T0 + 7, T0 + 8, T0 + 9]


def test_deleting_much_is_done_in_turns(store: Store, device: uuid.UUID) -> None:
    day = 86_400_000
    write(store, *[(device, "m", T0 - i * day, float(i)) for i in range(5)])
    turns = 0

    done = False
    while not done:
        with db.transaction() as tx:
            done = store.delete(tx, device, seconds=0.001)
        turns += 1
        assert turns < 1000

    assert read(store, device, "m", 0, T0) == []


def test_old_readings_expire_and_young_ones_stay(store: Store, device: uuid.UUID) -> None:
    now = int(time.time() * 1000)
    day = 86_400_000
    write(store, *[(device, "m", now - i * day, float(i)) for i in (0, 1, 5, 40, 3000)])

    store.expire(10)

    assert sorted(point.value for point in read(store, device, "m", 0, now)) == [0, 1, 5]
    assert write(store, (device, "m", now - 40 * day, 1.0)) == Written(1, 0)


@pytest.mark.parametrize(
    "metric", ["a b,c=d", "back\\", "qu'o\"te", "µ°C", "%5C", "$x", "a/b", "=", "#"]
)
def test_metric_names_are_any_text(store: Store, device: uuid.UUID, metric: str) -> None:
    write(store, (device, metric, T0, 1.0))

    with db.transaction() as tx:
        assert store.metrics(tx, device) == [metric]
        assert store.latest(tx, [device])[device] == {metric: Point(T0, 1.0)}
    assert read(store, device, metric, T0, T0) == [Point(T0, 1.0)]
    assert thin(store, device, metric, 10) == [Point(T0, 1.0)]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b"]),
                st.integers(0, 5),
                st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.booleans(), st.sampled_from("xy")),
            ),
            min_size=1,
            max_size=12,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_batches_count_every_value_once_and_keep_the_last(
    store: Store, batches: list[list[tuple[str, int, Value]]]
) -> None:
    device = make_device()
    model: dict[tuple[str, int], Value] = {}
    for batch in batches:
        before = dict(model)
        model |= {(metric, ts): value for metric, ts, value in batch}
        written = write(store, *[(device, m, T0 + ts, value) for m, ts, value in batch])
        changed = {k for k, v in model.items() if k not in before or _differ(before[k], v)}
        assert written == Written(len(changed), len(batch) - len(changed))
    for metric in ("a", "b"):
        expected = [
            Point(T0 + ts, value)
            for (name, ts), value in sorted(model.items(), key=_time)
            if name == metric
        ]
        stored = read(store, device, metric, T0, T0 + 10)
        assert [json.dumps(p) for p in stored] == [json.dumps(p) for p in expected]


def _time(item: tuple[tuple[str, int], Value]) -> int:
    return item[0][1]


def _differ(one: Value, other: Value) -> bool:
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def test_a_window_is_read_without_loss_at_size(store: Store, device: uuid.UUID) -> None:
    count = 120_000
    values = np.random.default_rng(7).normal(size=count)
    for first in range(0, count, 20_000):
        write(
            store, *[(device, "m", T0 + i, float(values[i])) for i in range(first, first + 20_000)]
        )

    with db.transaction() as tx:
        series = store.window(tx, device, ["m"], T0, T0 + count)["m"]

    assert np.array_equal(series.ts, T0 + np.arange(count))
    assert np.array_equal(series.values, values)


def test_a_long_window_is_read_in_blocks_that_fit(
    store: Store, device: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbench.adapters.stores.postgres.BLOCK_ROWS", 7)
    monkeypatch.setattr("testbench.adapters.stores.influx.CHUNK_ROWS", 7)
    points = [Point(T0 + i, "x" if i % 5 == 3 else float(i)) for i in range(28)]
    write(store, *[(device, "m", *point) for point in points])

    assert read(store, device, "m", T0, T0 + 100) == points


# --- PostgreSQL alone ---------------------------------------------------------------------------


@pytest.fixture
def postgres(bench_env: Env) -> Store:
    return stores.store()


def test_a_batch_that_is_rolled_back_leaves_nothing_and_is_not_remembered(
    postgres: Store,
) -> None:
    device = make_device()

    def fail() -> None:
        with db.transaction() as tx:
            postgres.write(tx, [Reading(device, "m", T0, 1.0)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert read(postgres, device, "m", T0, T0) == []
    assert write(postgres, (device, "m", T0, 1.0)) == Written(1, 0)


def test_partitions_are_made_ahead_and_attached_once(postgres: Store) -> None:
    stores.prepare(days_ahead=2)
    stores.prepare(days_ahead=2)

    today = datetime.now(UTC).date()
    expected = {partitions.of_day(today + timedelta(days=i)).name for i in range(3)}
    assert expected <= set(partitions.existing())


def test_two_processes_that_need_the_same_partition_both_get_it(
    postgres: Store, in_threads: Callable[..., None]
) -> None:
    devices = [make_device() for _ in range(4)]

    def one(device: uuid.UUID) -> None:
        write(postgres, (device, "m", T0, 1.0), (device, "m", T0 - 86_400_000, 1.0))

    in_threads(one, devices)

    assert all(len(read(postgres, device, "m", 0, T0)) == 2 for device in devices)


def test_batches_with_the_same_readings_in_other_orders_do_not_deadlock(
    postgres: Store, in_threads: Callable[..., None]
) -> None:
    device = make_device()
    keys = [(f"m{i}", T0 + j) for i in range(5) for j in range(40)]

    def one(turn: int) -> None:
        for n in range(10):
            ordered = keys if (turn + n) % 2 else keys[::-1]
            write(postgres, *[(device, m, ts, float(n)) for m, ts in ordered])

    in_threads(one, range(4))

    assert len(read(postgres, device, "m0", T0, T0 + 100)) == 40


@pytest.fixture
def in_threads() -> Callable[..., None]:
    """Runs a function for each argument at once; fails with the first that fails."""
    from concurrent.futures import ThreadPoolExecutor

    def run(work: Callable[..., None], arguments: list[object]) -> None:
        with ThreadPoolExecutor(len(list(arguments))) as pool:
            for future in [pool.submit(work, argument) for argument in arguments]:
                future.result(60)

    return run
