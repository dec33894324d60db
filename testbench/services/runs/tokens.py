"""A run's own token: what its runner, built-in or external, proves itself with."""

import hashlib
import hmac
import uuid

from testbench.domain.errors import Unavailable
from testbench.settings import settings


def issue(run_id: uuid.UUID, attempt: int) -> str:
    """The token of one attempt; derived, so that nothing secret is stored with the run."""
    secret = settings().secret_key
    if not secret:
        raise Unavailable("SECRET_KEY is not set.")
    digest = hmac.new(secret.encode(), f"run:{run_id}:{attempt}".encode(), hashlib.sha256)
    return f"tbr_{digest.hexdigest()}"


def attempt_of(run_id: uuid.UUID, token: str, last_attempt: int) -> int | None:
    """Which attempt the token was issued for; None if it is no token of this run."""
    for attempt in range(last_attempt, 0, -1):
        if hmac.compare_digest(issue(run_id, attempt).encode(), token.encode()):
            return attempt
    return None
