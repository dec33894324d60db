"""The job queue: Dramatiq over RabbitMQ with confirms, or over Valkey where no RabbitMQ is named.

Actors are addressed by name, so that whoever sends need not import who executes.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

import dramatiq
import pika
import structlog
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError, DecodeError
from pika.exceptions import AMQPError, ChannelClosedByBroker

from testbench.adapters import cache
from testbench.settings import settings

log = structlog.get_logger()
QUEUE = "testbench"
JOBS = "testbench.jobs"
HEARTBEAT_S = 10
CONNECT_S = 3

REDIS_S = 5
NAMESPACE = "dramatiq"

# What a caller catches when the queue is away.
Away = (BrokerConnectionError, AMQPError, OSError, *cache.Away)


class StrictEncoder(dramatiq.JSONEncoder):
    """Refuses what is no message of the bench: Dramatiq believes types, and dies of wrong ones.

    A refused message is parked in the queue's dead letters, the rest goes on. Options are left
    out: nothing here delays, pipes or calls back, so nobody else may.
    """

    TYPES: ClassVar[dict[str, type | tuple[type, ...]]] = {
        "queue_name": str,
        "actor_name": str,
        "args": (list, tuple),
        "kwargs": dict,
        "options": dict,
        "message_id": str,
        "message_timestamp": int,
    }

    def decode(self, data: bytes) -> dict[str, Any]:
        fields: Any = super().decode(data)
        if not isinstance(fields, dict) or fields.keys() != self.TYPES.keys():
            raise DecodeError("not a message", data, None)
        if not all(isinstance(fields[name], kind) for name, kind in self.TYPES.items()):
            raise DecodeError("a field of the message has the wrong type", data, None)
        own = fields["options"].get("redis_message_id")
        return {**fields, "options": {"redis_message_id": own} if isinstance(own, str) else {}}


dramatiq.set_encoder(StrictEncoder())


class ValkeyBroker(RedisBroker):
    """Parks what cannot be decoded, as RabbitMQ's does; Dramatiq's own would stumble over it."""

    def do_fetch(self, queue_name: str, prefetch: int) -> list[bytes]:
        """The next messages, without those that are none."""
        fetch: Callable[..., Any] = super().__getattr__("do_fetch")
        messages: list[bytes | None] = fetch(queue_name, prefetch)
        good = [data for data in messages if data is not None and _is_message(data)]
        if len(good) < len(messages):
            self._park(queue_name, [data for data in messages if data not in good])
        return good

    def _park(self, queue_name: str, poison: list[bytes | None]) -> None:
        found: Any = self.client.hscan_iter(f"{NAMESPACE}:{queue_name}.msgs")
        ids = [key for key, data in found if data in poison]
        for key in ids:
            self.__getattr__("do_nack")(queue_name, key)
        log.warning("poison_message", queue=queue_name, parked=len(ids))


def _is_message(data: bytes) -> bool:
    try:
        return "redis_message_id" in dramatiq.Message.decode(data).options
    except DecodeError:
        return False


def _middleware() -> list[dramatiq.Middleware]:
    # Steps bound themselves by lease and deadline, and the clock re-sends: no retries here.
    return [dramatiq.middleware.ShutdownNotifications(), dramatiq.middleware.Callbacks()]


def _url() -> str:
    """RABBITMQ_URL with bounds on every wait: a paused broker is noticed after two heartbeats."""
    bounds = {
        "heartbeat": HEARTBEAT_S,
        "blocked_connection_timeout": HEARTBEAT_S,
        "socket_timeout": CONNECT_S,
        "stack_timeout": 2 * CONNECT_S,
        "connection_attempts": 1,
    }
    named = settings().rabbitmq_url or ""
    return f"{named}{'&' if '?' in named else '?'}{urlencode(bounds)}"


def _bounded(redis_url: str) -> str:
    """REDIS_URL with bounds on every wait: redis-py waits for ever by default."""
    bounds = urlencode({"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S})
    return f"{redis_url}{'&' if '?' in redis_url else '?'}{bounds}"


@lru_cache
def broker() -> dramatiq.Broker:
    """This process's broker; RabbitMQ's refuses a send that was not confirmed."""
    if settings().rabbitmq_url:
        return RabbitmqBroker(url=_url(), confirm_delivery=True, middleware=_middleware())
    return ValkeyBroker(
        url=_bounded(settings().redis_url or ""),
        middleware=_middleware(),
        heartbeat_timeout=5000,
        maintenance_chance=1_000_000,
    )


def send(actor: str, *args: Any) -> None:
    """Enqueue a call of `actor`; returns once the broker has it, raises one of `Away` otherwise."""
    message: dramatiq.Message[Any] = dramatiq.Message(
        queue_name=QUEUE, actor_name=actor, args=args, kwargs={}, options={}
    )
    current = broker()
    current.declare_queue(QUEUE)
    current.enqueue(message)


class Depth(NamedTuple):
    """Messages nobody has taken yet, and how many workers listen."""

    waiting: int
    consumers: int


def depth() -> Depth:
    """How full the queue is; raises one of `Away`."""
    if not settings().rabbitmq_url:
        client = cache.client()
        waiting: Any = client.llen(f"dramatiq:{QUEUE}")
        alive: Any = client.zcount("dramatiq:__heartbeats__", (time.time() - 5) * 1000, "+inf")
        return Depth(waiting, alive)
    with pika.BlockingConnection(pika.URLParameters(_url())) as connection:
        queue: Any = connection.channel().queue_declare(QUEUE, durable=True, passive=True).method
    return Depth(queue.message_count, queue.consumer_count)


def depths() -> dict[str, int]:
    """Messages waiting in each queue there is, by its name; raises one of `Away`."""
    if not settings().rabbitmq_url:
        return {QUEUE: depth().waiting}
    found: dict[str, int] = {}
    with pika.BlockingConnection(pika.URLParameters(_url())) as connection:
        for name in (QUEUE, JOBS):
            # A queue that is not there yet closes the channel.
            with suppress(ChannelClosedByBroker):
                queue: Any = connection.channel().queue_declare(name, passive=True).method
                found[name] = queue.message_count
    return found


class Jobs:
    """Plain JSON jobs for external runners, on a durable queue, published with confirms."""

    def __init__(self) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(_url()))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._channel.queue_declare(JOBS, durable=True)

    def publish(self, body: bytes) -> None:
        """Returns once RabbitMQ has the job on disk."""
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=pika.DeliveryMode.Persistent
        )
        self._channel.basic_publish("", JOBS, body, properties, mandatory=True)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection.is_open:
            self._connection.close()
