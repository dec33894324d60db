"""The store of device logs on a real Redis: bounded, harmless, told only to who listens."""

import time
import uuid
from collections.abc import Iterator

import pytest
import redis.client

from testbench.adapters import bus, cache, device_logs
from testbench.adapters.device_logs import Reading
from testbench.domain.errors import Unavailable
from tests.services import Env, Servers

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(autouse=True)
def _bench(bench_env: Env) -> None:
    """A configured process with an empty Redis."""


@pytest.fixture
def channel(_bench: None) -> Iterator[redis.client.PubSub]:
    with cache.client().pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(bus.CHANNEL)
        channel.get_message(timeout=5)
        yield channel


def told(channel: redis.client.PubSub) -> set[tuple[str, str]]:
    """What the bus said since the last call."""
    events: set[tuple[str, str]] = set()
    while (message := channel.get_message(timeout=0.3)) is not None:
        if message["type"] == "message":
            events |= {tuple(event) for event in bus.parse(message["data"])}  # type: ignore[misc]
    return events


def texts(device_id: uuid.UUID, count: int = 5000) -> list[str]:
    return [line.text for line in device_logs.tail(device_id, count)]


def test_lines_come_back_in_their_order_and_from_any_place_on() -> None:
    device_logs.append({ONE: ["a", "b"], TWO: ["x"]})
    device_logs.append({ONE: ["c"]})
    first, second, third = device_logs.tail(ONE, 10)

    assert [first.text, second.text, third.text] == ["a", "b", "c"]
    assert texts(ONE, 2) == ["b", "c"]
    assert texts(ONE, 0) == []
    assert device_logs.follow({ONE: first.id, TWO: device_logs.START}) == {
        ONE: [second, third],
        TWO: device_logs.tail(TWO, 1),
    }
    assert device_logs.follow({ONE: third.id}) == {}
    assert device_logs.follow({ONE: device_logs.START}, 2) == {ONE: [first, second]}


def test_a_log_and_its_lines_are_bounded() -> None:
    for start in range(0, 6000, 500):
        device_logs.append({ONE: [f"line {n}" for n in range(start, start + 500)]})
    device_logs.append({TWO: ["x" * 50_000]})

    kept = texts(ONE)
    assert device_logs.MAX_LINES <= len(kept) <= device_logs.MAX_LINES + 200
    assert kept[-1] == "line 5999"
    assert texts(TWO) == ["x" * device_logs.MAX_CHARS]
    assert 0 < cache.client().ttl(f"testbench:log:{ONE}") <= device_logs.KEPT_S


def test_what_a_device_writes_is_text() -> None:
    nasty = [
        "\x1b[31mred\x1b[0m",
        "a\r\nevent: log\ndata: forged",
        "bell\x07 nul\x00",
        "next\u2028line\u2029",
        "turned \u202eretrap",
        "<script>alert(1)</script>",
        '"],"x":["',
    ]

    device_logs.append({ONE: nasty})

    assert texts(ONE) == [
        "red",
        "aevent: logdata: forged",
        "bell nul",
        "nextline",
        "turned retrap",
        "<script>alert(1)</script>",
        '"],"x":["',
    ]


def test_lines_are_told_only_while_somebody_listens(channel: redis.client.PubSub) -> None:
    device_logs.append({ONE: ["a"], TWO: ["b"]})
    assert told(channel) == set()

    device_logs.listen([ONE], 0.5)
    device_logs.append({ONE: ["a"], TWO: ["b"]})
    assert told(channel) == {("logs", str(ONE))}

    time.sleep(0.5)
    device_logs.append({ONE: ["a"]})
    assert told(channel) == set()

    device_logs.listen([device_logs.EVERYBODY], 5)
    device_logs.append({ONE: ["a"], TWO: ["b"]})
    assert told(channel) == {("logs", str(ONE)), ("logs", str(TWO))}


def test_how_a_reading_goes_is_known_until_it_ends(channel: redis.client.PubSub) -> None:
    going = Reading("reconnecting", 3, "The device's log was cut off.")

    device_logs.put_readings({ONE: going})
    device_logs.tell_readings([ONE])
    assert device_logs.reading(ONE) == going
    assert told(channel) == {("log_readers", str(ONE))}
    assert 0 < cache.client().ttl(f"testbench:log-reader:{ONE}") <= device_logs.STATUS_S

    device_logs.drop_readings([ONE])
    assert device_logs.reading(ONE) is None
    assert told(channel) == {("log_readers", str(ONE))}


def test_a_wish_to_try_again_is_taken_once() -> None:
    device_logs.retry(ONE)

    assert device_logs.taken_retries([ONE, TWO]) == [ONE]
    assert device_logs.taken_retries([ONE, TWO]) == []


def test_a_removed_devices_log_is_gone() -> None:
    device_logs.append({ONE: ["a"]})
    device_logs.put_readings({ONE: Reading("connected")})

    device_logs.forget(ONE)
    # Its collector has not heard of the removal yet.
    device_logs.append({ONE: ["late"], TWO: ["b"]})

    assert texts(ONE) == []
    assert device_logs.reading(ONE) is None
    assert cache.client().keys("testbench:log:*") == [f"testbench:log:{TWO}"]


def test_nothing_breaks_while_redis_is_away(servers: Servers) -> None:
    device_logs.append({ONE: ["before"]})

    with servers.paused("redis"):
        began = time.monotonic()
        assert device_logs.append({ONE: ["lost"]}) is False
        for _ in range(50):
            assert device_logs.append({ONE: ["lost"]}) is False
        assert device_logs.follow({ONE: device_logs.START}) == {}
        assert device_logs.reading(ONE) is None
        device_logs.listen([ONE], 1)
        assert device_logs.put_readings({ONE: Reading("connected")}) is False
        # Asked once, then left alone for a while.
        assert time.monotonic() - began < 3 * cache.TIMEOUT_S
        with pytest.raises(Unavailable):
            device_logs.tail(ONE, 1)

    time.sleep(device_logs.PAUSE_S)
    assert device_logs.append({ONE: ["after"]}) is True
    assert texts(ONE)[-1] == "after"
