"""The two ways simulated devices speak: MQTT by one connection each, HTTP by a pool."""

import selectors
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from urllib.parse import urlsplit

import httpx
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from testbench.domain.errors import Unauthenticated

PENDING_MAX = 1000
CONNECT_S = 10.0
MISC_EVERY_S = 1.0
TRIES = 10
KEEPALIVE_S = 60


class MqttFleet:
    """One paho client a device, all of them on this thread."""

    def __init__(self, url: str, accounts: Sequence[tuple[str, str]]) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "127.0.0.1", parts.port or 1883
        self._selector = selectors.DefaultSelector()
        self._topics = [f"devices/{device_id}/telemetry" for device_id, _ in accounts]
        self._misc_at = 0.0
        self._sent = self.acknowledged = 0
        self._refused = ""
        self._clients = [self._client(*account) for account in accounts]
        for client in self._clients:
            client.connect(*self._address, keepalive=KEEPALIVE_S)
            self._watch(client)
        end = time.monotonic() + CONNECT_S
        while not all(client.is_connected() for client in self._clients):
            self.pause(0.01)
            if self._refused or time.monotonic() > end:
                raise Unauthenticated(f"The broker does not let the devices in. {self._refused}")

    def send(self, index: int, payload: bytes) -> None:
        """QoS 1; waits while too many are unacknowledged."""
        while self._sent - self.acknowledged > PENDING_MAX:
            self.pause(0.01)
        self._clients[index].publish(self._topics[index], payload, qos=1)
        self._sent += 1
        self._flush(self._clients[index])

    def pause(self, seconds: float) -> None:
        """Read and write what there is, and reconnect whoever was cut off."""
        end = time.monotonic() + seconds
        while True:
            for key, _ in self._selector.select(min(0.05, max(0.0, end - time.monotonic()))):
                client: Client = key.data
                client.loop_read()
                self._flush(client)
            if time.monotonic() >= self._misc_at:
                self._misc_at = time.monotonic() + MISC_EVERY_S
                for client in self._clients:
                    self._look_after(client)
            if time.monotonic() >= end:
                return

    def drained(self) -> bool:
        """True once every message was acknowledged."""
        return self.acknowledged >= self._sent

    def close(self) -> None:
        """Say goodbye, so that no broker thinks of an accident."""
        for client in self._clients:
            client.disconnect()
            self._flush(client)

    def _client(self, device_id: str, token: str) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"sim-{device_id}")
        client.username_pw_set(device_id, token)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(PENDING_MAX)
        client.on_publish = self._published
        client.on_connect = self._connected
        client.on_socket_close = self._unwatch
        return client

    def _published(self, *_: object) -> None:
        self.acknowledged += 1

    def _connected(
        self, _client: Client, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        if code.is_failure:
            self._refused = str(code)

    def _look_after(self, client: Client) -> None:
        if client.socket() is not None:
            client.loop_misc()
        else:
            with suppress(OSError):
                client.reconnect()
                self._watch(client)

    def _flush(self, client: Client) -> None:
        while client.want_write() and client.socket() is not None:
            client.loop_write()

    def _watch(self, client: Client) -> None:
        socket = client.socket()
        if socket is not None:
            self._selector.register(socket, selectors.EVENT_READ, client)

    def _unwatch(self, _client: Client, _data: object, socket: object) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(socket)  # type: ignore[arg-type]  # paho's own union


class HttpFleet:
    """One request a message, some at a time; a device's own requests follow each other."""

    def __init__(self, url: str, tokens: Sequence[str]) -> None:
        self._client = httpx.Client(base_url=url, timeout=10)
        self._tokens = tokens
        self._locks = [Lock() for _ in tokens]
        self._pool = ThreadPoolExecutor(min(16, len(tokens)))
        self._pending: list[Future[bool]] = []
        self.acknowledged = 0

    def send(self, index: int, payload: bytes) -> None:
        """Waits while too many are under way."""
        while len(self._pending) > PENDING_MAX:
            self.pause(0.01)
        self._pending.append(self._pool.submit(self._post, index, payload))

    def pause(self, seconds: float) -> None:
        """Count what was answered meanwhile."""
        time.sleep(seconds)
        done = [future for future in self._pending if future.done()]
        self._pending = [future for future in self._pending if not future.done()]
        self.acknowledged += sum(future.result() for future in done)

    def drained(self) -> bool:
        """True once every request was answered."""
        return not self._pending

    def close(self) -> None:
        """Finish what is under way."""
        self._pool.shutdown()
        self._client.close()

    def _post(self, index: int, payload: bytes) -> bool:
        headers = {"Authorization": f"Bearer {self._tokens[index]}"}
        with self._locks[index]:
            for attempt in range(TRIES):
                with suppress(httpx.TransportError):
                    answer = self._client.post("/api/telemetry", content=payload, headers=headers)
                    if answer.status_code not in (429, 503):
                        return answer.is_success
                    time.sleep(min(5.0, float(answer.headers.get("Retry-After", 1))))
                time.sleep(0.1 * attempt)
        return False
