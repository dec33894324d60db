"""AxeOS (ESP-Miner) devices: JSON over HTTP, logs over a WebSocket, each call within bounds."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from testbench.adapters import addresses
from testbench.adapters.addresses import Network
from testbench.adapters.drivers.base import DeviceFailed, said
from testbench.adapters.drivers.http import exchange
from testbench.domain.lines import LineJoiner
from testbench.settings import settings

HTTP_PORT = 80
CONNECT_S = 2.0
INFO_S = 4.0
CHANGE_S = 10.0
PING_S = 20.0
MAX_CHUNK = 64 * 1024
CHUNKS_AHEAD = 16

_decode = msgspec.json.Decoder().decode


class Axeos:
    """The device at `address` (`host` or `host:port`), in one of `networks` only."""

    def __init__(
        self,
        address: str,
        networks: Sequence[Network] | None = None,
        *,
        info_s: float = INFO_S,
        connect_s: float = CONNECT_S,
    ) -> None:
        self._address = address
        self._networks = settings().discovery_networks if networks is None else networks
        self._info_s = info_s
        self._connect_s = connect_s

    async def info(self) -> dict[str, Any]:
        """`GET /api/system/info`, decoded; DeviceFailed unless it is a JSON object."""
        body = await self._ask("GET", "/api/system/info", self._info_s)
        try:
            found = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DeviceFailed("The device's answer is not valid JSON.", 200) from error
        if not isinstance(found, dict):
            raise DeviceFailed("The device's answer is not a JSON object.", 200)
        return found

    async def configure(self, changes: Mapping[str, Any]) -> None:
        """`PATCH /api/system`: 200 with an empty body, also for what it ignores."""
        body = msgspec.json.encode(dict(changes))
        await self._ask("PATCH", "/api/system", CHANGE_S, body)

    async def restart(self) -> None:
        """`POST /api/system/restart`: answers text until 2.12, JSON from 2.13; about 1 s away."""
        await self._ask("POST", "/api/system/restart", CHANGE_S)

    async def logs(self, opened: Callable[[], None] | None = None) -> AsyncGenerator[str]:
        """`ws://…/api/ws`: raw chunks of up to 4,096 bytes, joined into lines.

        `opened` is called once the device has taken the connection.
        """
        lines = LineJoiner()
        pinned = await addresses.allowed_soon(self._address, self._networks)
        try:
            async with _Logs(f"ws://{pinned.netloc(HTTP_PORT)}/api/ws") as socket:
                if opened is not None:
                    opened()
                while True:
                    # Undecoded: a chunk may end within a character.
                    for line in lines.feed(await socket.recv(decode=False)):
                        yield line
        except InvalidStatus as error:
            response = error.response
            text = (response.body or b"").decode("utf-8", "replace")
            raise said(response.status_code, text) from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise DeviceFailed("The device's log was cut off.") from error

    async def _ask(self, method: str, path: str, seconds: float, body: bytes = b"") -> bytes:
        try:
            async with asyncio.timeout(seconds):
                pinned = await addresses.allowed_soon(self._address, self._networks)
                port = pinned.port or HTTP_PORT
                answer = await exchange(pinned.ip, port, method, path, body, self._connect_s)
        except TimeoutError as error:
            raise DeviceFailed(f"The device did not answer within {seconds:g} s.") from error
        except OSError as error:
            raise DeviceFailed(f"The device does not answer ({type(error).__name__}).") from error
        if answer.status != 200:
            raise said(answer.status, answer.body.decode("utf-8", "replace"))
        return answer.body


class _Logs(connect):
    """A log's connection: it follows no redirect and uses no proxy."""

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            proxy=None,
            compression=None,
            max_size=MAX_CHUNK,
            max_queue=CHUNKS_AHEAD,
            open_timeout=INFO_S,
            close_timeout=CONNECT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            user_agent_header="testbench",
        )

    def process_redirect(self, exc: Exception) -> Exception | str:
        """A redirect is an answer like any other that is not 101."""
        return exc
