"""The job queue: Dramatiq over RabbitMQ with confirms, or over Valkey where no RabbitMQ is named.

Actors are addressed by name, so that whoever sends need not import who executes.
"""

import time
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from pika.exceptions import AMQPError

from testbench.adapters import cache
from testbench.settings import settings

QUEUE = "testbench"
JOBS = "testbench.jobs"
HEARTBEAT_S = 10
CONNECT_S = 3

# What a caller catches when the queue is away.
Away = (BrokerConnectionError, AMQPError, OSError)


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


@lru_cache
def broker() -> dramatiq.Broker:
    """This process's broker; RabbitMQ's refuses a send that was not confirmed."""
    if settings().rabbitmq_url:
        return RabbitmqBroker(url=_url(), confirm_delivery=True, middleware=_middleware())
    return RedisBroker(
        url=settings().redis_url,
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
