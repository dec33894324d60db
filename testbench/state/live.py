"""The live pages: one listener to the bus per web process tells the tabs whose page shows a change.

A page's `load` calls `watch(self, {"devices": ids, "runs": None})`; whenever one of these changes,
the page's `refresh` handler is sent to that tab, at most every 250 ms, and never while the last one
is still at work. `refresh` re-reads a window of rows. `watch_too` adds a lighter handler for what
changes often. Tabs that left are forgotten.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import reflex as rx
import structlog
from reflex.event import Event

from testbench.adapters import bus, sessions
from testbench.adapters.bus import EVERYTHING
from testbench.state.auth import AuthState, actor

COALESCE_S = 0.25
MAX_IDS = 50_000
"""More changes than that in one pass count as a change of everything."""
log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """What one tab shows, and how it is told."""

    topics: Mapping[str, frozenset[str] | None]
    handler: Any
    user_id: str
    every_s: float
    due: bool = False
    told: float = 0.0
    answers: asyncio.Future[Any] | None = None

    def shows(self, changed: Mapping[str, set[str]]) -> bool:
        """True if something of what changed is on this page."""
        if EVERYTHING in changed:
            return True
        return any(
            ids is None or EVERYTHING in changed[topic] or not ids.isdisjoint(changed[topic])
            for topic, ids in self.topics.items()
            if topic in changed
        )

    def is_ready(self, now: float) -> bool:
        """True if the tab may be told now."""
        rested = now - self.told >= self.every_s
        return self.due and rested and (self.answers is None or self.answers.done())


_watches: dict[str, list[Watch]] = {}
_changed: dict[str, set[str]] = {}
_news = asyncio.Event()


def watch(
    state: rx.State, topics: Mapping[str, Collection[str] | None], every_s: float = COALESCE_S
) -> None:
    """This tab shows `topics` now (None: every id of a topic), and nothing else.

    Only inside a guarded handler; `state` has a handler `refresh`. A tab is told at most once in
    `every_s` seconds.
    """
    # Not `type(state)`: in a background task that is Reflex's proxy.
    _watches[state.router.session.client_token] = [_watch(topics, state.__class__.refresh, every_s)]


def watch_too(
    state: rx.State, topics: Mapping[str, Collection[str] | None], handler: Any, every_s: float
) -> None:
    """Beside what `watch` was given: `handler` for these topics."""
    watches = _watches.setdefault(state.router.session.client_token, [])
    watches.append(_watch(topics, handler, every_s))


def _watch(topics: Mapping[str, Collection[str] | None], handler: Any, every_s: float) -> Watch:
    wanted = {
        topic: None if ids is None else frozenset(map(str, ids)) for topic, ids in topics.items()
    }
    return Watch(wanted, handler, str(actor().user_id), every_s)


def unwatch(state: rx.State) -> None:
    """This tab shows nothing live."""
    _watches.pop(state.router.session.client_token, None)


def note(events: Iterable[bus.Event]) -> None:
    """Remember what changed, for the next pass."""
    for topic, id in events:
        ids = _changed.setdefault(topic, set())
        ids.add(EVERYTHING if len(ids) > MAX_IDS else id)
    if _changed:
        _news.set()


def start(app: rx.App) -> None:
    """Listen for as long as the app runs."""

    async def listen() -> None:
        await bus.listen(note)

    async def tell() -> None:
        await _tell(app)

    app.register_lifespan_task(listen)
    app.register_lifespan_task(tell)


async def _tell(app: rx.App) -> None:
    while True:
        if not any(one.due for watches in _watches.values() for one in watches):
            await _news.wait()
        try:
            await _pass(app, time.monotonic())
        except Exception as error:
            log.exception("live_pass_failed", error=type(error).__name__)
        await asyncio.sleep(COALESCE_S)


async def _pass(app: rx.App, now: float) -> None:
    """Tell each tab whose page shows what changed since the last pass."""
    _news.clear()
    changed = dict(_changed)
    _changed.clear()
    sockets = app.event_namespace._token_manager.token_to_socket
    people = changed.get(sessions.TOPIC, ())
    for token, watches in list(_watches.items()):
        if token not in sockets:
            _watches.pop(token, None)
            continue
        if any(one.user_id in people for one in watches):
            await _send(app, token, AuthState.load)
        for one in watches:
            one.due = one.due or one.shows(changed)
            if one.is_ready(now):
                one.due, one.told = False, now
                one.answers = await _send(app, token, one.handler)


async def _send(app: rx.App, token: str, handler: Any) -> asyncio.Future[Any]:
    futures = await app.event_processor.enqueue_many(token, *Event.from_event_type(handler()))
    return futures[-1]
