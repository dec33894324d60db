"""The newest value of each metric and when each device was heard, in Redis, for pages and lists.

Never the only copy: lost with Redis, rebuilt from the store. A Redis that is away costs freshness
and nothing else; it is then left alone for a few seconds, so that no batch waits for it.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NotRequired, TypedDict, cast

import msgspec
import structlog

from testbench.adapters import cache, db, stores
from testbench.adapters.db import Tx
from testbench.adapters.stores import series
from testbench.adapters.stores.base import Point, Value
from testbench.domain.times import at

log = structlog.get_logger()

PREFIX = "testbench:live:"
INFO = "testbench:info:"
INFO_TTL_S = 120
"""What a device said of itself is fresh only while it is polled."""
SEEN = "testbench:seen"
MARKER = "testbench:live-since"
PAUSE_S = 5.0
REBUILD_BATCH = 500

# KEYS: seen, then one hash a device. ARGV[1]: JSON [[device, seen ms, {metric: [ts, stored]}], …].
# `stored` is "<ts>|<json>": its time can be read without decoding the rest.
_PUT = """
for i, device in ipairs(cjson.decode(ARGV[1])) do
  local seen = tonumber(redis.call('HGET', KEYS[1], device[1])) or 0
  if device[2] > seen then
    redis.call('HSET', KEYS[1], device[1], string.format('%.0f', device[2]))
  end
  for metric, point in pairs(device[3]) do
    local old = redis.call('HGET', KEYS[i + 1], metric)
    local ts = old and tonumber(string.match(old, '^(-?%d+)')) or nil
    if ts == nil or point[1] >= ts then
      redis.call('HSET', KEYS[i + 1], metric, point[2])
    end
  end
end
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _Breaker:
    """Open after a failure, for a while."""

    until: float = 0.0

    def is_open(self) -> bool:
        return time.monotonic() < self.until


@lru_cache
def _breaker() -> _Breaker:
    return _Breaker()


class Latest(TypedDict):
    """One metric's newest value."""

    value: Value
    at: datetime
    unit: NotRequired[str]


class Update(TypedDict):
    """What a batch says about one device."""

    seen: datetime
    points: Mapping[str, tuple[int, Value]]


def put(updates: Mapping[uuid.UUID, Update], units: Mapping[series.Key, str]) -> bool:
    """Show a batch, in one call; an older time never replaces a newer one. False: Redis is away."""
    if not updates or _breaker().is_open():
        return False
    devices = [
        (
            str(device_id),
            _ms(update["seen"]),
            {
                metric: (point[0], _stored(point, units.get((device_id, metric))))
                for metric, point in update["points"].items()
            },
        )
        for device_id, update in updates.items()
    ]
    keys = [SEEN, *(PREFIX + device for device, _, _ in devices)]
    try:
        cache.client().eval(_PUT, len(keys), *keys, _encode(devices))
    except cache.Away as error:
        _pause(error)
        return False
    return True


def latest(device_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, Latest]]:
    """The newest value of each metric, by device; from the store where Redis has none."""
    hashes = _hashes(device_ids)
    if hashes is None:
        return _latest_stored(device_ids)
    return {
        id: {metric: _read(text) for metric, text in sorted(found.items())}
        for id, found in zip(device_ids, hashes, strict=True)
    }


def put_infos(infos: Mapping[uuid.UUID, tuple[int, Mapping[str, Any]]]) -> None:
    """What devices said of themselves, with the time in ms; secrets are removed before."""
    if not infos or _breaker().is_open():
        return
    try:
        pipe = cache.client().pipeline(transaction=False)
        for id, (ts, info) in infos.items():
            pipe.set(INFO + str(id), b"%d|%b" % (ts, _encode(info)), ex=INFO_TTL_S)
        pipe.execute()
    except cache.Away as error:
        _pause(error)


def infos(device_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[datetime, dict[str, Any]]]:
    """What they last said of themselves, and when; who was not polled lately is absent."""
    if not device_ids or _breaker().is_open():
        return {}
    try:
        found = cache.client().mget([INFO + str(id) for id in device_ids])
    except cache.Away as error:
        _pause(error)
        return {}
    texts = cast("list[str | None]", found)
    return {id: _info(text) for id, text in zip(device_ids, texts, strict=True) if text is not None}


