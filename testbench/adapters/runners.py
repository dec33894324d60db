"""Runners: the callback door over HTTP, as the built-in worker uses it."""

import uuid
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx

from testbench.settings import settings

TIMEOUT_S = 8.0


class Refused(NamedTuple):
    """Why a door did not take a result; `status` is None if it did not answer."""

    why: str
    status: int | None = None


def callback_url(run_id: uuid.UUID) -> str:
    """Where a run's result is posted."""
    return f"{settings().public_url.rstrip('/')}/api/test-runs/{run_id}/callback"


def call_back(run_id: uuid.UUID, token: str, body: dict[str, Any]) -> Refused | None:
    """Post a result; None once the door has taken it or the run has ended, else why not."""
    try:
        answer = httpx.post(
            callback_url(run_id),
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        return Refused(type(error).__name__)
    if answer.is_success or answer.status_code == HTTPStatus.CONFLICT:
        return None
    return Refused(f"{answer.status_code} {answer.text[:200]}", answer.status_code)
