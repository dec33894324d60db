"""A tab of a browser, as the server sees it: its states, its cookie, its address."""

import inspect
from typing import Any

from reflex.state import State
from reflex_base.event import EventHandler

from testbench.services import identity


def tab(session_id: str | None, path: str = "/devices?state=offline") -> State:
    """A tab's states, as after a handshake with this cookie."""
    root = State(_reflex_internal_init=True)  # type: ignore[call-arg]  # Reflex's own way to make one
    cookie = f"theme=dark; {identity.COOKIE}={session_id}" if session_id else "theme=dark"
    headers = {"cookie": cookie, "origin": "http://bench.lab"}
    route = path.partition("?")[0]
    data = {"headers": headers, "pathname": route, "asPath": path, "query": {}}
    root.router_data = root._update_router_vars(data, {})
    return root


async def invoke(root: State, handler: EventHandler, *args: object) -> list[Any]:
    """Runs a handler as Reflex does; its events, without the empty updates between."""
    state = await root.get_state(handler.state)
    answer = handler.fn(state, *args)
    if inspect.isasyncgen(answer):
        return [event async for event in answer if event is not None]
    if inspect.isawaitable(answer):
        answer = await answer
    assert not inspect.isgenerator(answer)
    return [] if answer is None else [answer]


def words(events: list[Any]) -> str:
    """What the events say, for looking into."""
    return " ".join(str(event) for event in events)
