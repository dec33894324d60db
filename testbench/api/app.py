"""The REST API: every router, the problem answers, request ids, and a 404 of its own."""

import secrets
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from testbench import __version__
from testbench.adapters import logs
from testbench.api import problems
from testbench.api.docs import HEADERS, page
from testbench.api.problems import Problem
from testbench.api.routers import ROUTERS
from testbench.services.identity import COOKIE


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


class Head:
    """HEAD is GET without the body; what streams is told that nobody listens."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        async def receive_until_started() -> Message:
            return {"type": "http.disconnect"} if started else await receive()

        await self.app({**scope, "method": "GET"}, receive_until_started, send_headers)


def create_app() -> FastAPI:
    """The API as one FastAPI application, which Reflex's own routes are mounted into."""
    logs.configure()
    app = FastAPI(
        title="Testbench",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    _describe(app)
    _install_docs(app)
    app.router.routes += [Route(path, Unknown()) for path in ("/api", "/api/{path:path}")]
    app.add_middleware(Head)
    app.add_middleware(RequestId)
    return app


def _describe(app: FastAPI) -> None:
    """The OpenAPI document also says how errors look and how a caller proves who it is."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        parts = document.setdefault("components", {})
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = {**schema.pop("$defs"), "Problem": schema}
        parts["schemas"] = dict(sorted((parts.get("schemas", {}) | schemas).items()))
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        document["security"] = [{"bearer": []}, {"cookie": []}]
        return document

    app.openapi = openapi


def _install_docs(app: FastAPI) -> None:
    @app.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        """The API's own description as a page; it loads nothing from elsewhere."""
        return HTMLResponse(page(app.openapi()), headers=HEADERS)


class Unknown:
    """Below /api every answer is a problem: 405 for a known path, else 404."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = {
            method
            for router in ROUTERS
            for route in router.routes
            if route.matches(scope)[0] is not Match.NONE
            for method in getattr(route, "methods", ())
        }
        if allowed:
            raise HTTPException(405, "Method not allowed", {"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404, "Not found")
