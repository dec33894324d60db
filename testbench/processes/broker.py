"""The embedded MQTT broker: amqtt with the bench's own accounts, topics and acknowledgement.

A message is acknowledged when a collector has stored it, not before, so a killed broker or
collector loses nothing that was acknowledged. amqtt by itself acknowledges at once, drops what a
subscriber leaves unacknowledged for 5 s, lets a stranger take over a session by its client id
before the password is looked at, and publishes wills on any topic; hence the overrides.
"""

import asyncio
import hmac
import logging
import signal
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

import structlog
from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.errors import AMQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, SERVER_UNAVAILABLE, ConnackPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.publish import PublishPacket
from amqtt.session import ApplicationMessage, Session

from testbench.adapters import mqtt
from testbench.domain.errors import BenchError, TooMany
from testbench.processes.collector import NOBODY, device_of
from testbench.services import telemetry
from testbench.settings import settings

log = structlog.get_logger()

CONNECT_S = 10.0
CHECK_S = 2.0
MAX_PACKET_BYTES = 4 * 1024 * 1024
"""A larger packet ends the connection; a message over 1 MiB is refused by the collector."""
SENT_MAX = 4000
"""Messages a collector may have unacknowledged."""
WAITING_MAX = 10_000
"""Messages without acknowledgement (QoS 0) are dropped when this many wait."""
HELD_MAX = 2000
HELD_BYTES_MAX = 8 * 1024 * 1024
"""What one connection may have unacknowledged before the broker stops reading it."""
OWN_TOPIC = "v1/devices/me/telemetry"
REFUSED_SUBSCRIPTION = 0x80


@dataclass(frozen=True, slots=True)
class Account:
    """Who is connected: a device, or (`device_id` None) the bench itself."""

    device_id: uuid.UUID | None
    token_hash: str = ""

    def topic(self, wanted: str) -> str | None:
        """Where a publication of this account goes; None if it may not publish there."""
        if self.device_id is None:
            return wanted if device_of(wanted) != NOBODY else None
        own = mqtt.topic_of(self.device_id)
        return own if wanted in (own, OWN_TOPIC) else None


@dataclass(eq=False, slots=True)
class Parcel:
    """A message on its way to a collector."""

    serial: int
    topic: str
    data: bytes
    stored: "asyncio.Future[None]"


class Hub:
    """Hands each message to one collector, and to another if that one goes away."""

    def __init__(self) -> None:
        self._waiting: deque[Parcel] = deque()
        self._returned: list[Parcel] = []
        self._collectors: dict[BrokerProtocolHandler, int] = {}
        self._serial = 0

    def offer(self, topic: str, data: bytes) -> "asyncio.Future[None]":
        """Done when a collector has acknowledged."""
        self._serial += 1
        parcel = Parcel(self._serial, topic, data, asyncio.get_running_loop().create_future())
        self._waiting.append(parcel)
        self._send_on()
        return parcel.stored

    def is_full(self) -> bool:
        """True when nobody should send what nobody waits for."""
        return len(self._waiting) >= WAITING_MAX

    def join(self, handler: BrokerProtocolHandler) -> None:
        """A collector has subscribed."""
        self._collectors.setdefault(handler, 0)
        asyncio.get_running_loop().call_soon(self._send_on)

    def leave(self, handler: BrokerProtocolHandler) -> None:
        """It is gone; what it held comes back as its waiters are cancelled."""
        self._collectors.pop(handler, None)

    def _send_on(self) -> None:
        while self._waiting and self._collectors:
            handler = min(self._collectors, key=self._collectors.__getitem__)
            if self._collectors[handler] >= SENT_MAX:
                return
            parcel = self._waiting.popleft()
            if not parcel.stored.cancelled():
                self._send(handler, parcel)

    def _send(self, handler: BrokerProtocolHandler, parcel: Parcel) -> None:
        # amqtt's own table of waiters: PUBACK completes them, the end of the connection cancels.
        waiters = cast("dict[int, asyncio.Future[Any]]", handler._puback_waiters)  # pyright: ignore[reportPrivateUsage]
        session, writer = handler.session, handler.writer
        if session is None or writer is None:
            self.leave(handler)
            self._waiting.appendleft(parcel)
            return
        packet_id = session.next_packet_id
        while packet_id in waiters:
            packet_id = session.next_packet_id
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        acknowledged.add_done_callback(partial(self._settle, handler, packet_id, parcel))
        waiters[packet_id] = acknowledged
        self._collectors[handler] += 1
        packet = PublishPacket.build(parcel.topic, parcel.data, packet_id, False, 1, False)
        writer.write(packet.to_bytes())

    def _settle(
        self,
        handler: BrokerProtocolHandler,
        packet_id: int,
        parcel: Parcel,
        acknowledged: "asyncio.Future[Any]",
    ) -> None:
        handler._puback_waiters.pop(packet_id, None)  # pyright: ignore[reportPrivateUsage]
        if handler in self._collectors:
            self._collectors[handler] -= 1
        if acknowledged.cancelled():
            self._returned.append(parcel)
            asyncio.get_running_loop().call_soon(self._take_back)
            return
        if not parcel.stored.done():
            parcel.stored.set_result(None)
        self._send_on()

    def _take_back(self) -> None:
        if self._returned:
            both = [*self._returned, *self._waiting]
            self._waiting = deque(sorted(both, key=lambda parcel: parcel.serial))
            self._returned = []
        self._send_on()


