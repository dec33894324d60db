"""One contract for both MQTT brokers: who is let in, and whose messages arrive."""

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from testbench.adapters import mqtt
from testbench.domain.errors import Unavailable
from testbench.domain.identity import BENCH
from testbench.services import devices
from testbench.services.devices import NewDevice, RegisteredDevice
from tests.brokers import BROKERS, Peer, embedded_here, embedded_url, listener, peer, until

if TYPE_CHECKING:
    from tests.conftest import Env, Servers


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest, bench_env: "Env") -> Iterator[str]:
    """MQTT_URL of a broker that runs."""
    if request.param == "mosquitto":
        named: str = request.getfixturevalue("mqtt_url")
        bench_env.set(MQTT_URL=named)
        yield named
        return
    with own_broker(bench_env) as named:
        yield named


@pytest.fixture
def embedded_broker(bench_env: "Env") -> Iterator[str]:
    with own_broker(bench_env) as named:
        yield named


@contextmanager
def own_broker(env: "Env") -> Iterator[str]:
    named = embedded_url()
    env.set(MQTT_URL=named)
    with embedded_here(named):
        yield named


def device() -> RegisteredDevice:
    return devices.register(BENCH, NewDevice(name=f"d-{uuid.uuid4().hex}", kind="mqtt"))


def topic(of: RegisteredDevice) -> str:
    return f"devices/{of.id}/telemetry"


def test_the_bench_logs_in_and_a_wrong_account_is_unavailable(url: str, bench_env: "Env") -> None:
    mqtt.ping()

    bench_env.set(MQTT_URL=url.replace("testbench:", "stranger:"))
    with pytest.raises(Unavailable):
        mqtt.ping()


def test_a_devices_message_arrives_and_its_connection_stays(url: str) -> None:
    mine = device()
    with listener(url) as bench, peer(url, str(mine.id), mine.token) as sender:
        mid = sender.publish(topic(mine), b'{"a": 1}')
        sender.publish(topic(mine), b'{"a": 2}', qos=0)

        until(lambda: len(bench.received) == 2)
        assert bench.received == [(topic(mine), b'{"a": 1}'), (topic(mine), b'{"a": 2}')]
        until(lambda: mid in sender.acknowledged)
        assert sender.lost == 0


@pytest.mark.parametrize("password", ["", "wrong", "the other's"])
def test_only_its_own_credential_opens_a_device(url: str, password: str) -> None:
    mine, other = device(), device()
    secret = other.token if password == "the other's" else password

    with peer(url, str(mine.id), secret) as stranger:
        assert stranger.code != "Success"
        assert not stranger.is_in


def test_nobody_is_let_in_without_a_name(url: str) -> None:
    with peer(url, "", "") as stranger:
        assert stranger.code != "Success"


def test_a_device_cannot_publish_as_another_nor_anywhere_else(url: str) -> None:
    mine, other = device(), device()
    with listener(url) as bench, peer(url, str(mine.id), mine.token) as sender:
        for foreign in (topic(other), "devices/telemetry", "x", f"{topic(mine)}/x"):
            sender.publish(foreign, b'{"a": 666}')
        until(lambda: sender.is_in)
        sender.publish(topic(mine), b'{"a": 1}')

        until(lambda: bool(bench.received))
        time.sleep(0.3)
        assert bench.received == [(topic(mine), b'{"a": 1}')]


def test_a_device_hears_nothing_of_others(url: str) -> None:
    mine, other = device(), device()
    with (
        peer(url, str(mine.id), mine.token) as spy,
        listener(url) as bench,
        peer(url, str(other.id), other.token) as sender,
    ):
        for wanted in ("#", topic(other), mqtt.SHARED_TOPIC, mqtt.TOPIC):
            spy.client.subscribe(wanted, 1)
        time.sleep(0.2)
        sender.publish(topic(other), b'{"a": 1}')

        until(lambda: bool(bench.received))
        time.sleep(0.2)
        assert spy.received == []


