"""`GET /metrics`: what Prometheus scrapes."""

import hmac

from fastapi import APIRouter, Request, Response

from testbench.api import doors
from testbench.api.doors import Door, allow
from testbench.domain.errors import Unauthenticated
from testbench.services import metrics
from testbench.settings import settings


def scraper(request: Request) -> None:
    """Anybody, unless METRICS_TOKEN is set."""
    token = settings().metrics_token
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if token and not (
        scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())
    ):
        raise Unauthenticated("Send `Authorization: Bearer <METRICS_TOKEN>`.")
    doors.limit(f"address:{doors.address(request)}")


router = APIRouter(tags=["health"], route_class=Door)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@allow(scraper)
def get_metrics() -> Response:
    """Readings of the fleet and the bench's own health, as Prometheus text 0.0.4."""
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