class Outbox:
    """Stands in for amqtt's queue of a session's received messages: `put` ends when stored.

    amqtt sends PUBACK (QoS 1) and PUBCOMP (QoS 2) after `put`, which is all it takes.
    """

    def __init__(self, hub: Hub, account: Account) -> None:
        self._hub = hub
        self._account = account
        self._held = 0
        self._bytes = 0
        self.room = asyncio.Event()
        self.room.set()

    async def put(self, message: ApplicationMessage) -> None:
        """A message that is acknowledged; refused topics are, too, as any broker does."""
        topic = self._topic(message)
        if topic is None:
            return
        size = len(message.data)
        self._hold(1, size)
        try:
            await self._hub.offer(topic, bytes(message.data))
        finally:
            self._hold(-1, -size)

    def put_nowait(self, message: ApplicationMessage) -> None:
        """QoS 0: as good as possible."""
        topic = self._topic(message)
        if topic is not None and not self._hub.is_full():
            self._hub.offer(topic, bytes(message.data))

    async def get(self) -> NoReturn:
        """amqtt's own distribution gets nothing."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def qsize(self) -> int:
        """Nothing lies here."""
        return 0

    def empty(self) -> bool:
        """Always."""
        return True

    def _topic(self, message: ApplicationMessage) -> str | None:
        topic = self._account.topic(message.topic)
        if topic is None:
            log.warning("topic_refused", device_id=str(self._account.device_id))
        return topic

    def _hold(self, count: int, size: int) -> None:
        self._held += count
        self._bytes += size
        if self._held < HELD_MAX and self._bytes < HELD_BYTES_MAX:
            self.room.set()
        else:
            self.room.clear()


class Reader(StreamReaderAdapter):
    """Stops at a packet's beginning while the connection holds too much, or sends too large."""

    outbox: Outbox | None = None

    async def read(self, n: int = -1) -> bytes:
        """Raises ValueError for a packet beyond all reason; amqtt then ends the connection."""
        if n > MAX_PACKET_BYTES:
            raise ValueError("the packet is too large")
        if n == 1 and self.outbox is not None and not self.outbox.room.is_set():
            await self.outbox.room.wait()
        return await super().read(n)


