"""The bus: what changed, named by topic and id, over Redis pub/sub; lossy by design."""

import asyncio
import json
import random
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import redis
import redis.asyncio
import structlog

from testbench.adapters import cache
from testbench.settings import settings

CHANNEL = "testbench:events"
PAUSE_S = 2.0
SILENCE_S = 15.0
"""The bus is asked for a sign of life that often."""
MAX_PAUSE_S = 5.0
EVERYTHING = "*"
"""Topic and id of what is heard once the bus is back: nobody knows what was missed."""
log = structlog.get_logger()


class Event(NamedTuple):
    """`topic` is a plural noun (`devices`, `runs`, …); readers re-read what `id` names."""

    topic: str
    id: str


@lru_cache
def _pause() -> cache.Pause:
    return cache.Pause(PAUSE_S)


def publish(events: Iterable[Event]) -> None:
    """Tell all listeners, in one message; a cache that is away costs the news, not the work."""
    if _pause().lasts():
        return
    try:
        cache.client().publish(CHANNEL, json.dumps([list(event) for event in events]))
    except cache.Away as error:
        _pause().begin()
        log.warning("bus_away", error=type(error).__name__)


def parse(message: str) -> list[Event]:
    """The events of one bus message."""
    return [Event(topic, id) for topic, id in json.loads(message)]


async def listen(heard: Callable[[Iterable[Event]], None]) -> None:
    """Tells `heard` of all that is published, for ever; EVERYTHING once connected, and again."""
    url, pause = settings().redis_url, 0.1
    while url:
        try:
            async with (
                redis.asyncio.from_url(url, decode_responses=True) as client,
                client.pubsub(ignore_subscribe_messages=True) as channel,
            ):
                await channel.subscribe(CHANNEL)
                heard([Event(EVERYTHING, EVERYTHING)])
                pause = 0.1
                await _read(channel, heard)
        except (redis.RedisError, OSError) as error:
            log.warning("bus_lost", error=type(error).__name__)
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (jitter, no secret)
        pause = min(pause * 2, MAX_PAUSE_S)


async def _read(channel: Any, heard: Callable[[Iterable[Event]], None]) -> None:
    asked = False
    while True:
        message = await channel.get_message(timeout=SILENCE_S)
        if message is None:
            if asked:
                raise TimeoutError("the bus gave no sign of life")
            await channel.ping()
        asked = message is None
        if message is None or message["type"] != "message":
            continue
        try:
            heard(parse(message["data"]))
        except (ValueError, TypeError) as error:
            log.warning("bus_message_unreadable", error=type(error).__name__)
