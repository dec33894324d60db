"""One HTTP exchange with one device, in few steps: thousands of them a second share a core.

A general client spends four times the processor on pools, cookies and redirects, none of which
a device needs: each exchange has a connection of its own (a device has a handful of sockets, and
after its restart an open one would be a dead end), is never redirected, and uses no proxy.
"""

import asyncio
from typing import NamedTuple

import h11

from testbench.adapters.addresses import Address
from testbench.adapters.drivers.base import DeviceFailed

MAX_BODY = 1024 * 1024
READ_SIZE = 65_536

_HEADERS = [
    ("Connection", "close"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "testbench"),
]


class Answer(NamedTuple):
    """What a device answered."""

    status: int
    body: bytes


async def exchange(
    ip: Address, port: int, method: str, path: str, body: bytes = b"", connect_s: float = 2.0
) -> Answer:
    """Ask once; the caller sets the deadline of the whole.

    Raises OSError (TimeoutError too) where there is no connection or no answer, DeviceFailed for
    an answer that is not HTTP, compressed, or longer than 1 MiB.
    """
    async with asyncio.timeout(connect_s):
        reader, writer = await asyncio.open_connection(str(ip), port)
    try:
        http = h11.Connection(h11.CLIENT)
        writer.write(_request(http, _host(ip, port), method, path, body))
        return await _answer(http, reader)
    except h11.ProtocolError as error:
        raise DeviceFailed("The device's answer is cut off, or not HTTP.") from error
    finally:
        # At once: a device that hangs would keep a polite goodbye waiting for ever.
        writer.transport.abort()


def _host(ip: Address, port: int) -> str:
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    return host if port == 80 else f"{host}:{port}"


def _request(http: h11.Connection, host: str, method: str, path: str, body: bytes) -> bytes:
    headers = [("Host", host), *_HEADERS]
    if body:
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    elif method != "GET":
        headers.append(("Content-Length", "0"))
    parts = [http.send(h11.Request(method=method, target=path, headers=headers))]
    if body:
        parts.append(http.send(h11.Data(data=body)))
    parts.append(http.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, content = 0, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(READ_SIZE)
            if not data and not status and not http.trailing_data[0]:
                raise ConnectionResetError
            http.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            _check(event)
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > MAX_BODY:
                raise DeviceFailed("The device's answer is larger than 1 MiB.", status)
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(content))


def _check(response: h11.Response) -> None:
    for name, value in response.headers:
        if name == b"content-encoding" and value != b"identity":
            raise DeviceFailed("The device's answer is compressed.", response.status_code)
