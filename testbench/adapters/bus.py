"""The bus: what changed, named by topic and id, over Redis pub/sub; lossy by design."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import structlog

from testbench.adapters import cache

CHANNEL = "testbench:events"
PAUSE_S = 2.0
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
