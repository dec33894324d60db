"""Readings through the one ingest function, on a real PostgreSQL, Redis and InfluxDB."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbench.adapters import bus, cache, db, live
from testbench.domain.errors import (
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from testbench.domain.identity import BENCH
from testbench.services import devices, telemetry
from testbench.services.devices import NewDevice, RegisteredDevice
from testbench.services.telemetry import Ingested, Message

if TYPE_CHECKING:
    from tests.conftest import Env, Servers

NOW = int(time.time() * 1000)


@pytest.fixture(autouse=True)
def _bench(bench_env: Env) -> Env:
    return bench_env


def device(name: str = "") -> RegisteredDevice:
    new = NewDevice(name=name or f"d-{uuid.uuid4().hex}", kind="http")
    return db.run(lambda tx: devices.create(tx, BENCH, new))


def send(
    to: RegisteredDevice | uuid.UUID, *payloads: bytes | dict[str, Any], received: int = NOW
) -> Ingested:
    id = to if isinstance(to, uuid.UUID) else to.id
    return telemetry.ingest([Message(id, payload, "http", received) for payload in payloads])


def points(of: RegisteredDevice, metric: str = "a") -> list[tuple[int, Any]]:
    with db.transaction() as tx:
        [found] = telemetry.series(tx, BENCH, of.id, [metric]).series
    return [(round(at.timestamp() * 1000), value) for at, value in found.points]


def refusals(of: RegisteredDevice) -> list[telemetry.ValidationErrorView]:
    with db.transaction() as tx:
        return telemetry.validation_errors(tx, BENCH, of.id).items


def presence(of: RegisteredDevice) -> dict[str, Any]:
    with db.transaction() as tx:
        row = tx.cursor().execute(
            "SELECT last_seen, online, seq, missing, clock_off_ms FROM presence"
            " WHERE device_id = %s",
            (of.id,),
        )
        names = ("last_seen", "online", "seq", "missing", "clock_off_ms")
        return dict(zip(names, row.fetchone() or (None,) * 5, strict=True))


def test_what_was_accepted_is_seen_by_the_next_read() -> None:
    mine = device()

    result = send(mine, b'{"a": 1.5, "b": true}')

    assert (result.accepted, result.duplicates, result.refused) == (2, 0, {})
    assert points(mine) == [(NOW, 1.5)]
    shown = db.run(lambda tx: devices.get(tx, BENCH, mine.id))
    assert shown.online
    assert shown.state == "available"
    assert shown.latest["a"]["value"] == 1.5
    assert shown.latest["b"]["value"] is True


def test_the_same_message_again_is_duplicates_only() -> None:
    mine = device()
    payload = b'{"ts": %d, "values": {"a": 1, "b": 2}}' % NOW

    send(mine, payload)

    assert send(mine, payload)[:2] == (0, 2)


def test_nothing_of_a_message_with_one_bad_field_is_stored_and_it_is_kept() -> None:
    mine = device()

    result = send(mine, b'{"a": 1, "b": null}')

    assert result.accepted == 0
    assert [loc for loc, _ in result.refused[0].errors] == ["b"]
    assert points(mine) == []
    [kept] = refusals(mine)
    assert kept.door == "http"
    assert kept.errors[0].loc == "b"
    assert kept.payload == '{"a": 1, "b": null}'


def test_one_poison_message_does_not_spoil_the_batch() -> None:
    mine = device()

    result = send(mine, b'{"a": 1}', b"\xff\x00", b'{"b": 2}', b"x" * (1 << 20) + b"x")

    assert result.accepted == 2
    assert sorted(result.refused) == [1, 3]
    assert {kept.errors[0].msg for kept in refusals(mine)} == {
        "is not valid UTF-8",
        "is larger than 1 MiB",
    }
    assert all(len(kept.payload) <= 4 * 1024 for kept in refusals(mine))


def test_what_the_store_refuses_is_found_and_refused_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A rule the database has and the validation lost: the metric's name is checked no more.
    mine = device()
    monkeypatch.setattr("testbench.domain.telemetry.metric_fault", lambda _: None)
    batch = [b'{"m%d": 1}' % i for i in range(7)]
    batch[4] = b'{"nul\\u0000": 1}'

    result = send(mine, *batch)

    assert (result.accepted, sorted(result.refused)) == (6, [4])
    assert [kept.errors[0].msg for kept in refusals(mine)] == ["cannot be stored"]


@pytest.mark.parametrize("removed", [True, False])
def test_unknown_and_removed_devices_are_refused_and_kept(removed: bool) -> None:
    mine = device()
    id = uuid.uuid4()
    if removed:
        id = mine.id
        db.run(lambda tx: devices.remove(tx, BENCH, str(mine.id)))

    result = send(id, b'{"a": 1}')

    assert (result.accepted, list(result.refused)) == (0, [0])
    with db.transaction() as tx:
        rows = tx.cursor().execute("SELECT device_id FROM validation_errors").fetchall()
    assert rows == [(mine.id if removed else None,)]


def test_every_value_of_any_batch_is_stored_a_duplicate_or_refused() -> None:
    mine = device()
    payloads = [
        b'[{"a": 1}, {"a": 2}]',
        b'{"a": 3, "a": 3}',
        b'{"b": 1}',
        b'{"b": NaN}',
        b'{"ts": 5, "values": {"b": 1}}',
    ]

    result = send(mine, *payloads)

    assert result.accepted + result.duplicates == 5
    assert len(result.refused) == 2
    assert points(mine) == [(NOW, 3.0)]


# --- presence, sequence, clock ------------------------------------------------------------------


def test_presence_counts_by_arrival_on_the_databases_clock() -> None:
    mine = device()

    send(mine, b'{"ts": 1400000000000, "values": {"a": 1}}')

    with db.transaction() as tx:
        assert tx.now - presence(mine)["last_seen"] < timedelta(seconds=5)
    assert presence(mine)["online"]


def test_a_device_that_comes_back_is_told_to_the_pages_once(servers: Servers) -> None:
    mine = device()
    with cache.client().pubsub() as heard:
        heard.subscribe(bus.CHANNEL)
        heard.get_message(timeout=2)

        send(mine, b'{"a": 1}')
        send(mine, b'{"a": 2}', b'{"a": 3}')

        events = [event for message in messages(heard, 3) for event in bus.parse(message)]
    assert events.count(bus.Event("devices", str(mine.id))) == 1
    assert events.count(bus.Event("telemetry", str(mine.id))) == 2


def messages(heard: Any, count: int) -> list[str]:
    found: list[str] = []
    end = time.monotonic() + 3
    while len(found) < count and time.monotonic() < end:
        message = heard.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message:
            found.append(message["data"])
    return found


def test_many_messages_of_a_second_cost_one_write_of_presence() -> None:
    mine = device()
    send(mine, b'{"a": 1}')
    first = presence(mine)["last_seen"]

    for i in range(5):
        send(mine, b'{"a": %d}' % i)

    assert presence(mine)["last_seen"] == first
    assert live.last_seen([mine.id])[mine.id] > first


def test_holes_in_the_sequence_are_counted_and_late_messages_taken_off() -> None:
    mine = device()

    send(mine, b'{"seq": 1, "a": 1}', b'{"seq": 2, "a": 1}', b'{"seq": 6, "a": 1}')
    assert presence(mine)["missing"] == 3
    send(mine, b'{"seq": 4, "a": 1}')
    send(mine, b'{"seq": 6, "a": 1}', b'{"seq": 4, "a": 1}')

    assert (presence(mine)["seq"], presence(mine)["missing"]) == (6, 2)
    assert db.run(lambda tx: devices.get(tx, BENCH, mine.id)).missing == 2


def test_a_refused_message_is_not_reported_lost_as_well() -> None:
    mine = device()

    send(mine, b'{"seq": 1, "a": 1}', b'{"seq": 2, "a": null}', b'{"seq": 3, "a": 1}')

    assert presence(mine)["missing"] == 0
    assert len(refusals(mine)) == 1


def test_two_collectors_with_one_devices_messages_agree_on_what_is_missing() -> None:
    mine = device()
    send(mine, b'{"seq": 0, "a": 1}')

    def collect(first: int) -> None:
        for seq in range(first, 60, 2):
            if seq != 30:
                send(mine, b'{"seq": %d, "a": %d}' % (seq, seq))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(collect, [1, 2]))

    assert (presence(mine)["seq"], presence(mine)["missing"]) == (59, 1)


def test_who_speaks_every_half_second_is_never_offline_after_one() -> None:
    new = NewDevice(name=f"d-{uuid.uuid4().hex}", kind="http", offline_after_s=1)
    mine = db.run(lambda tx: devices.create(tx, BENCH, new))

    send(mine, {"a": 1})
    time.sleep(0.55)
    send(mine, {"a": 2})
    time.sleep(0.6)

    assert db.run(lambda tx: devices.get(tx, BENCH, mine.id)).online is True


def test_a_clock_that_is_off_is_measured_and_the_benchs_own_is_never_off() -> None:
    mine = device()

    send(mine, b'{"ts": %d, "values": {"a": 1}}' % (NOW - 90_000))
    assert presence(mine)["clock_off_ms"] == -90_000
    send(mine, b'{"ts": %d, "values": {"a": 1}}' % (NOW + 30_000))
    assert presence(mine)["clock_off_ms"] == 30_000
    send(mine, b'{"a": 1}')
    assert presence(mine)["clock_off_ms"] == 0


def test_units_that_a_door_knows_are_shown() -> None:
    mine = device()
    telemetry.ingest([Message(mine.id, {"p": 12.5}, "poll", NOW, units={"p": "W"})])

    with db.transaction() as tx:
        [found] = telemetry.series(tx, BENCH, mine.id).series
    assert (found.metric, found.unit) == ("p", "W")
    assert live.latest([mine.id])[mine.id]["p"].get("unit") == "W"


# --- the live snapshot --------------------------------------------------------------------------


def test_an_older_reading_never_covers_a_newer_one() -> None:
    mine = device()
    send(mine, b'{"ts": %d, "values": {"a": 2}}' % NOW)

    send(mine, b'{"ts": %d, "values": {"a": 1, "b": 1}}' % (NOW - 1000))

    with db.transaction() as tx:
        live.rebuild(tx)
    assert live.latest([mine.id])[mine.id]["a"]["value"] == 2
    assert live.latest([mine.id])[mine.id]["b"]["value"] == 1


def test_after_a_restart_of_redis_the_snapshot_comes_from_the_store_and_is_rebuilt() -> None:
    mine = device()
    send(mine, b'{"a": 1, "s": "x"}')
    cache.client().flushall()

    assert live.is_empty()
    before = live.latest([mine.id])
    with db.transaction() as tx:
        live.rebuild(tx)

    assert not live.is_empty()
    assert live.latest([mine.id]) == before
    assert before[mine.id]["a"]["value"] == 1
    assert mine.id in live.last_seen([mine.id])


def test_a_removed_devices_values_are_forgotten() -> None:
    mine = device()
    send(mine, b'{"a": 1}')
    with db.transaction() as tx:
        live.rebuild(tx)

    live.forget(mine.id)

    assert live.latest([mine.id]) == {mine.id: {}}
    assert live.last_seen([mine.id]) == {}


def test_without_redis_readings_are_stored_and_read_and_nobody_waits(
    servers: Servers,
) -> None:
    mine = device()
    send(mine, b'{"a": 1}')
    with servers.paused("redis"):
        began = time.monotonic()
        for i in range(20):
            assert send(mine, b'{"a": 2}', received=NOW + 1 + i).accepted == 1
        assert time.monotonic() - began < 6
        assert live.latest([mine.id])[mine.id]["a"]["value"] == 2
    cache.client.cache_clear()


# --- when the store is away ---------------------------------------------------------------------


def test_a_database_that_hangs_is_unavailable_within_5_s_and_nothing_is_lost_or_doubled(
    servers: Servers,
) -> None:
    mine = device()
    send(mine, b'{"a": 0}', received=NOW - 1)
    payload = b'{"ts": %d, "values": {"a": 1}}' % NOW
    with servers.paused("postgres"):
        began = time.monotonic()
        with pytest.raises(Unavailable):
            send(mine, payload)
        assert time.monotonic() - began < 5

    again = sent_at_last(mine, payload)

    assert again.accepted + again.duplicates == 1
    assert points(mine) == [(NOW - 1, 0.0), (NOW, 1.0)]


def sent_at_last(to: RegisteredDevice, payload: bytes) -> Ingested:
    """As a device does: again until it is taken."""
    end = time.monotonic() + 5
    while True:
        try:
            return send(to, payload)
        except Unavailable:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_on_influxdb_the_same_ingest_stores_and_reads(
    bench_env: Env, influx: dict[str, str]
) -> None:
    bench_env.set(**influx)
    mine = device()

    assert send(mine, b'{"a": 1, "b": "x"}', b'{"a": null}')[:2] == (2, 0)

    assert points(mine) == [(NOW, 1.0)]
    assert points(mine, "b") == [(NOW, "x")]
    assert len(refusals(mine)) == 1


def test_without_influxdb_nothing_is_accepted(bench_env: Env) -> None:
    mine = device()
    bench_env.set(INFLUXDB_URL="http://127.0.0.1:9")

    with pytest.raises(Unavailable):
        send(mine, b'{"a": 1}')

    assert presence(mine)["last_seen"] is None


# --- credentials --------------------------------------------------------------------------------


def test_a_credential_opens_its_device_alone() -> None:
    mine, other = device(), device()

    assert telemetry.authenticate(mine.token, "192.0.2.1") == mine.id
    assert telemetry.authenticate(other.token, "192.0.2.1") == other.id
    with pytest.raises(Unauthenticated):
        telemetry.authenticate("tbd_" + "x" * 32, "192.0.2.2")


def test_a_renewed_credential_ends_the_old_one_within_5_s(bench_env: Env, mqtt_url: str) -> None:
    bench_env.set(MQTT_URL=mqtt_url)
    mine = device()
    telemetry.authenticate(mine.token, "192.0.2.1")

    _, token = devices.renew_token(BENCH, str(mine.id))

    def is_refused() -> bool:
        try:
            telemetry.authenticate(mine.token, "192.0.2.3")
        except Unauthenticated:
            return True
        return False

    end = time.monotonic() + 5
    while not is_refused():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert telemetry.authenticate(token, "192.0.2.1") == mine.id


def test_guessing_is_limited_and_the_honest_device_is_not(bench_env: Env) -> None:
    bench_env.set(DEVICE_LOGIN_LIMIT="3/minute")
    mine = device()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            telemetry.authenticate("wrong", "192.0.2.9")

    with pytest.raises(TooMany) as refused:
        telemetry.authenticate("wrong", "192.0.2.9")

    assert refused.value.retry_after
    assert telemetry.authenticate(mine.token, "192.0.2.9") == mine.id
    with pytest.raises(Unauthenticated):
        telemetry.authenticate("wrong", "192.0.2.10")


def test_over_mqtt_the_name_is_the_id_or_the_token() -> None:
    mine, other = device(), device()

    assert telemetry.admit(str(mine.id), mine.token) is not None
    assert telemetry.admit(mine.token, "") == telemetry.admit(str(mine.id), mine.token)
    assert telemetry.admit(str(mine.id), other.token) is None
    assert telemetry.admit(str(mine.id), "") is None
    assert telemetry.admit("", "") is None


# --- reads --------------------------------------------------------------------------------------


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_a_window_includes_both_ends() -> None:
    mine = device()
    send(mine, *[b'{"ts": %d, "values": {"a": %d}}' % (NOW + i, i) for i in range(5)])

    with db.transaction() as tx:
        [found] = telemetry.series(tx, BENCH, mine.id, ["a"], at(NOW + 1), at(NOW + 3)).series

    assert [value for _, value in found.points] == [1, 2, 3]


def test_reads_refuse_what_makes_no_sense() -> None:
    mine = device()
    with db.transaction() as tx:
        with pytest.raises(Invalid):
            telemetry.series(tx, BENCH, mine.id, None, at(NOW), at(NOW - 1))
        with pytest.raises(Invalid):
            telemetry.series(tx, BENCH, mine.id, ["x" * 101])
        with pytest.raises(NotFound):
            telemetry.series(tx, BENCH, uuid.uuid4())
        with pytest.raises(NotFound):
            telemetry.validation_errors(tx, BENCH, "nonsense")


def test_refusals_are_listed_newest_first_in_pages() -> None:
    mine = device()
    for i in range(5):
        send(mine, b'{"m%d": null}' % i)

    with db.transaction() as tx:
        first = telemetry.validation_errors(tx, BENCH, mine.id, limit=3)
        rest = telemetry.validation_errors(tx, BENCH, mine.id, 3, first.next_cursor)

    assert [kept.errors[0].loc for kept in [*first.items, *rest.items]] == [
        "m4",
        "m3",
        "m2",
        "m1",
        "m0",
    ]
    assert rest.next_cursor is None
