"""Dramatiq without a bench: what a message costs by itself, from enqueue to the actor's start."""

import os
import time

import dramatiq
import redis
from dramatiq.brokers.rabbitmq import RabbitmqBroker

broker = RabbitmqBroker(url=os.environ["RABBITMQ_URL"], confirm_delivery=True, middleware=[])
dramatiq.set_broker(broker)
heard = redis.Redis.from_url(os.environ["REDIS_URL"])


@dramatiq.actor(queue_name="raw")
def note(sent: float) -> None:
    """Tell how long ago the message was sent, in s."""
    heard.rpush("raw", time.time() - sent)
