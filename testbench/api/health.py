"""Liveness touches nothing; readiness asks each part."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from testbench.api.doors import Door, allow
from testbench.services import health

router = APIRouter(prefix="/api", tags=["health"], route_class=Door)


@router.get("/live")
@allow("anybody")
async def live() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "ok"}


@router.get("/ready")
@allow("anybody")
def ready() -> JSONResponse:
    """`{status, checks{name: {ok, latency_ms, detail}}}`; 503 if a critical part is down.

    Not limited: probes must neither be refused nor use up what logins may.
    """
    report = health.check()
    body: dict[str, Any] = report.model_dump()
    return JSONResponse(body, 200 if report.status != "down" else 503)
