"""A publisher that costs next to nothing: MQTT 3.1.1 packets made beforehand, and a socket."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

PUBACK_BYTES = 4
WINDOW = 4000
"""Messages sent and not yet acknowledged, at most."""


def payloads(count: int, start_ms: int, devices: int) -> Iterator[bytes]:
    """Messages of four metrics, one a ms, of `devices` in turn."""
    for i in range(count):
        yield (
            b'{"ts":%d,"seq":%d,"values":{"temp":%d.5,"hum":3.25,"power":1.25,"volt":12.1}}'
            % (start_ms + i, i // devices, i % 50)
        )


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH, QoS 1 (MQTT 3.1.1, 3.3)."""
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + struct.pack(">H", packet_id) + payload
    return b"\x32" + _length(len(body)) + body


def blast(url: str, client_id: str, topics: Sequence[str], messages: Sequence[bytes]) -> float:
    """Publish all and wait for every acknowledgement; seconds it took."""
    packets = [
        publish_packet(topic, message, 1 + i % 65000)
        for i, (message, topic) in enumerate(zip(messages, itertools.cycle(topics), strict=False))
    ]
    with connect(url, client_id) as link:
        acknowledged = _Counter(link, len(packets))
        began = time.perf_counter()
        for first in range(0, len(packets), 500):
            acknowledged.wait_for(first - WINDOW)
            link.sendall(b"".join(packets[first : first + 500]))
        acknowledged.wait_for(len(packets))
        return time.perf_counter() - began


def connect(url: str, client_id: str) -> socket.socket:
    """A connection that the broker has accepted."""
    parts = urlsplit(url)
    link = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 1883), 10)
    fields = [client_id, *(text for text in (parts.username, parts.password) if text)]
    flags = 2 | (0x80 if parts.username else 0) | (0x40 if parts.password else 0)
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + struct.pack(">H", 600)
    body += b"".join(struct.pack(">H", len(f.encode())) + f.encode() for f in fields)
    link.sendall(b"\x10" + _length(len(body)) + body)
    answer = link.recv(4, socket.MSG_WAITALL)
    assert answer[3:] == b"\x00", f"refused: {answer!r}"
    link.settimeout(120)
    return link


class _Counter:
    """Counts acknowledgements on a thread of its own."""

    def __init__(self, link: socket.socket, total: int) -> None:
        self.count = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(link, total), daemon=True).start()

    def _read(self, link: socket.socket, total: int) -> None:
        received = 0
        while received < total * PUBACK_BYTES:
            data = link.recv(1 << 16)
            if not data:
                break
            received += len(data)
            with self._changed:
                self.count = received // PUBACK_BYTES
                self._changed.notify()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.count >= count, 120), "no acknowledgement"


def _length(size: int) -> bytes:
    """The variable length of 2.2.3."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)