def test_a_will_reaches_no_other_devices_topic(url: str) -> None:
    mine, other = device(), device()
    with listener(url) as bench:
        sender = Peer(url, str(mine.id), mine.token, will=(topic(other), b'{"a": 666}', 1))
        sender.drop()
        time.sleep(1)
        assert bench.received == []


def test_a_renewed_credential_ends_the_old_one_and_its_connections(url: str) -> None:
    mine = device()
    with peer(url, str(mine.id), mine.token) as old:
        _, token = devices.renew_token(BENCH, str(mine.id))

        until(lambda: old.lost > 0 and old.code != "Success", 5)
        with peer(url, str(mine.id), token) as new, listener(url) as bench:
            assert new.is_in
            new.publish(topic(mine), b'{"a": 1}')
            until(lambda: bool(bench.received))


def test_a_removed_device_is_cut_off(url: str) -> None:
    mine = device()
    with peer(url, str(mine.id), mine.token) as sender:
        devices.remove_fully(BENCH, str(mine.id))

        until(lambda: sender.lost > 0 and sender.code != "Success", 5)


def test_telling_the_broker_twice_is_telling_it_once(url: str) -> None:
    mine = device()

    mqtt.provision(mine.id, mine.token)
    with peer(url, str(mine.id), mine.token) as sender:
        assert sender.is_in
    mqtt.revoke(mine.id)
    mqtt.revoke(mine.id)


def test_a_broker_that_is_away_or_hangs_is_unavailable_within_2_s(
    bench_env: "Env", mqtt_url: str, servers: "Servers"
) -> None:
    bench_env.set(MQTT_URL=mqtt_url)
    with servers.paused("mqtt"):
        for call in (mqtt.ping, lambda: mqtt.provision(uuid.uuid4(), "x")):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                call()
            assert time.monotonic() - began < 3
    bench_env.set(MQTT_URL="mqtt://a:b@127.0.0.1:9")
    with pytest.raises(Unavailable):
        mqtt.ping()


@pytest.mark.parametrize(
    ("named", "door"),
    [
        ("mqtt://u:p@127.0.0.1:22381?auth=testbench", ("", 22381)),
        ("mqtt://u:p@localhost", ("", 1883)),
        ("mqtt://u:p@mosquitto", ("", 1883)),
        ("mqtt://u:p@192.168.1.9", ("192.168.1.9", 1883)),
        ("mqtts://u:p@broker.lab", ("broker.lab", 8883)),
    ],
)
def test_devices_are_told_where_the_broker_is(
    bench_env: "Env", named: str, door: tuple[str, int]
) -> None:
    bench_env.set(MQTT_URL=named)
    assert mqtt.door() == door


@pytest.mark.parametrize(
    ("named", "auth", "port"),
    [
        ("mqtt://h", "none", 1883),
        ("mqtt://u:p%40@h:7", "dynsec", 7),
        ("mqtts://u:p@h", "dynsec", 8883),
        ("mqtt://u:p@h?auth=testbench", "testbench", 1883),
        ("mqtt://u:p@h?auth=none", "none", 1883),
    ],
)
def test_the_url_says_who_keeps_the_credentials(
    bench_env: "Env", named: str, auth: str, port: int
) -> None:
    bench_env.set(MQTT_URL=named)

    assert (mqtt.broker().auth, mqtt.broker().port, mqtt.broker().host) == (auth, port, "h")


# --- the embedded broker alone ------------------------------------------------------------------


def test_nothing_is_acknowledged_before_a_collector_has_stored_it(embedded_broker: str) -> None:
    mine = device()
    with peer(embedded_broker, str(mine.id), mine.token) as sender:
        mid = sender.publish(topic(mine), b'{"a": 1}')
        time.sleep(0.3)
        assert mid not in sender.acknowledged
        with listener(embedded_broker, manual_ack=True) as bench:
            until(lambda: bool(bench.received))
            time.sleep(0.3)
            assert mid not in sender.acknowledged
            bench.acknowledge()
            until(lambda: mid in sender.acknowledged)


