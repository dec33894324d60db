"""The search of the network that is under way: how far it is, and whether it was called off.

In Redis, for all who watch it; a Redis that is away costs them the view, the search goes on.
"""

import json
from datetime import datetime
from typing import NamedTuple, cast

import structlog

from testbench.adapters import bus, cache

CURRENT = "testbench:search"
CALLED_OFF = "testbench:search:off"
COMPLETED = "testbench:search:completed"
TTL_S = 10
"""A search that was not told of for so long has died with its process."""
TOPIC = "discovery"
log = structlog.get_logger()


class Search(NamedTuple):
    """One search: since when, how many addresses it has asked of how many, how many answered."""

    began: datetime
    asked: int = 0
    total: int = 0
    found: int = 0


def tell(search: Search) -> None:
    """Show how far it is, to every page that looks."""
    began, *counts = search
    try:
        cache.client().set(CURRENT, json.dumps([began.isoformat(), *counts]), ex=TTL_S)
    except cache.Away as error:
        log.warning("search_not_shown", error=type(error).__name__)
    news()


def news() -> None:
    """Pages read anew what is found."""
    bus.publish([bus.Event(TOPIC, "search")])


def current() -> Search | None:
    """The search that is under way, if one is."""
    text = _get(CURRENT)
    if text is None:
        return None
    began, asked, total, found = json.loads(text)
    return Search(datetime.fromisoformat(began), asked, total, found)


def begin(search: Search) -> None:
    """Whatever was called off before, this one is not."""
    try:
        cache.client().delete(CALLED_OFF)
    except cache.Away as error:
        log.warning("search_not_shown", error=type(error).__name__)
    tell(search)


def end(completed: datetime | None) -> None:
    """It is over; `completed` is when, None if it was called off or failed."""
    try:
        pipe = cache.client().pipeline()
        pipe.delete(CURRENT, CALLED_OFF)
        if completed is not None:
            pipe.set(COMPLETED, completed.isoformat())
        pipe.execute()
    except cache.Away as error:
        log.warning("search_not_shown", error=type(error).__name__)
    news()


def last_completed() -> datetime | None:
    """When the last search ended that asked all there is to ask."""
    text = _get(COMPLETED)
    return datetime.fromisoformat(text) if text else None


def call_off() -> None:
    """The search that is under way stops at its next look."""
    cache.client().set(CALLED_OFF, "1", ex=TTL_S)


def is_called_off() -> bool:
    """Asked by the search itself, several times a second."""
    return _get(CALLED_OFF) is not None


def _get(key: str) -> str | None:
    try:
        return cast("str | None", cache.client().get(key))
    except cache.Away:
        return None
