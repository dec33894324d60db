"""The small integer that stands for (device, metric), and its unit."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial

from testbench.adapters.db import Tx

Key = tuple[uuid.UUID, str]
Ids = dict[uuid.UUID, dict[str, int]]
"""By device, then metric: a UUID takes long to hash, so a message's is looked up once."""

_DEVICES_MAX = 100_000

_FIND = """
SELECT s.id, s.device_id, s.metric FROM series s
JOIN unnest(%s::uuid[], %s::text[]) AS wanted (device_id, metric)
  ON s.device_id = wanted.device_id AND s.metric = wanted.metric
"""
_MAKE = """
INSERT INTO series (device_id, metric)
SELECT device_id, metric FROM unnest(%s::uuid[], %s::text[]) AS wanted (device_id, metric)
ORDER BY device_id, metric
ON CONFLICT (device_id, metric) DO NOTHING
"""
_UNIT = """
UPDATE series s SET unit = wanted.unit
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS wanted (device_id, metric, unit)
WHERE s.device_id = wanted.device_id AND s.metric = wanted.metric
  AND s.unit IS DISTINCT FROM wanted.unit
"""


def ensure(tx: Tx, keys: Iterable[Key]) -> Ids:
    """The ids of `keys`; new ones are made in `tx`, and remembered once it has committed."""
    new = sorted(set(keys))
    found = find_all(tx, new)
    absent = [key for key in new if key not in found]
    if absent:
        tx.cursor().execute(_MAKE, _columns(absent))
        found |= find_all(tx, absent)
    tx.after_commit(partial(_remember, found))
    ids: Ids = {}
    for (device_id, metric), id in found.items():
        ids.setdefault(device_id, {})[metric] = id
    return ids


@lru_cache
def known() -> Ids:
    """What this process remembers; not to be changed by others."""
    return {}


def find(tx: Tx, device_id: uuid.UUID, metrics: Sequence[str]) -> dict[str, int]:
    """The ids of those metrics that exist, by name."""
    found = find_all(tx, [(device_id, metric) for metric in metrics])
    return {metric: id for (_, metric), id in found.items()}


def set_units(tx: Tx, units: Mapping[Key, str]) -> None:
    """Write down in which unit a metric comes."""
    keys = sorted(units)
    tx.cursor().execute(_UNIT, (*_columns(keys), [units[key] for key in keys]))


def units(tx: Tx, device_ids: Sequence[uuid.UUID]) -> dict[Key, str]:
    """The units of these devices' metrics, where one is known."""
    rows = tx.cursor().execute(
        "SELECT device_id, metric, unit FROM series WHERE device_id = ANY(%s) AND unit IS NOT NULL",
        (list(device_ids),),
    )
    return {(device_id, metric): unit for device_id, metric, unit in rows}


def find_all(tx: Tx, keys: Sequence[Key]) -> dict[Key, int]:
    """The ids of those keys that exist."""
    rows = tx.cursor().execute(_FIND, _columns(keys))
    return {(device_id, metric): id for id, device_id, metric in rows}


def _columns(keys: Sequence[Key]) -> tuple[list[uuid.UUID], list[str]]:
    return [device_id for device_id, _ in keys], [metric for _, metric in keys]


def _remember(found: Mapping[Key, int]) -> None:
    remembered = known()
    if len(remembered) > _DEVICES_MAX:
        remembered.clear()
    for (device_id, metric), id in found.items():
        remembered.setdefault(device_id, {})[metric] = id
