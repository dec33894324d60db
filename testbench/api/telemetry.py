"""Readings over REST: in with a device's own credential, out for people."""

import time
import uuid
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel

from testbench.adapters import db
from testbench.api import bodies, doors
from testbench.api.doors import Caller, Door, allow
from testbench.domain.errors import TooLarge, Unauthenticated
from testbench.services import lists, telemetry
from testbench.services.telemetry import Message, TelemetryView, ValidationErrorView

DEFAULT_POINTS = 500
MAX_POINTS = 100_000
READ_S = 4.0
"""A long history takes longer to thin than other answers."""

# Devices authenticate in the handler, and their bodies are judged by the telemetry's own rules.
router = APIRouter(tags=["telemetry"])
reading = APIRouter(prefix="/api/devices", tags=["telemetry"], route_class=Door)

_VALUES = {"type": "object", "additionalProperties": {"type": ["number", "string", "boolean"]}}
_TIMED = {
    "type": "object",
    "required": ["values"],
    "properties": {
        "ts": {"type": "integer", "description": "ms since 1970; absent: time of receipt"},
        "values": _VALUES,
        "seq": {"type": "integer", "description": "rising; a hole counts as lost"},
    },
}
_ENTRY = {"anyOf": [_TIMED, _VALUES]}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [_TIMED, _VALUES, {"type": "array", "items": _ENTRY}]},
                "example": {"ts": 1767225600000, "values": {"temp": 21.5, "fan": True}},
            }
        },
    }
}


class Accepted(BaseModel):
    """`accepted`: newly stored or rewritten; `duplicates`: the same value again."""

    accepted: int
    duplicates: int


@router.post("/api/telemetry", openapi_extra=_BODY)
@allow("public")
async def send_telemetry(request: Request) -> Accepted:
    """Send readings; `Authorization: Bearer <device token>`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return await _receive(request, token.strip() if scheme.lower() == "bearer" else "")


@router.post("/api/v1/{token}/telemetry", openapi_extra=_BODY)
@allow("public")
async def send_telemetry_v1(request: Request, token: str) -> Accepted:
    """The same for ThingsBoard clients, with the credential in the path."""
    return await _receive(request, token)


@reading.get("/{device_id}/telemetry")
@allow("viewer")
def get_telemetry(
    actor: Caller,
    device_id: str,
    metric: Annotated[list[str] | None, Query()] = None,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    max_points: Annotated[int, Query(ge=2, le=MAX_POINTS)] = DEFAULT_POINTS,
) -> TelemetryView:
    """Points between `start` and `end`, thinned to minima and maxima above `max_points`."""
    return db.run(
        lambda tx: telemetry.series(tx, actor, device_id, metric, start, end, max_points),
        attempt_s=READ_S,
    )


@reading.get("/{device_id}/validation-errors")
@allow("viewer")
def list_validation_errors(
    actor: Caller,
    device_id: str,
    limit: Annotated[int, Query(ge=1, le=lists.MAX_LIMIT)] = 100,
    cursor: str | None = None,
) -> lists.Page[ValidationErrorView]:
    """What was refused of a device's messages, newest first."""
    return db.run(lambda tx: telemetry.validation_errors(tx, actor, device_id, limit, cursor))


async def _receive(request: Request, token: str) -> Accepted:
    received = time.time_ns() // 1_000_000
    device_id = await anyio.to_thread.run_sync(_admit, token, doors.address(request))
    try:
        payload = await bodies.read(request)
    except TooLarge:
        fault = "is larger than 1 MiB"
        message = Message(device_id, b"", "http", received, fault=fault)
        await anyio.to_thread.run_sync(telemetry.ingest, [message])
        raise
    message = Message(device_id, payload, "http", received)
    result = await anyio.to_thread.run_sync(telemetry.ingest, [message])
    for refusal in result.refused.values():
        if isinstance(refusal, telemetry.UnknownDevice):
            raise Unauthenticated("The device's credential is unknown.") from refusal
        raise refusal
    return Accepted(accepted=result.accepted, duplicates=result.duplicates)


def _admit(token: str, address: str) -> uuid.UUID:
    """401, or 429 after many of those, before the body is looked at."""
    device_id = telemetry.authenticate(token, address)
    doors.limit(f"device:{device_id}")
    return device_id
