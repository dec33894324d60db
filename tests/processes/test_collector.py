"""The collector on both brokers: what is acknowledged is stored, whatever is killed."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbench.adapters import db, mqtt
from testbench.domain.errors import BenchError
from testbench.domain.identity import BENCH
from testbench.processes import collector
from testbench.services import devices, telemetry
from testbench.services.devices import NewDevice, RegisteredDevice
from tests.brokers import BROKERS, Peer, collecting, embedded_here, embedded_url, peer, until

if TYPE_CHECKING:
    from tests.conftest import Env, Servers

NOBODY = uuid.UUID(int=7)
START = 1_780_000_000_000


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest, bench_env: "Env") -> Iterator[str]:
    if request.param == "mosquitto":
        named: str = request.getfixturevalue("mqtt_url")
        bench_env.set(MQTT_URL=named)
        yield named
        forget_sessions(named)
        return
    named = embedded_url()
    bench_env.set(MQTT_URL=named)
    with embedded_here(named):
        yield named


def forget_sessions(url: str) -> None:
    """What one test's collectors left at Mosquitto is nothing to the next one's."""
    for number in range(2):
        name = f"testbench-{collector.name_of(number)}"
        with peer(url, "testbench", mqtt.broker().password or "", client_id=name):
            pass


def device() -> RegisteredDevice:
    return devices.register(BENCH, NewDevice(name=f"d-{uuid.uuid4().hex}", kind="mqtt"))


def topic(of: RegisteredDevice) -> str:
    return f"devices/{of.id}/telemetry"


def reading(i: int) -> bytes:
    return json.dumps({"ts": START + i, "seq": i, "values": {"a": i}}).encode()


def stored(of: RegisteredDevice) -> list[float]:
    with db.transaction() as tx:
        found = telemetry.series(tx, BENCH, of.id, ["a"], max_points=100_000).series
    return [value for _, value in found[0].points if isinstance(value, float)]


def refusals(of: RegisteredDevice) -> list[str]:
    with db.transaction() as tx:
        kept = telemetry.validation_errors(tx, BENCH, of.id).items
    return [entry.errors[0].msg for entry in kept]


def missing(of: RegisteredDevice) -> int:
    return db.run(lambda tx: devices.get(tx, BENCH, of.id)).missing


def test_messages_are_stored_and_poison_is_kept_while_the_rest_goes_on(
    url: str, tmp_path: Path
) -> None:
    mine = device()
    poison = [b"\xff", b"{", b'{"a": NaN}', b"[" * 5000, b"x" * (1 << 20) + b"x", b""]
    with collecting(tmp_path), peer(url, str(mine.id), mine.token) as sender:
        for i in range(20):
            sender.publish(topic(mine), reading(i))
            if i < len(poison):
                sender.publish(topic(mine), poison[i])

        until(lambda: len(sender.acknowledged) == 20 + len(poison), 20)
        until(lambda: len(stored(mine)) == 20, 20)
        until(lambda: len(refusals(mine)) == len(poison))
    assert missing(mine) == 0


def test_after_an_acknowledged_message_the_device_is_online_with_its_values(
    url: str, tmp_path: Path
) -> None:
    mine = device()
    with collecting(tmp_path), peer(url, str(mine.id), mine.token) as sender:
        sender.publish(topic(mine), b'{"a": 1.5, "s": "x"}')

        until(lambda: db.run(lambda tx: devices.get(tx, BENCH, mine.id)).online, 20)
        shown = db.run(lambda tx: devices.get(tx, BENCH, mine.id)).latest
        assert shown["a"]["value"] == 1.5


def test_no_acknowledged_reading_is_lost_over_three_kills_of_the_collector(
    url: str, tmp_path: Path
) -> None:
    mine = device()
    with peer(url, str(mine.id), mine.token) as sender:
        sent = 0
        for _ in range(3):
            with collecting(tmp_path) as victim:
                sent = send_for(sender, mine, sent, 1.5)
                victim.send_signal(signal.SIGKILL)
                sent = send_for(sender, mine, sent, 0.2)
        with collecting(tmp_path):
            until(lambda: len(sender.acknowledged) == sent, 30)
            until(lambda: len(stored(mine)) == sent, 30)
    assert stored(mine) == [float(i) for i in range(sent)]
    assert missing(mine) == 0


def send_for(sender: Peer, to: RegisteredDevice, first: int, seconds: float) -> int:
    """Publishes readings one after the other; the next one's number."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sender.publish(topic(to), reading(first))
        first += 1
        time.sleep(0.002)
    return first