class BenchBroker(Broker):
    """amqtt's connections and packets, the bench's accounts and delivery."""

    def __init__(self, named: mqtt.Broker) -> None:
        bind = f"{settings().listen}:{named.port}"
        super().__init__({"listeners": {"default": {"type": "tcp", "bind": bind}}, "plugins": {}})
        self._named = named
        self._hub = Hub()
        self._accounts: dict[str, Account] = {}

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Every connection reads through `Reader`."""
        streams = Reader(reader), StreamWriterAdapter(writer)
        await self._client_connected(listener_name, *streams)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Only the bench subscribes, and only to what collectors read."""
        topic, qos = subscription
        name = session.client_id or ""
        account = self._accounts.get(name)
        if account is None or account.device_id is not None:
            return REFUSED_SUBSCRIPTION
        if topic not in (mqtt.TOPIC, mqtt.SHARED_TOPIC) or qos == 0:
            return REFUSED_SUBSCRIPTION
        self._hub.join(self._sessions[name][1])
        return 1

    async def check_accounts(self) -> None:
        """Every 2 s, end the connections whose credential was renewed or removed."""
        while True:
            await asyncio.sleep(CHECK_S)
            ids = {a.device_id for a in self._accounts.values() if a.device_id is not None}
            if not ids:
                continue
            try:
                valid = await asyncio.to_thread(telemetry.credentials, ids)
            except BenchError:
                continue
            for name, account in list(self._accounts.items()):
                if account.device_id and valid.get(account.device_id) != account.token_hash:
                    log.info("credential_ended", device_id=str(account.device_id))
                    await self._end(name)

    async def _initialize_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        remote_address: str,
        remote_port: int,
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Authenticate before anything else; each account has client ids of its own."""
        try:
            handler, session = await asyncio.wait_for(
                BrokerProtocolHandler.init_from_connect(reader, writer, self.plugins_manager),
                CONNECT_S,
            )
            account = await self._admit(session, writer, remote_address)
        except Exception as error:
            # A stranger's bytes: whatever is wrong with them, the broker goes on.
            await writer.close()
            raise AMQTTError(type(error).__name__) from error
        owner = str(account.device_id) if account.device_id else "testbench"
        name = session.client_id = f"{owner}/{session.client_id}"
        session.clean_session, session.parent = True, 0
        session.will_flag = False
        outbox = Outbox(self._hub, account)
        session.delivered_message_queue = cast("asyncio.Queue[ApplicationMessage]", outbox)
        cast("Reader", reader).outbox = outbox
        if name in self._sessions:
            await self._end(name)
        self._accounts[name] = account
        return handler, session

    async def _admit(self, session: Session, writer: WriterAdapter, address: str) -> Account:
        """The account that logs in; answers and raises where there is none."""
        username, password = session.username or "", session.password or ""
        session.password = None
        ours = self._named.username or "", self._named.password or ""
        if _same((username, password), ours):
            return Account(None)
        try:
            found = await asyncio.to_thread(telemetry.admit, username, password)
            if found is not None:
                return Account(*found)
            await asyncio.to_thread(telemetry.login_failed, address, "mqtt", username)
        except TooMany:
            pass
        except BenchError:
            await ConnackPacket.build(0, SERVER_UNAVAILABLE).to_stream(writer)
            raise
        await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
        raise AMQTTError("refused")

    async def _authenticate(self, session: Session, _: Any) -> bool:
        return True

    async def _handle_disconnect(
        self,
        client_session: Session,
        handler: BrokerProtocolHandler,
        disconnect_waiter: "asyncio.Future[Any]",
    ) -> None:
        self._hub.leave(handler)
        name = client_session.client_id or ""
        if self._sessions.get(name, (None, None))[1] is handler:
            self._accounts.pop(name, None)
        await super()._handle_disconnect(client_session, handler, disconnect_waiter)

    async def _end(self, name: str) -> None:
        _, handler = self._sessions.get(name, (None, None))
        if handler is not None:
            self._hub.leave(handler)
            await self._cleanup_session(name)
        self._accounts.pop(name, None)


def _same(given: Iterable[str], expected: Iterable[str]) -> bool:
    """Compare secrets in a time that does not depend on them; no account has an empty name."""
    pairs = list(zip(given, expected, strict=True))
    same = [hmac.compare_digest(a.encode(), b.encode()) for a, b in pairs]
    return all(same) and bool(pairs[0][1])


async def serve(stopped: asyncio.Event) -> None:
    """Run until `stopped`."""
    broker = BenchBroker(mqtt.broker())
    await broker.start()
    log.info("broker_started")
    checking = asyncio.create_task(broker.check_accounts())
    await stopped.wait()
    checking.cancel()
    await broker.shutdown()


async def _run() -> None:
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    await serve(stopped)


def main() -> None:
    """The broker at MQTT_URL, until SIGTERM."""
    for noisy in ("amqtt", "transitions"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    asyncio.run(_run())
