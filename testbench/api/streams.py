"""Server-sent events: who may hold a stream, what waits for a slow client, and when all end."""

import asyncio
import signal
import threading
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import anyio.to_thread
import structlog
from fastapi import Request
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from testbench.api import doors
from testbench.domain.errors import Forbidden, TooMany, Unauthenticated, Unavailable
from testbench.domain.identity import Actor

log = structlog.get_logger()

MEDIA_TYPE = "text/event-stream"
MAX_STREAMS = 20
"""Of one person at one time, in one web process."""
CHECK_S = 5.0
"""So often the credential is looked at again, and at once when the bus says that it changed."""
PING_S = 15
SEND_S = 10.0
"""A client that takes nothing for so long is cut off."""
MAX_WAITING = 4 * 1024 * 1024
"""Bytes that wait for one client."""
RETRY_MS = 2000


def event(name: str, data: str, id: str | None = None) -> bytes:
    """One event; `data` is one line of text."""
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


class Stream:
    """What one client is still to be sent, until either side has had enough."""

    def __init__(self, actor: Actor) -> None:
        self.user_id = actor.user_id
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._doubted = asyncio.Event()
        self.ended = ""
        """Why, once it is over."""

    def put(self, data: bytes) -> None:
        """Send this as soon as the client takes it; one that lags too far behind is cut off."""
        if self.ended or not data:
            return
        if self._size + len(data) > MAX_WAITING:
            self.end("slow")
            return
        self._waiting.append(data)
        self._size += len(data)
        self._changed.set()

    def end(self, reason: str) -> None:
        """Send no more."""
        self.ended = self.ended or reason
        self._waiting.clear()
        self._size = 0
        self._changed.set()

    def doubt(self) -> None:
        """Look at its credential now."""
        self._doubted.set()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """All that is put, as it comes; the first one at once, so that the client has an answer."""
        yield f"retry: {RETRY_MS}\n: open\n\n".encode()
        while not self.ended:
            await self._changed.wait()
            self._changed.clear()
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
            if data:
                yield data

    async def check(self, request: Request) -> None:
        """Ends the stream once its credential opens nothing any more."""
        while not self.ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._doubted.wait()
            self._doubted.clear()
            try:
                await anyio.to_thread.run_sync(doors.authenticate, request)
            except (Unauthenticated, Forbidden):
                self.end("logged out")
            except Unavailable:
                # Who cannot be asked about is asked about again.
                continue


class Streams:
    """All open streams of this process."""

    def __init__(self) -> None:
        self._open: dict[uuid.UUID | None, set[Stream]] = {}
        self._hooked = False

    def open(self, actor: Actor) -> Stream:
        """A place for one more; TooMany if the person has all they may have."""
        mine = self._open.setdefault(actor.user_id, set())
        if len(mine) >= MAX_STREAMS:
            raise TooMany(f"More than {MAX_STREAMS} streams are open; close one.", retry_after=5)
        stream = Stream(actor)
        mine.add(stream)
        self._hook()
        return stream

    def close(self, stream: Stream) -> None:
        """Its place is free."""
        mine = self._open.get(stream.user_id, set())
        mine.discard(stream)
        if not mine:
            self._open.pop(stream.user_id, None)

    def doubt(self, user_id: str) -> None:
        """Something changed about this person's sessions."""
        for id, mine in self._open.items():
            if str(id) == user_id:
                for stream in mine:
                    stream.doubt()

    def end_all(self) -> None:
        """The server stops."""
        for mine in self._open.values():
            for stream in mine:
                stream.end("shutdown")

    def _hook(self) -> None:
        """The server waits for open answers before it tells its application that it stops."""
        if self._hooked or threading.current_thread() is not threading.main_thread():
            return
        self._hooked = True
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            _also(number, lambda: loop.call_soon_threadsafe(self.end_all))


def _also(number: signal.Signals, call: Callable[[], object]) -> None:
    """On this signal `call`, and what was done before."""
    before = signal.getsignal(number)

    def handle(sign: int, frame: object) -> None:
        call()
        if callable(before):
            before(sign, frame)  # type: ignore[arg-type]  # the frame that came

    signal.signal(number, handle)


STREAMS = Streams()


class EventStream(EventSourceResponse):
    """The answer that sends a stream; `leave` is called when it is over, however it ends."""

    def __init__(self, request: Request, stream: Stream, leave: Callable[[], None]) -> None:
        super().__init__(stream.chunks(), ping=PING_S, sep="\n", send_timeout=SEND_S)
        self._request = request
        self._stream = stream
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the client leaves, is too slow, is logged out, or the server stops."""
        check = asyncio.create_task(self._stream.check(self._request))
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            self._stream.end("slow")
        finally:
            check.cancel()
            STREAMS.close(self._stream)
            self._leave()
            if self._stream.ended:
                log.info("stream_ended", reason=self._stream.ended)
