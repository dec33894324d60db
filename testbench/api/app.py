"""The REST API: every router, the problem answers, request ids, and a 404 of its own."""

import secrets

import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from testbench import __version__
from testbench.api import problems
from testbench.api.routers import ROUTERS


class RequestId:
    """Gives each call an id, in its log lines, its problems and its answer's header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_id(message: object) -> None:
            if isinstance(message, dict) and message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)  # type: ignore[arg-type]  # the same message, one header more

        await self.app(scope, receive, send_with_id)


def create_app() -> FastAPI:
    """The API as one FastAPI application, which Reflex's own routes are mounted into."""
    app = FastAPI(
        title="Testbench",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        redoc_url=None,
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)

    async def unknown(request: Request) -> None:
        for route in app.router.routes:
            if route.matches(request.scope)[0] is Match.PARTIAL:
                raise HTTPException(405, "Method Not Allowed")
        raise HTTPException(404, "Not Found")

    app.add_route("/api/{path:path}", unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])  # type: ignore[arg-type]  # it only raises
    app.add_middleware(RequestId)
    return app
