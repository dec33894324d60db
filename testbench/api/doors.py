"""What every REST door does before its handler: admit, limit, read strictly; default is deny.

A handler names who may use it with `@allow("viewer")` (or `"public"`, or the function that checks
its own kind of credential), and takes the person by `actor: Caller`. 401, then 403, come before
the body is looked at.
"""

import math
import time
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import anyio.to_thread
import limits
import structlog
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from testbench.adapters import cache
from testbench.api import bodies
from testbench.api.origins import is_own
from testbench.domain.errors import Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from testbench.domain.identity import Actor, Role, require
from testbench.services import identity
from testbench.settings import settings

F = TypeVar("F", bound=Callable[..., Any])
Who = Role | Literal["public", "anybody"] | Callable[[Request], None]
"""A role; `public`, limited per address; `anybody`, not even that; or a check of one's own."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
UNLIMITED_S = 2.0
log = structlog.get_logger()


def allow(who: Who) -> Callable[[F], F]:
    """Who may call this door. `public` doors authenticate for themselves, or need no name."""

    def mark(endpoint: F) -> F:
        endpoint.__testbench_role__ = who  # type: ignore[attr-defined]  # a mark on a function
        return endpoint

    return mark


class Door(APIRoute):
    """A route that admits before it parses."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        who: Who | None = getattr(self.endpoint, "__testbench_role__", None)
        if who is None:
            raise RuntimeError(f"{self.path} does not say who may use it: add @allow(…)")

        async def door(request: Request) -> Response:
            if who != "anybody":
                await anyio.to_thread.run_sync(_admit, request, who)
            await _read_body(request)
            return await handle(request)

        return door


async def _read_body(request: Request) -> None:
    if any("\x00" in value for value in request.query_params.values()):
        raise Invalid("A NUL character is not text.", errors=[("query", "contains NUL")])
    if request.method in SAFE_METHODS:
        return
    body = await bodies.read(request)
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    request._body = body  # pyright: ignore[reportPrivateUsage]  # Starlette's own place
    if body and not kind.startswith("application/x-www-form-urlencoded"):
        value = await anyio.to_thread.run_sync(bodies.parse, body)
        request._json = value  # pyright: ignore[reportPrivateUsage]  # as above
        headers = [(k, v) for k, v in request.scope["headers"] if k != b"content-type"]
        request.scope["headers"] = [*headers, (b"content-type", b"application/json")]
        request.__dict__.pop("_headers", None)


def _admit(request: Request, who: Who) -> None:
    """Sets `request.state.actor`; raises Unauthenticated, Forbidden or TooMany."""
    if who == "public":
        limit(f"address:{address(request)}")
        return
    try:
        if callable(who):
            who(request)
            return
        actor = authenticate(request)
    except (Unauthenticated, NotFound):
        limit(f"address:{address(request)}")
        raise
    limit(f"user:{actor.user_id}")
    if who != "anybody":
        require(actor, who)
    if request.method not in SAFE_METHODS and actor.scope == "read":
        raise Forbidden("This token may only read.")
    request.state.actor = actor


def authenticate(request: Request) -> Actor:
    """Who calls, by token or cookie; Unauthenticated, Forbidden, or Unavailable."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if token:
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send `Authorization: Bearer <token>`.")
        return identity.authenticate_bearer(token.strip())
    actor = identity.authenticate_cookie(request.cookies.get(identity.COOKIE))
    if request.method not in SAFE_METHODS:
        same_origin(request)
    return actor


def same_origin(request: Request) -> None:
    """A cookie may only act for pages of this very site (Forbidden otherwise)."""
    origin = request.headers.get("origin", "")
    host = request.headers.get("host", "")
    if origin and is_own(origin, host):
        return
    raise Forbidden("A session cookie may only be used from the bench's own pages.")


def address(request: Request) -> str:
    """The peer's address, as the server saw it."""
    return request.client.host if request.client else "unknown"


@lru_cache
def _limiter() -> FixedWindowRateLimiter:
    url = settings().redis_url or ""
    storage = storage_from_string(
        url, socket_timeout=cache.TIMEOUT_S, socket_connect_timeout=cache.TIMEOUT_S
    )
    return FixedWindowRateLimiter(storage)


@lru_cache
def _pause() -> cache.Pause:
    return cache.Pause(UNLIMITED_S)


def limit(key: str) -> None:
    """Count a call against RATE_LIMIT; TooMany with the seconds to wait. No cache, no limit."""
    if _pause().lasts():
        return
    item = limits.parse(settings().rate_limit)
    try:
        if _limiter().hit(item, "api", key):
            return
        reset = _limiter().get_window_stats(item, "api", key).reset_time
    except cache.Away as error:
        _pause().begin()
        log.warning("rate_limit_unavailable", error=type(error).__name__)
        return
    raise TooMany("Too many calls; slow down.", retry_after=seconds_until(reset))


def seconds_until(moment: float) -> int:
    """Whole seconds from now to a Unix time, at least 1."""
    return max(1, math.ceil(moment - time.time()))


def _caller(request: Request) -> Actor:
    return request.state.actor


Caller = Annotated[Actor, Depends(_caller)]
"""The person who calls, already admitted."""
