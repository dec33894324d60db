"""The two MQTT brokers, collectors and devices, as processes and clients of the tests."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from testbench.processes.broker import serve

ROOT = Path(__file__).resolve().parents[1]
BROKERS = ("mosquitto", "embedded")


def until(true: Any, seconds: float = 10) -> None:
    """Returns once `true()` is; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.02)


def embedded_url() -> str:
    """Where an embedded broker may listen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"mqtt://testbench:secret@127.0.0.1:{free.getsockname()[1]}?auth=testbench"


@contextmanager
def process(name: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m testbench NAME` with this process's environment."""
    with (folder / f"{name}-{uuid.uuid4().hex[:6]}.log").open("wb") as log:
        running = subprocess.Popen(
            (sys.executable, "-m", "testbench", name),
            cwd=ROOT,
            env=os.environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(15)


@contextmanager
def collecting(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A collector that has subscribed: from now on the broker keeps what it does not take."""
    before = set(folder.glob("collector-*.log"))
    with process("collector", folder) as running:
        [log] = set(folder.glob("collector-*.log")) - before
        until(lambda: b"collector_listens" in log.read_bytes(), 30)
        yield running


@contextmanager
def embedded(url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """An embedded broker that accepts connections."""
    parts = urlsplit(url)
    with process("broker", folder) as running:
        until(lambda: is_open(parts.hostname or "", parts.port or 0), 20)
        yield running


@contextmanager
def embedded_here(url: str) -> Iterator[None]:
    """The same on a thread of this process: up in no time."""
    parts = urlsplit(url)
    stops: list[Callable[[], object]] = []

    async def run() -> None:
        stopped = asyncio.Event()
        stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, stopped.set))
        await serve(stopped)

    thread = Thread(target=lambda: asyncio.run(run()), name="broker")
    thread.start()
    until(lambda: is_open(parts.hostname or "", parts.port or 0), 20)
    yield
    stops[0]()
    thread.join(15)


def is_open(host: str, port: int) -> bool:
    """True if somebody listens."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


class Peer:
    """A client that notes what happens to it."""

    def __init__(self, url: str, username: str, password: str, **options: Any) -> None:
        parts = urlsplit(url)
        self.changed = Condition()
        self.code: str | None = None
        self.lost = 0
        self.acknowledged: set[int] = set()
        self.received: list[tuple[str, bytes]] = []
        self.unacknowledged: list[MQTTMessage] = []
        self.granted: list[str] = []
        self.manual = bool(options.get("manual_ack"))
        will = options.pop("will", None)
        inflight = options.pop("inflight", 20)
        name = options.pop("client_id", f"peer-{uuid.uuid4().hex}")
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=name, **options)
        if username:
            self.client.username_pw_set(username, password)
        if will:
            self.client.will_set(*will)
        self.client.reconnect_delay_set(1, 1)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(inflight)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._lost
        self.client.on_publish = self._published
        self.client.on_message = self._received
        self.client.on_subscribe = self._granted
        self.client.connect(parts.hostname or "", parts.port or 0)
        self.client.loop_start()
        until(lambda: self.code is not None)

    @property
    def is_in(self) -> bool:
        """True if the broker let it in and has not cut it off."""
        return self.client.is_connected()

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, retain: bool = False) -> int:
        """Sends; the message's number."""
        return self.client.publish(topic, payload, qos, retain).mid

    def subscribe(self, topic: str) -> str:
        """Sends; what the broker grants."""
        before = len(self.granted)
        self.client.subscribe(topic, 1)
        until(lambda: len(self.granted) > before)
        return self.granted[-1]

    def acknowledge(self) -> None:
        """All that was received."""
        for message in self.unacknowledged:
            self.client.ack(message.mid, message.qos)
        self.unacknowledged.clear()

    def leave(self) -> None:
        """Politely."""
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self) -> None:
        """As by a cut cable."""
        self.client.loop_stop()
        link: Any = self.client.socket()
        link.close()

    def _connected(self, _c: Any, _d: Any, _f: Any, code: Any, _p: Any) -> None:
        self.code = str(code)

    def _lost(self, *_: Any) -> None:
        self.lost += 1

    def _published(self, _c: Any, _d: Any, mid: int, _r: Any, _p: Any) -> None:
        self.acknowledged.add(mid)

    def _received(self, _c: Any, _d: Any, message: MQTTMessage) -> None:
        if self.manual:
            self.unacknowledged.append(message)
        self.received.append((message.topic, bytes(message.payload)))

    def _granted(self, _c: Any, _d: Any, _m: int, codes: Any, _p: Any) -> None:
        self.granted += [str(code) for code in codes]


@contextmanager
def peer(url: str, username: str, password: str, **options: Any) -> Iterator[Peer]:
    """A client that leaves at the end."""
    made = Peer(url, username, password, **options)
    try:
        yield made
    finally:
        made.leave()


@contextmanager
def listener(url: str, **options: Any) -> Iterator[Peer]:
    """The bench's own client, where a collector would listen."""
    parts = urlsplit(url)
    with peer(url, parts.username or "", parts.password or "", **options) as made:
        made.subscribe("$share/testbench/devices/+/telemetry")
        yield made
