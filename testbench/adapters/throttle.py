"""Counting attempts in Redis over a moving window, so that guessing gets slow."""

import hashlib
import math
import time
from functools import lru_cache

import limits
import redis
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from testbench.adapters import cache
from testbench.domain.errors import TooMany, Unavailable


@lru_cache(maxsize=1)
def _limiter(client: redis.Redis) -> MovingWindowRateLimiter:
    # The pool of the cache, so that its deadlines hold here as well.
    return MovingWindowRateLimiter(
        RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix="testbench")
    )


def _key(parts: tuple[str, ...]) -> str:
    # Hashed: the parts are a stranger's text of any length.
    text = "\x00".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def hit(limit: str, *parts: str) -> None:
    """Count one attempt of `parts` together against `limit` (`10/minute`).

    Raises TooMany with the seconds to wait, or Unavailable if Redis is away.
    """
    item = limits.parse(limit)
    try:
        limiter = _limiter(cache.client())
        if limiter.hit(item, _key(parts)):
            return
        reset = limiter.get_window_stats(item, _key(parts)).reset_time
    except redis.RedisError as error:
        raise Unavailable("The cache does not answer.", retry_after=5) from error
    wait = max(1, math.ceil(reset - time.time()))
    raise TooMany(f"Too many attempts; try again in {wait} s.", retry_after=wait)


def forgive(limit: str, *parts: str) -> None:
    """Forget the attempts of `parts`: they proved honest."""
    try:
        _limiter(cache.client()).clear(limits.parse(limit), _key(parts))
    except redis.RedisError as error:
        raise Unavailable("The cache does not answer.", retry_after=5) from error
