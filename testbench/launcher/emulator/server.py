"""HTTP and WebSocket of one emulated device, on a socket of its own."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_address

import h11
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from testbench.launcher.emulator.device import Answer, Device

MAX_CLIENTS = 10
MAX_CHUNK = 4096
MAX_BODY = 1024 * 1024
READ_SIZE = 65_536
IDLE_S = 60.0
DRIP_S = 0.1

# Loopback is no private network to a real device; here it is the lab.
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8")))
UNAUTHORIZED = Answer(401, b"Unauthorized")


class DeviceServer:
    """Serves a device until it is closed; `restart_s` is how long a restart takes it away."""

    def __init__(self, device: Device, restart_s: float = 1.0, log_every_s: float = 0.5) -> None:
        self.device = device
        self.host, self.port = "", 0
        self._restart_s = restart_s
        self._log_every_s = log_every_s
        self._away = False
        self._listeners = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def address(self) -> str:
        """`host:port`, as devices are named in the bench."""
        return f"{self.host}:{self.port}"

    async def open(self, host: str, port: int = 0) -> None:
        """Listen; port 0 takes any that is free."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=16)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        self.device.ip = self.host

    async def close(self) -> None:
        """Stop, and cut what is connected."""
        for timer in self._timers:
            timer.cancel()
        if self._server is not None:
            self._server.close()
        self._cut()

    def restart(self) -> None:
        """Go away for `restart_s`; open connections break."""
        self._away = True
        self._cut()
        self._later(self._restart_s, self._return)

    def _return(self) -> None:
        self.device.restart()
        self._away = False

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers = {timer for timer in self._timers if timer.when() > loop.time()}
        self._timers.add(loop.call_later(seconds, then))

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away or self.device.faults.dead:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            await Connection(self, reader, writer).run()
        except (OSError, TimeoutError, h11.ProtocolError, EOFError):
            writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.close()

    # --- what it answers --------------------------------------------------------------------------

    async def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The device's answer, its faults included."""
        faults = self.device.faults
        if faults.slow_s:
            await asyncio.sleep(faults.slow_s)
        if faults.redirect:
            return Answer(302, b"", location=faults.redirect)
        if faults.garbage:
            return Answer(200, b'{"power": 23.69, "ASICModel": "BM13', "application/json")
        if faults.huge:
            body = b'{"ASICModel": "BM1370", "x": "' + b"x" * MAX_BODY + b'"}'
            return Answer(200, body, "application/json")
        return self._route(method, path, body)

    def _route(self, method: str, path: str, body: bytes) -> Answer:
        match (method, path):
            case ("GET", "/api/system/info"):
                return Answer(200, json.dumps(self.device.info()).encode(), "application/json")
            case ("PATCH", "/api/system"):
                return self.device.patch(body)
            case ("POST", "/api/system/restart"):
                # The answer leaves first.
                self._later(0.05, self.restart)
                return self.device.restart_answer()
            case (_, _) if path.startswith("/api/"):
                return Answer(404, b'{"error":"unknown route"}', "application/json")
            case _:
                return Answer(302, b"Redirect to the captive portal", location="/")

    def join(self) -> bool:
        """Take a listener's place at the log; False if all are taken."""
        if self._listeners >= MAX_CLIENTS:
            return False
        self._listeners += 1
        return True

    def leave(self) -> None:
        """Give it back."""
        self._listeners -= 1

    async def chunks(self, write: Callable[[bytes], None]) -> None:
        """Log text without end, cut wherever the buffer was full: not at lines' ends."""
        buffer = bytearray()
        lines = self.device.log()
        held = 0
        while True:
            for _ in range(3):
                buffer += (next(lines) + "\n").encode()
            # All but some bytes now, those with the next chunk: the cut wanders through the lines.
            held = (held + 11) % 61
            ready = bytes(buffer[: len(buffer) - held])
            del buffer[: len(ready)]
            for at in range(0, len(ready), MAX_CHUNK):
                write(ready[at : at + MAX_CHUNK])
            await asyncio.sleep(self._log_every_s)


