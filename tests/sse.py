"""A client of server-sent events: reads on a thread, keeps what came."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

from tests.services import wait_until

WAIT_S = 15.0


class Happened(NamedTuple):
    """One event."""

    name: str
    data: str
    id: str


@dataclass
class Sse:
    """What came over one stream so far."""

    events: list[Happened] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    headers: httpx.Headers = field(default_factory=httpx.Headers)

    def read(self, response: httpx.Response) -> None:
        """Until either side ends it."""
        self.headers = response.headers
        event: dict[str, str] = {}
        try:
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    event[name] = value
                elif "data" in event:
                    happened = Happened(event["event"], event["data"], event.get("id", ""))
                    self.events.append(happened)
                    event = {}
        except (httpx.HTTPError, httpx.StreamError, OSError):
            pass  # cut off, which `ended` says
        finally:
            self.ended.set()

    def of(self, name: str) -> list[Happened]:
        """The events of that name."""
        return [event for event in self.events if event.name == name]

    def data(self, name: str = "log") -> list[str]:
        """What the events of that name said."""
        return [event.data for event in self.of(name)]

    def until(self, true: Any, seconds: float = WAIT_S) -> None:
        """Waits until `true()`."""
        wait_until(true, seconds, lambda: str(self.events[-20:]))


@contextmanager
def followed(url: str, token: str, **options: Any) -> Iterator[Sse]:
    """An open stream; AssertionError with the answer where it is refused."""
    headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
    stream = Sse()
    timeout = httpx.Timeout(10, read=None)
    with (
        httpx.Client(timeout=timeout) as client,
        client.stream("GET", url, headers=headers, **options) as response,
    ):
        if response.status_code != 200:
            raise AssertionError(f"{response.status_code}: {response.read()!r}")
        connection = response.extensions["network_stream"].get_extra_info("socket")
        reader = threading.Thread(target=stream.read, args=(response,), daemon=True)
        reader.start()
        try:
            yield stream
        finally:
            # Closing alone would leave the reader, and so the connection, as they are.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
