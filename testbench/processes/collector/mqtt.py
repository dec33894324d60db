"""Takes readings from the MQTT broker into the store; acknowledges only what is committed."""

import time
import uuid
from collections import deque
from collections.abc import Sequence
from threading import Condition, Event
from typing import Any, NamedTuple

import psycopg
import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy.exc import SQLAlchemyError

from testbench.adapters import mqtt
from testbench.domain.errors import BenchError
from testbench.services import telemetry
from testbench.services.telemetry import Message

log = structlog.get_logger()

BATCH_S = 0.05
"""How long a message waits for others; also what an idle bench adds to the latency."""
MAX_BATCH = 2000
MAX_QUEUE = 20_000
"""Above this the collector stops reading; the broker, or the devices, then hold the rest."""
MAX_BATCH_BYTES = 8 * 1024 * 1024
ATTEMPT_S = 4.0
MAX_PAUSE_S = 5.0
TOPICS_MAX = 100_000
STOP_S = 5.0

NOBODY = uuid.UUID(int=0)


class Delivery(NamedTuple):
    """A message of the broker that waits for its acknowledgement."""

    message: Message
    mid: int
    qos: int
    link: int
    """The connection it came over; on another one its number means something else."""


class Queue:
    """Between the network thread and the one that stores: bounded, in order."""

    def __init__(self) -> None:
        self._items: deque[Delivery] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: Delivery) -> None:
        """Waits while the queue is full: the network thread then reads no further."""
        with self._changed:
            while len(self._items) >= MAX_QUEUE and not self._closed:
                self._changed.wait(1.0)
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify()

    def take(self) -> list[Delivery]:
        """What has come within BATCH_S of the first message, at most MAX_BATCH; maybe nothing."""
        with self._changed:
            if not self._items:
                self._changed.wait(0.5)
            if not self._items:
                return []
        if len(self._items) < MAX_BATCH:
            time.sleep(BATCH_S)
        with self._changed:
            batch = self._pop()
            self._changed.notify()
            return batch

    def _pop(self) -> list[Delivery]:
        batch: list[Delivery] = []
        size = 0
        while self._items and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            item = self._items.popleft()
            size += len(item.message.payload) if isinstance(item.message.payload, bytes) else 0
            batch.append(item)
        return batch

    def clear(self) -> None:
        """Forget what the broker will deliver again."""
        with self._changed:
            self._items.clear()
            self._changed.notify()

    def close(self) -> None:
        """Let a waiting `put` go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)


class Collector:
    """One connection to the broker and one thread that stores."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = Queue()
        self.stopping = Event()
        self.link = 0
        self._devices: dict[str, uuid.UUID] = {}
        self._client = mqtt.new_client(f"testbench-{name}", clean=False, manual_ack=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._received
        self._client.on_subscribe = self._subscribed

    def run(self) -> None:
        """Until `stopping`; survives broker and database being away."""
        named = mqtt.broker()
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.connect_async(named.host, named.port, keepalive=mqtt.KEEPALIVE_S)
        self._client.loop_start()
        log.info("collector_started", name=self.name)
        try:
            while not self.stopping.is_set():
                batch = self.queue.take()
                if batch:
                    self._store(batch)
        finally:
            self._leave()

    def _store(self, batch: Sequence[Delivery]) -> None:
        """Keeps at it until the batch is stored: order and acknowledgement depend on it."""
        messages = [delivery.message for delivery in batch]
        pause = 0.1
        while not self.stopping.is_set():
            try:
                telemetry.ingest(messages, attempt_s=ATTEMPT_S)
            except (BenchError, SQLAlchemyError, psycopg.Error) as error:
                log.warning("ingest_failed", error=type(error).__name__, messages=len(batch))
                self.stopping.wait(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
            else:
                self._acknowledge(batch)
                return

    def _acknowledge(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            if delivery.qos and delivery.link == self.link:
                self._client.ack(delivery.mid, delivery.qos)

    def _leave(self) -> None:
        """What was not acknowledged stays with the broker, for the next collector."""
        self.queue.close()
        self._client.disconnect()
        self._client.loop_stop()
        log.info("collector_stopped", name=self.name, left=len(self.queue))

    # --- on the network thread ------------------------------------------------------------------

    def _connected(
        self, client: Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        if code.is_failure:
            log.error("broker_refused", reason=str(code))
            return
        client.subscribe(mqtt.SHARED_TOPIC, qos=1)

    def _subscribed(
        self, _client: Client, _data: object, _mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        if any(code.is_failure for code in codes):
            log.error("subscription_refused", topic=mqtt.SHARED_TOPIC)
        else:
            log.info("collector_listens", name=self.name)

    def _disconnected(
        self, _client: Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        # The broker will deliver again what was not acknowledged, under the same or other numbers.
        self.link += 1
        self.queue.clear()
        if not self.stopping.is_set():
            log.warning("broker_lost", reason=str(code))

    def _received(self, client: Client, _data: object, message: MQTTMessage) -> None:
        if message.retain:
            # A stale copy, sent because we subscribed; it was stored when it was news.
            client.ack(message.mid, message.qos)
            return
        received = time.time_ns() // 1_000_000
        payload: Any = message.payload
        item = Message(self._device(_topic(message)), payload, "mqtt", received)
        self.queue.put(Delivery(item, message.mid, message.qos, self.link))

    def _device(self, topic: str) -> uuid.UUID:
        device_id = self._devices.get(topic)
        if device_id is None:
            if len(self._devices) > TOPICS_MAX:
                self._devices.clear()
            device_id = self._devices[topic] = device_of(topic)
        return device_id


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""


def device_of(topic: str) -> uuid.UUID:
    """The device a topic belongs to; NOBODY for a topic that names none."""
    try:
        device_id = uuid.UUID(topic.split("/")[1])
    except (ValueError, IndexError):
        return NOBODY
    return device_id if topic == mqtt.topic_of(device_id) else NOBODY
