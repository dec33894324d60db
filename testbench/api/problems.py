"""Errors as application/problem+json (RFC 9457), with the request's id."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from testbench.domain.errors import BenchError, FieldErrors, Invalid

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
_REQUEST_PARTS = ("body", "query", "path", "header")


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
    """`("body", "criteria", 0, "range", "low")` → `criteria.0.low`: no union tags, no `body`."""
    parts = list(loc)
    if parts and parts[0] in _REQUEST_PARTS:
        parts = parts[1:]
    kept = [
        str(part)
        for i, part in enumerate(parts)
        if not (
            i and isinstance(parts[i - 1], int) and isinstance(part, str) and i + 1 < len(parts)
        )
    ]
    return ".".join(kept)


def install(app: FastAPI) -> None:
    """Teach `app` to answer every error as a problem."""

    @app.exception_handler(BenchError)
    async def _bench(request: Request, error: BenchError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        return of(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        errors = [(path_of(tuple(e["loc"])), str(e["msg"])) for e in error.errors()]
        return of(request, Invalid("The request does not fit.", errors=errors))

    @app.exception_handler(DataError)
    async def _unstorable(request: Request, error: DataError) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.warning("unstorable", error=type(error.orig).__name__)
        return of(request, Invalid("A value does not fit into its column."))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        title = str(error.detail or "Error")
        return answer(request, error.status_code, title, title, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        log.error("unexpected_error", exc_info=error)
        return answer(request, 500, "Internal error", "The bench has a fault; it was logged.")
