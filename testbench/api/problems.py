"""Errors as application/problem+json (RFC 9457), with the request's id."""

from typing import Any, get_args

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError, IntegrityError
from starlette.exceptions import HTTPException

from testbench.domain.criteria import Criterion
from testbench.domain.criteria.paths import PLUGS
from testbench.domain.errors import BenchError, Conflict, FieldErrors, Invalid
from testbench.domain.test_cases import SetupStep

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
_REQUEST_PARTS = ("body", "query", "path", "header")
_PLAIN = frozenset({"bool", "int", "float", "str"})
_KINDS = frozenset(
    kind.model_fields["kind"].default
    for union in (Criterion, SetupStep)
    for kind in get_args(get_args(union)[0])
)


class FieldProblem(BaseModel):
    """One field that does not fit: its path, as in `criteria.0.low`, and why."""

    loc: str
    msg: str


class Problem(BaseModel):
    """RFC 9457, with the request's id and the fields that do not fit."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""How every operation of the OpenAPI document refuses."""


def answer(
    request: Request,
    status: int,
    title: str,
    detail: str,
    errors: FieldErrors = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """One problem document."""
    document: dict[str, Any] = {
        "type": f"/api/docs#problem-{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": getattr(request.state, "request_id", ""),
    }
    if errors:
        document["errors"] = [{"loc": loc, "msg": msg} for loc, msg in errors]
    return JSONResponse(document, status, headers=headers, media_type=MEDIA_TYPE)


def of(request: Request, error: BenchError) -> JSONResponse:
    """The answer for a refusal of the bench."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503 and not error.retry_after:
        headers["Retry-After"] = "5"
    return answer(request, error.status, error.title, error.detail, error.errors, headers)


def path_of(loc: tuple[int | str, ...]) -> str:
    """`("body", "criteria", 0, "range", "low")` → `criteria.0.low`: no `body`, no kind."""
    parts = list(loc)
    if parts and parts[0] in _REQUEST_PARTS:
        parts = parts[1:]
    return ".".join(str(part) for i, part in enumerate(parts) if not _is_tag(parts, i))


def _is_tag(parts: list[int | str], i: int) -> bool:
    """pydantic names the member of a union that it tried; the document has no such field."""
    part = str(parts[i])
    if i > 1 and parts[i - 2] in PLUGS and part in _KINDS:
        return True
    return "[" in part or (0 < i == len(parts) - 1 and part in _PLAIN)


def install(app: FastAPI) -> None:
    """Teach `app` to answer every error as a problem."""

    @app.exception_handler(BenchError)
    async def _bench(request: Request, error: BenchError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return of(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        found: dict[str, str] = {}
        for e in error.errors():
            message = str(e["msg"]).removeprefix("Value error, ")
            found.setdefault(path_of(tuple(e["loc"])), message)
        return of(request, Invalid("The request does not fit.", errors=list(found.items())))

    @app.exception_handler(DataError)
    @app.exception_handler(psycopg.DataError)
    async def _unstorable(request: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.warning("unstorable", error=type(error).__name__)
        return of(request, Invalid("A value does not fit into its column."))

    @app.exception_handler(IntegrityError)
    @app.exception_handler(psycopg.IntegrityError)
    async def _overtaken(request: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.warning("overtaken", error=type(error).__name__)
        return of(request, Conflict("Somebody changed the same rows; try again."))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        title = str(error.detail or "Error")
        return answer(request, error.status_code, title, title, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.error("unexpected_error", exc_info=error)
        return answer(request, 500, "Internal error", "The bench has a fault; it was logged.")
