"""Redis (or Valkey): one bounded client per process; nothing here is the only copy of anything."""

import time
from functools import lru_cache

import redis

from testbench.domain.errors import Unavailable
from testbench.settings import settings

TIMEOUT_S = 1.5

# What a caller catches when the cache is away.
Away = (redis.ConnectionError, redis.TimeoutError)


@lru_cache
def client() -> redis.Redis:
    """A pooled client whose every call ends within 1.5 s; `client.cache_clear()` after a change."""
    url = settings().redis_url
    if not url:
        raise Unavailable("REDIS_URL is not set; start the bench with `make up`.")
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        health_check_interval=15,
    )


class Pause:
    """After a failure, what can be done without is left out for `seconds`: nobody waits twice."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    def begin(self) -> None:
        """The cache did not answer."""
        self._until = time.monotonic() + self._seconds

    def lasts(self) -> bool:
        """True until it is time to ask again."""
        return time.monotonic() < self._until
