"""SIGKILL to the collector while devices publish: what the broker acknowledged is stored."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho

from tests.faults import invariants
from tests.faults.stage import Device, Stage
from tests.services import wait_until

FIRST_MS = 1_767_225_600_000


@dataclass
class Publisher:
    """A device that sends numbered readings by QoS 1, as fast as a thousand a second."""

    device: Device
    client: paho.Client
    acknowledged: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    sent: int = 0

    def send(self) -> None:
        """One message; the broker's PUBACK is noted when it comes."""
        self.sent += 1
        ts = FIRST_MS + self.sent
        payload = {"ts": ts, "values": {"count": self.sent}, "seq": self.sent}
        told = self.client.publish(f"devices/{self.device.id}/telemetry", json.dumps(payload), 1)
        self._open[told.mid] = ts

    def __post_init__(self) -> None:
        self._open: dict[int, int] = {}
        self.client.on_publish = self._published

    def _published(self, _c: Any, _u: Any, mid: int, _r: Any, _p: Any) -> None:
        # The answer may overtake `send`, which has not noted the number yet.
        while mid not in self._open:
            time.sleep(0.001)
        self.acknowledged.add(("count", self._open.pop(mid)))


@contextmanager
def publishing(stage: Stage) -> Iterator[Publisher]:
    """A device publishes until the end of this block, and until all is acknowledged."""
    device = stage.register(f"mqtt-{uuid.uuid4().hex[:8]}", "mqtt")
    parts = urlsplit(stage.servers.url("mqtt"))
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=str(device.id))
    client.username_pw_set(str(device.id), device.token)
    client.max_inflight_messages_set(100)
    publisher, done = Publisher(device, client), threading.Event()
    client.connect(parts.hostname or "", parts.port or 0)
    client.loop_start()

    def publish() -> None:
        while not done.wait(0.001):
            publisher.send()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield publisher
    finally:
        done.set()
        thread.join()
        wait_until(lambda: len(publisher.acknowledged) == publisher.sent, 20)
        client.disconnect()
        client.loop_stop()


def all_stored(stage: Stage, publisher: Publisher) -> None:
    """Wait for the last reading, then account for each."""
    query = (
        "SELECT count(*) FROM readings JOIN series ON series.id = series_id"
        " WHERE device_id = %s AND metric = 'count'"
    )

    def stored() -> Any:
        return (stage.db.execute(query, (publisher.device.id,)).fetchone() or (0,))[0]

    wait_until(lambda: stored() >= publisher.sent, 30, lambda: f"{stored()} of {publisher.sent}")
    sent = {publisher.device.id: publisher.acknowledged}
    invariants.every_reading_is_accounted_for(stage.db, sent)
    missing = "SELECT seq, missing FROM presence WHERE device_id = %s"
    assert stage.db.execute(missing, (publisher.device.id,)).fetchone() == (publisher.sent, 0)


def test_readings_received_but_not_committed_come_again(stage: Stage) -> None:
    with publishing(stage) as publisher:
        wait_until(lambda: len(publisher.acknowledged) > 200, 10)
        with stage.connect() as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE presence IN EXCLUSIVE MODE")
            time.sleep(0.5)
            before = len(publisher.acknowledged)
            stage.kill("collector")
        wait_until(lambda: len(publisher.acknowledged) > before + 200, 10)
    all_stored(stage, publisher)


def test_nothing_acknowledged_is_lost_over_three_kills(stage: Stage) -> None:
    with publishing(stage) as publisher:
        for pause in (0.7, 0.73, 0.81):
            before = stage.pid("collector")
            time.sleep(pause)
            stage.kill("collector")
            wait_until(lambda old=before: stage.pid("collector") not in (None, old), 15)
        time.sleep(1)
    all_stored(stage, publisher)