def test_what_a_lost_collector_held_goes_to_the_next_in_order(embedded_broker: str) -> None:
    mine = device()
    payloads = [b'{"a": %d}' % i for i in range(50)]
    with peer(embedded_broker, str(mine.id), mine.token) as sender:
        with listener(embedded_broker, manual_ack=True) as first:
            for payload in payloads:
                sender.publish(topic(mine), payload)
            until(lambda: len(first.received) >= 20)
            first.drop()
        with listener(embedded_broker) as second:
            until(lambda: len(second.received) == 50)
            assert [payload for _, payload in second.received] == payloads
            until(lambda: len(sender.acknowledged) == 50)


def test_a_slow_collector_gets_nothing_twice(embedded_broker: str) -> None:
    mine = device()
    with (
        listener(embedded_broker, manual_ack=True) as bench,
        peer(embedded_broker, str(mine.id), mine.token) as sender,
    ):
        sender.publish(topic(mine), b'{"a": 1}')
        time.sleep(7)

        assert len(bench.received) == 1
        bench.acknowledge()
        until(lambda: len(sender.acknowledged) == 1)


def test_two_collectors_share_the_messages(embedded_broker: str) -> None:
    mine = device()
    with (
        listener(embedded_broker) as one,
        listener(embedded_broker) as two,
        peer(embedded_broker, str(mine.id), mine.token) as sender,
    ):
        for i in range(100):
            sender.publish(topic(mine), b'{"a": %d}' % i)

        until(lambda: len(one.received) + len(two.received) == 100)
        assert one.received
        assert two.received


def test_thingsboard_devices_send_by_their_token_alone(embedded_broker: str) -> None:
    mine = device()
    with listener(embedded_broker) as bench, peer(embedded_broker, mine.token, "") as sender:
        sender.publish("v1/devices/me/telemetry", b'{"a": 1}')

        until(lambda: bool(bench.received))
        assert bench.received == [(topic(mine), b'{"a": 1}')]


def test_nobody_takes_over_anothers_connection_by_its_client_id(embedded_broker: str) -> None:
    mine, other = device(), device()
    with (
        listener(embedded_broker, client_id="collector") as bench,
        peer(embedded_broker, str(mine.id), mine.token, client_id="one") as sender,
    ):
        with peer(embedded_broker, "nobody", "x", client_id="collector") as stranger:
            assert stranger.code != "Success"
        with peer(embedded_broker, str(other.id), other.token, client_id="one") as second:
            assert second.is_in
        time.sleep(0.5)
        assert (bench.lost, sender.lost) == (0, 0)
        sender.publish(topic(mine), b'{"a": 1}')
        until(lambda: bool(bench.received))


def test_garbage_and_huge_packets_end_their_own_connection_only(embedded_broker: str) -> None:
    mine = device()
    parts = urlsplit(embedded_broker)
    with (
        listener(embedded_broker) as bench,
        peer(embedded_broker, str(mine.id), mine.token) as sender,
    ):
        for garbage in (b"GET / HTTP/1.1\r\n", b"\x10\xff\xff\xff\x7f", b"\x00" * 50, b"\x10\x02"):
            with socket.create_connection((parts.hostname, parts.port), 5) as link:
                link.sendall(garbage)
                link.shutdown(socket.SHUT_WR)
        with peer(embedded_broker, str(mine.id), mine.token) as big:
            big.publish(topic(mine), b"x" * (5 << 20))
            until(lambda: big.lost > 0)
        sender.publish(topic(mine), b'{"a": 1}')

        until(lambda: bool(bench.received))
        assert bench.received == [(topic(mine), b'{"a": 1}')]
        assert sender.lost == 0