class Connection:
    """One client's connection: requests one after the other, or a log."""

    def __init__(
        self, server: DeviceServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Until the client or the device has had enough."""
        while True:
            request, body = await self._request()
            if request is None:
                return
            while self._server.device.faults.hanging:
                # Until the client gives up.
                if not await self._reader.read(READ_SIZE):
                    return
            headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
            path = request.target.decode("latin-1").partition("?")[0]
            if not self._welcome(headers.get("origin")):
                await self._send(UNAUTHORIZED)
            elif path == "/api/ws" and headers.get("upgrade", "").lower() == "websocket":
                await self._follow(request)
                return
            else:
                method = request.method.decode()
                await self._send(await self._server.answer(method, path, body))
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    def _welcome(self, origin: str | None) -> bool:
        """Peer and Origin must both be private IPv4 addresses."""
        peer = ip_address(self._writer.get_extra_info("peername")[0])
        found = re.fullmatch(r"http://([0-9.]+)(?::[0-9]+)?/?", origin) if origin else None
        try:
            named = IPv4Address(found[1]) if found else None
        except AddressValueError:
            named = None
        addresses = [peer, named if origin else peer]
        return all(isinstance(ip, IPv4Address) and _private(ip) for ip in addresses)

    async def _request(self) -> tuple[h11.Request | None, bytes]:
        request, body = None, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(IDLE_S):
                    self._http.receive_data(await self._reader.read(READ_SIZE))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    return None, b""
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:
                return None, b""

    async def _send(self, answer: Answer) -> None:
        headers = [("Content-Type", answer.kind), ("Content-Length", str(len(answer.body)))]
        if answer.location:
            headers.append(("Location", answer.location))
        reason = HTTPStatus(answer.status).phrase
        head = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        sent = (self._http.send(head) or b"") + (self._http.send(h11.Data(data=answer.body)) or b"")
        sent += self._http.send(h11.EndOfMessage()) or b""
        if self._server.device.faults.drip:
            for byte in sent:
                self._writer.write(bytes([byte]))
                await asyncio.sleep(DRIP_S)
        self._writer.write(sent if not self._server.device.faults.drip else b"")
        await self._writer.drain()

    # --- the log ----------------------------------------------------------------------------------

    async def _follow(self, request: h11.Request) -> None:
        faults = self._server.device.faults
        if faults.redirect:
            await self._send(Answer(302, b"", location=faults.redirect))
            return
        if not self._server.join():
            await self._send(Answer(429, b"Max WebSocket clients reached"))
            return
        try:
            await self._stream(request)
        finally:
            self._server.leave()

    async def _stream(self, request: h11.Request) -> None:
        protocol = ServerProtocol()
        head = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers)
        protocol.receive_data(b"GET " + request.target + b" HTTP/1.1\r\n" + head + b"\r\n")
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
        self._flush(protocol)

        def write(chunk: bytes) -> None:
            # Text frames of raw bytes: a character may be cut in two.
            protocol.send_text(chunk)
            self._flush(protocol)

        talk = asyncio.create_task(self._server.chunks(write))
        try:
            await self._listen(protocol)
        finally:
            talk.cancel()
            with suppress(asyncio.CancelledError):
                await talk

    async def _listen(self, protocol: ServerProtocol) -> None:
        while data := await self._reader.read(READ_SIZE):
            protocol.receive_data(data)
            closed = any(
                getattr(event, "opcode", None) is Opcode.CLOSE
                for event in protocol.events_received()
            )
            self._flush(protocol)
            if closed:
                return

    def _flush(self, protocol: ServerProtocol) -> None:
        for data in protocol.data_to_send():
            if data:
                self._writer.write(data)


def _private(ip: IPv4Address) -> bool:
    return any(ip in network for network in PRIVATE)
