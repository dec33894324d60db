"""What happens to devices and what their logs say, over REST, as streams of server-sent events."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, StrictBool

from testbench.adapters import db
from testbench.api.device_feed import Feed, feed, log_events
from testbench.api.doors import Caller, Door, allow
from testbench.api.streams import MEDIA_TYPE, STREAMS, EventStream, Stream
from testbench.domain.identity import Actor
from testbench.services import device_logs
from testbench.services.device_logs import MAX_TAIL, LogListening

router = APIRouter(prefix="/api/devices", tags=["device events"], route_class=Door)

_PLACE = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")


class ListeningBody(BaseModel):
    """Whether to listen."""

    model_config = ConfigDict(extra="forbid")

    enabled: StrictBool


def _streamed(says: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": says, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


@router.get(
    "/events",
    response_class=Response,
    responses=_streamed(
        "Events `stat_update` {id, mac, ip, hostname, state, online, info, latest}, "
        "`error` {id, mac, ip, error}, `device_removed` {id, mac, ip}, `logs_update` "
        "{mac, ip, info}."
    ),
)
@allow("viewer")
async def follow_devices(actor: Caller, request: Request) -> EventStream:
    """What happens to imprinted devices, as it happens; log lines of those listened to."""
    return await _open(request, actor, Feed.follow_fleet)


@router.get(
    "/{device_id}/logs",
    response_class=Response,
    responses=_streamed("Events `log`: a line each; its `id` is its place in the log."),
)
@allow("viewer")
async def follow_log(
    actor: Caller,
    request: Request,
    device_id: str,
    tail: Annotated[int, Query(ge=0, le=MAX_TAIL)] = 0,
    after: str = "",
    last_event_id: Annotated[str, Header()] = "",
) -> EventStream:
    """A device's log, line by line: first the newest `tail` lines, then each that comes.

    `Last-Event-ID` (or `after`, for who cannot send headers) resumes after that line instead.
    """
    given = (one for one in (last_event_id, after) if _PLACE.fullmatch(one))
    opened = await anyio.to_thread.run_sync(
        device_logs.open_, actor, device_id, tail, next(given, None)
    )

    async def follow(source: Feed, stream: Stream) -> None:
        stream.put(log_events(opened.lines))
        await source.follow_log(stream, opened.id, opened.last)

    return await _open(request, actor, follow)


async def _open(
    request: Request, actor: Actor, follow: Callable[[Feed, Stream], Awaitable[None]]
) -> EventStream:
    """The answer, once nothing is missed any more."""
    source, stream = feed(), STREAMS.open(actor)
    try:
        await follow(source, stream)
    except BaseException:
        source.leave(stream)
        STREAMS.close(stream)
        raise
    return EventStream(request, stream, partial(source.leave, stream))


@router.get("/{device_id}/logs/listening")
@allow("viewer")
def get_listening(actor: Caller, device_id: str) -> LogListening:
    """Whether the log's lines are told as `logs_update`."""
    return db.run(lambda tx: device_logs.listening(tx, actor, device_id))


@router.put("/{device_id}/logs/listening")
@allow("engineer")
def set_listening(actor: Caller, device_id: str, body: ListeningBody) -> LogListening:
    """Listen to a device's log, which also monitors the device and reads its log; or stop."""
    return db.run(lambda tx: device_logs.listen(tx, actor, device_id, body.enabled))