def test_while_the_database_hangs_messages_wait_and_then_are_stored(
    url: str, tmp_path: Path, servers: "Servers"
) -> None:
    mine = device()
    with collecting(tmp_path), peer(url, str(mine.id), mine.token) as sender:
        sender.publish(topic(mine), reading(0))
        until(lambda: stored(mine) == [0.0], 20)
        with servers.paused("postgres"):
            for i in range(1, 300):
                sender.publish(topic(mine), reading(i))
            time.sleep(8)

        until(lambda: len(sender.acknowledged) == 300, 30)
        until(lambda: is_answering() and len(stored(mine)) == 300, 30)
    assert missing(mine) == 0


def is_answering() -> bool:
    try:
        db.run(lambda tx: tx.now)
    except BenchError:
        return False
    return True


def test_two_collectors_store_each_message_once(url: str, tmp_path: Path) -> None:
    mine = [device() for _ in range(5)]
    with collecting(tmp_path), collecting(tmp_path):

        def send(sender: RegisteredDevice) -> None:
            with peer(url, str(sender.id), sender.token) as link:
                for i in range(100):
                    link.publish(topic(sender), reading(i))
                until(lambda: len(link.acknowledged) == 100, 20)

        with ThreadPoolExecutor(5) as pool:
            list(pool.map(send, mine))
        until(lambda: all(len(stored(one)) == 100 for one in mine), 20)
    assert [missing(one) for one in mine] == [0] * 5


def test_sigterm_ends_it_soon_and_politely(url: str, tmp_path: Path) -> None:
    mine = device()
    with collecting(tmp_path) as running:
        with peer(url, str(mine.id), mine.token) as sender:
            sender.publish(topic(mine), reading(0))
            until(lambda: stored(mine) == [0.0], 20)
        began = time.monotonic()
        running.terminate()

        assert running.wait(10) == 0
        assert time.monotonic() - began < 5


# --- Mosquitto alone: it keeps what the embedded broker never accepts ---------------------------


def test_stale_retained_copies_are_not_stored_again(
    bench_env: "Env", mqtt_url: str, tmp_path: Path
) -> None:
    bench_env.set(MQTT_URL=mqtt_url)
    mine = device()
    with peer(mqtt_url, str(mine.id), mine.token) as sender:
        with collecting(tmp_path):
            sender.publish(topic(mine), b'{"a": 1}', retain=True)
            until(lambda: stored(mine) == [1.0], 20)
        with collecting(tmp_path):
            sender.publish(topic(mine), b'{"a": 2}')
            until(lambda: len(stored(mine)) > 1, 20)
        assert stored(mine) == [1.0, 2.0]
        sender.publish(topic(mine), b"", retain=True)
    forget_sessions(mqtt_url)


def test_topics_that_name_no_device_are_kept_as_refused(
    bench_env: "Env", mqtt_url: str, tmp_path: Path
) -> None:
    bench_env.set(MQTT_URL=mqtt_url)
    password = mqtt.broker().password or ""
    with collecting(tmp_path), peer(mqtt_url, "testbench", password) as sender:
        for name in ("nonsense", str(uuid.uuid4()), str(uuid.uuid4()).upper()):
            sender.publish(f"devices/{name}/telemetry", b'{"a": 1}')

        until(lambda: unknown() == 3, 20)
    forget_sessions(mqtt_url)


def unknown() -> int:
    with db.transaction() as tx:
        row = tx.cursor().execute("SELECT count(*) FROM validation_errors WHERE device_id IS NULL")
        return int((row.fetchone() or (0,))[0])


# --- its parts ----------------------------------------------------------------------------------


def test_each_collector_of_a_machine_has_a_name_of_its_own_and_gets_it_again(
    tmp_path: Path,
) -> None:
    one, first = collector.slot(tmp_path)
    two, second = collector.slot(tmp_path)
    assert one != two
    os.close(first)
    again, third = collector.slot(tmp_path)
    assert again == one
    os.close(second)
    os.close(third)


@pytest.mark.parametrize(
    "topic", ["", "devices", "devices//telemetry", "devices/x/telemetry", f"d/{NOBODY}/telemetry"]
)
def test_a_topic_that_is_not_exactly_a_devices_belongs_to_nobody(topic: str) -> None:
    assert collector.device_of(topic) == collector.NOBODY
    id = uuid.uuid4()
    assert collector.device_of(f"devices/{id}/telemetry") == id
