"""What devices write to their logs: a bounded Redis stream each, and how its reading goes.

Never the only copy of anything the bench judges by: a Redis that is away costs lines, which are
counted, and nothing else. Lines are told on the bus (topic `logs`, id = the device's) only while
somebody listens to that device; how its reading goes is told as topic `log_readers`.
"""

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, cast

import msgspec
import redis
import structlog

from testbench.adapters import bus, cache
from testbench.domain.errors import Unavailable
from testbench.domain.lines import plain

log = structlog.get_logger()

TOPIC = "logs"
STATUS_TOPIC = "log_readers"
MAX_LINES = 2000
"""Kept of each device, a few more at times."""
MAX_CHARS = 1000
"""A longer line is cut."""
KEPT_S = 7 * 86_400
"""A log that nothing is added to is forgotten after that."""
STATUS_S = 30
"""What a collector does not repeat for so long is no longer so."""
RETRY_S = 60
PAUSE_S = 2.0
READ_AT_ONCE = 500
START = "0-0"
EVERYBODY = "*"
"""Listens to every device that has `log_listening` set."""

_LINES = "testbench:log:"
_STATUS = "testbench:log-reader:"
_RETRY = "testbench:log-retry:"
_LISTENERS = "testbench:log-listeners"

_GONE = "testbench:log-gone"
GONE_S = 10
"""A removed device's collector may add lines until it has heard of the removal."""

# KEYS: the listeners, the removed, then one stream a device; those two have until when it is so.
# ARGV: now, JSON [[device, [line, …]], …], lines kept, seconds kept. Answers who is listened to.
_APPEND = """
local heard = {}
local function holds(key, member)
  return tonumber(redis.call('ZSCORE', key, member) or '0') > tonumber(ARGV[1])
end
local all = holds(KEYS[1], '*')
for i, device in ipairs(cjson.decode(ARGV[2])) do
  if not holds(KEYS[2], device[1]) then
    for _, line in ipairs(device[2]) do
      redis.call('XADD', KEYS[i + 2], 'MAXLEN', '~', ARGV[3], '*', 'l', line)
    end
    redis.call('EXPIRE', KEYS[i + 2], ARGV[4])
    if all or holds(KEYS[1], device[1]) then
      heard[#heard + 1] = device[1]
    end
  end
end
return heard
"""

_encode = msgspec.json.Encoder().encode
_Entries = list[tuple[str, dict[str, str]]]


class LogLine(NamedTuple):
    """A line; `id` is its place in the stream: ms since 1970, a dash, a number."""

    id: str
    text: str


class Reading(msgspec.Struct, frozen=True):
    """How the reading of one device's log goes."""

    state: Literal["connecting", "connected", "reconnecting", "stopped"]
    attempt: int = 0
    """Which of the attempts to connect again is waited for or under way."""
    error: str = ""


_reading = msgspec.json.Decoder(Reading).decode


@lru_cache
def _pause() -> cache.Pause:
    return cache.Pause(PAUSE_S)


# --- what a collector writes ----------------------------------------------------------------------


def append(lines: Mapping[uuid.UUID, Sequence[str]]) -> bool:
    """Add lines to devices' logs and tell who listens; False: Redis is away, they are lost."""
    if not lines:
        return True
    if _pause().lasts():
        return False
    devices = [(str(id), [plain(line)[:MAX_CHARS] for line in some]) for id, some in lines.items()]
    keys = [_LISTENERS, _GONE, *(_LINES + device for device, _ in devices)]
    args = (time.time(), _encode(devices), MAX_LINES, KEPT_S)
    try:
        heard = cache.client().eval(_APPEND, len(keys), *keys, *args)
    except redis.RedisError as error:
        _away(error)
        return False
    if heard:
        bus.publish(bus.Event(TOPIC, device) for device in cast("list[str]", heard))
    return True


def put_readings(readings: Mapping[uuid.UUID, Reading]) -> bool:
    """How the reading of these logs goes; to be repeated within STATUS_S."""
    if not readings:
        return True
    if _pause().lasts():
        return False
    try:
        pipe = cache.client().pipeline(transaction=False)
        for id, reading in readings.items():
            pipe.set(_STATUS + str(id), _encode(reading), ex=STATUS_S)
        pipe.execute()
    except redis.RedisError as error:
        _away(error)
        return False
    return True


def tell_readings(device_ids: Collection[uuid.UUID]) -> None:
    """The reading of these logs changed."""
    if device_ids:
        bus.publish(bus.Event(STATUS_TOPIC, str(id)) for id in device_ids)