def _info(text: str) -> tuple[datetime, dict[str, Any]]:
    ts, _, document = text.partition("|")
    return at(int(ts)), _decode(document)


def forget_infos(device_ids: Sequence[uuid.UUID]) -> None:
    """They are polled no more: what they said is what the database keeps."""
    if not device_ids or _breaker().is_open():
        return
    try:
        cache.client().delete(*(INFO + str(id) for id in device_ids))
    except cache.Away as error:
        _pause(error)


def last_seen(device_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, datetime]:
    """When each was last heard of, to the batch; the table `presence` has it to the second.

    A device that Redis does not know is absent, and so are all while it is away.
    """
    if not device_ids or _breaker().is_open():
        return {}
    try:
        texts = cast("list[str | None]", cache.client().hmget(SEEN, [str(id) for id in device_ids]))
    except cache.Away as error:
        _pause(error)
        return {}
    return {
        id: at(int(text)) for id, text in zip(device_ids, texts, strict=True) if text is not None
    }


def forget(device_id: uuid.UUID) -> None:
    """Drop what is shown of a removed device."""
    try:
        pipe = cache.client().pipeline()
        pipe.delete(PREFIX + str(device_id), INFO + str(device_id))
        pipe.hdel(SEEN, str(device_id))
        pipe.execute()
    except cache.Away as error:
        _pause(error)


def is_empty() -> bool:
    """True if Redis answers but has lost (or never had) the snapshot."""
    try:
        return not cache.client().exists(MARKER)
    except cache.Away:
        return False


def rebuild(tx: Tx) -> None:
    """Put the snapshot back from the store, after Redis was restarted."""
    ids = [id for (id,) in tx.cursor().execute("SELECT id FROM devices WHERE removed_at IS NULL")]
    for start in range(0, len(ids), REBUILD_BATCH):
        some = ids[start : start + REBUILD_BATCH]
        points = stores.store().latest(tx, some)
        rows = tx.cursor().execute(
            "SELECT device_id, last_seen FROM presence WHERE device_id = ANY(%s)", (some,)
        )
        updates: dict[uuid.UUID, Update] = {
            id: {"seen": seen, "points": points.get(id, {})} for id, seen in rows
        }
        if updates and not put(updates, series.units(tx, some)):
            return
    try:
        cache.client().set(MARKER, tx.now.isoformat())
    except cache.Away as error:
        _pause(error)


def _hashes(device_ids: Sequence[uuid.UUID]) -> list[dict[str, str]] | None:
    """What Redis has; None if it is away or has lost it."""
    if _breaker().is_open():
        return None
    try:
        pipe = cache.client().pipeline(transaction=False)
        pipe.exists(MARKER)
        for device_id in device_ids:
            pipe.hgetall(PREFIX + str(device_id))
        complete, *hashes = pipe.execute()
    except cache.Away as error:
        _pause(error)
        return None
    return cast("list[dict[str, str]]", hashes) if complete else None


def _latest_stored(device_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, Latest]]:
    with db.transaction() as tx:
        units = series.units(tx, device_ids)
        points = stores.store().latest(tx, device_ids)
    return {id: _from_points(id, points.get(id, {}), units) for id in device_ids}


def _pause(error: Exception) -> None:
    _breaker().until = time.monotonic() + PAUSE_S
    log.warning("live_away", error=type(error).__name__)


def _stored(point: tuple[int, Value], unit: str | None) -> str:
    ts, value = point
    shown = (value,) if unit is None else (value, unit)
    return f"{ts}|{_encode(shown).decode()}"


def _read(text: str) -> Latest:
    ts, _, document = text.partition("|")
    value, *unit = _decode(document)
    latest: Latest = {"value": value, "at": at(int(ts))}
    if unit:
        latest["unit"] = unit[0]
    return latest


def _from_points(
    device_id: uuid.UUID, points: Mapping[str, Point], units: Mapping[series.Key, str]
) -> dict[str, Latest]:
    return {
        metric: _read(_stored(point, units.get((device_id, metric))))
        for metric, point in sorted(points.items())
    }


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
