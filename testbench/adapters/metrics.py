"""What Prometheus is shown of Redis: the newest values in bulk, and how far ingest is behind."""

import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

import structlog

from testbench.adapters import cache
from testbench.adapters.live import PREFIX

log = structlog.get_logger()

BATCH = 100
"""Devices a call: Redis serves nobody else meanwhile, which is about 2 ms."""
INGEST = "testbench:ingest"
NOTE_TTL_S = 60
"""Who has said nothing for so long has nothing, or does not live."""
PAUSE_S = 5.0

# A device's whole hash as one text: 50 answers a device would take ten times as long to read.
_NEWEST = """
local out = {}
for i, key in ipairs(KEYS) do out[i] = table.concat(redis.call('HGETALL', key), '\\31') end
return table.concat(out, '\\30')
"""


class Note(NamedTuple):
    """What one process last said of its ingest; times in s since 1970."""

    at: float
    lag_s: float
    """From a message's arrival to its commit; the worst since the note before."""
    waiting_since: float
    """When what is not stored yet arrived; 0 if nothing waits."""


@lru_cache
def _pause() -> cache.Pause:
    return cache.Pause(PAUSE_S)


@lru_cache
def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def newest(device_ids: Sequence[uuid.UUID]) -> Iterator[tuple[uuid.UUID, list[str]]]:
    """Each device's snapshot as `[metric, stored, metric, stored, …]`; raises `cache.Away`.

    No metric and no stored value has a control character, so two of them can separate.
    """
    client = cache.client()
    for start in range(0, len(device_ids), BATCH):
        some = device_ids[start : start + BATCH]
        keys = [PREFIX + str(id) for id in some]
        text = cast("str", client.eval(_NEWEST, len(keys), *keys))
        for id, flat in zip(some, text.split("\x1e"), strict=True):
            yield id, flat.split("\x1f") if flat else []


def note_ingest(lag_s: float, waiting_since: float = 0.0) -> None:
    """This process's note; lost while Redis is away."""
    if _pause().lasts():
        return
    note = f"{time.time():.3f}|{lag_s:.3f}|{waiting_since:.3f}"
    try:
        cache.client().hset(INGEST, _process(), note)
    except cache.Away as error:
        _pause().begin()
        log.warning("ingest_note_lost", error=type(error).__name__)


def ingest_notes() -> list[Note]:
    """What every process said lately; raises `cache.Away`."""
    client = cache.client()
    found = cast("dict[str, str]", client.hgetall(INGEST))
    notes = {name: Note(*map(float, text.split("|"))) for name, text in found.items()}
    oldest = time.time() - NOTE_TTL_S
    if gone := [name for name, note in notes.items() if note.at < oldest]:
        client.hdel(INGEST, *gone)
    return [note for note in notes.values() if note.at >= oldest]