def drop_readings(device_ids: Collection[uuid.UUID]) -> None:
    """These logs are no longer read."""
    if not device_ids or _pause().lasts():
        return
    try:
        cache.client().delete(*(_STATUS + str(id) for id in device_ids))
    except redis.RedisError as error:
        _away(error)
    tell_readings(device_ids)


def taken_retries(device_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Those of the devices somebody wants to be tried again; each wish is taken once."""
    if not device_ids or _pause().lasts():
        return []
    try:
        pipe = cache.client().pipeline(transaction=False)
        for id in device_ids:
            pipe.delete(_RETRY + str(id))
        return [id for id, n in zip(device_ids, pipe.execute(), strict=True) if n]
    except redis.RedisError as error:
        _away(error)
        return []


# --- what others read and ask ---------------------------------------------------------------------


def tail(device_id: uuid.UUID, count: int) -> list[LogLine]:
    """The newest lines, oldest first; Unavailable while Redis is away."""
    if count <= 0:
        return []
    try:
        found = cache.client().xrevrange(_LINES + str(device_id), count=count)
    except redis.RedisError as error:
        raise _unavailable() from error
    return _lines(cast("_Entries", found))[::-1]


def has_lines(device_id: uuid.UUID) -> bool:
    """Whether anything is kept of a device's log; False while Redis is away."""
    if _pause().lasts():
        return False
    try:
        return bool(cache.client().exists(_LINES + str(device_id)))
    except redis.RedisError as error:
        _away(error)
        return False


def follow(
    after: Mapping[uuid.UUID, str], count: int = READ_AT_ONCE
) -> dict[uuid.UUID, list[LogLine]]:
    """What came after a place in each device's log, at most `count` lines; {} if Redis is away."""
    if not after or _pause().lasts():
        return {}
    try:
        pipe = cache.client().pipeline(transaction=False)
        for id, line in after.items():
            pipe.xrange(_LINES + str(id), min=f"({line}", count=count)
        found = cast("list[_Entries]", pipe.execute())
    except redis.RedisError as error:
        _away(error)
        return {}
    return {id: _lines(some) for id, some in zip(after, found, strict=True) if some}


def now() -> str:
    """The place in any device's stream at which its next line comes; Unavailable without Redis."""
    try:
        seconds, micros = cast("tuple[int, int]", cache.client().time())
    except redis.RedisError as error:
        raise _unavailable() from error
    return f"{seconds * 1000 + micros // 1000}-0"


def listen(device_ids: Collection[uuid.UUID | str], seconds: float) -> None:
    """Somebody listens to these devices, or to EVERYBODY, for so long."""
    if not device_ids or _pause().lasts():
        return
    now = time.time()
    try:
        pipe = cache.client().pipeline(transaction=False)
        pipe.zadd(_LISTENERS, {str(id): now + seconds for id in device_ids}, gt=True)
        pipe.zremrangebyscore(_LISTENERS, "-inf", now)
        pipe.execute()
    except redis.RedisError as error:
        _away(error)


def reading(device_id: uuid.UUID) -> Reading | None:
    """How the reading of a log goes; None: no collector reads it, or Redis is away."""
    if _pause().lasts():
        return None
    try:
        text = cast("str | None", cache.client().get(_STATUS + str(device_id)))
    except redis.RedisError as error:
        _away(error)
        return None
    return _reading(text) if text else None


def retry(device_id: uuid.UUID) -> None:
    """Let the collector try anew, should it have given up."""
    try:
        cache.client().set(_RETRY + str(device_id), "1", ex=RETRY_S)
    except redis.RedisError as error:
        _away(error)


def forget(device_id: uuid.UUID) -> None:
    """Drop the log of a removed device."""
    id, now = str(device_id), time.time()
    try:
        pipe = cache.client().pipeline()
        pipe.zadd(_GONE, {id: now + GONE_S})
        pipe.zremrangebyscore(_GONE, "-inf", now)
        pipe.delete(_LINES + id, _STATUS + id, _RETRY + id)
        pipe.execute()
    except redis.RedisError as error:
        _away(error)


def _lines(entries: _Entries) -> list[LogLine]:
    return [LogLine(id, fields.get("l", "")) for id, fields in entries]


def _unavailable() -> Unavailable:
    return Unavailable("The store of device logs does not answer.", retry_after=5)


def _away(error: Exception) -> None:
    _pause().begin()
    log.warning("device_logs_away", error=type(error).__name__)
