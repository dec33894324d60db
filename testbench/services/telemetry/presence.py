"""When devices were heard, what they lost on the way, and how far off their clocks are."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from psycopg.types.json import Jsonb

from testbench.adapters.db import Tx
from testbench.domain import telemetry
from testbench.domain.telemetry import Heard

PRESENCE_EVERY_S = 0.5
"""Below the shortest `offline_after_s`, 1 s, so that nobody who speaks counts as silent."""
CLOCK_STEP_MS = 500
"""A clock that moved less is not written down again."""
MAX_CACHED = 100_000


@dataclass(slots=True)
class News:
    """What a batch says about one device beside its readings."""

    seqs: list[int] = field(default_factory=list[int])
    clock_off_ms: int | None = None


_presence: dict[uuid.UUID, tuple[float, int]] = {}
"""What this process wrote last: a device costs two writes a second, not one a message."""

_LOCK_PRESENCE = """
SELECT device_id, online, seq, missing, gaps FROM presence
WHERE device_id = ANY(%s) ORDER BY device_id FOR UPDATE
"""
_NEW_PRESENCE = """
INSERT INTO presence (device_id, last_seen, online, missing, gaps, clock_off_ms)
SELECT id, %s, false, 0, '[]', 0 FROM unnest(%s::uuid[]) AS id ORDER BY id
ON CONFLICT (device_id) DO NOTHING
"""
_WRITE_PRESENCE = """
UPDATE presence p SET last_seen = greatest(p.last_seen, %s), online = true,
    seq = w.seq, missing = w.missing, gaps = w.gaps,
    clock_off_ms = coalesce(w.clock_off_ms, p.clock_off_ms)
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::jsonb[], %s::bigint[])
    AS w (device_id, seq, missing, gaps, clock_off_ms)
WHERE p.device_id = w.device_id
"""


def note(tx: Tx, heard: Mapping[uuid.UUID, News], now: datetime) -> None:
    """Write down whom a batch was heard from; a device that comes back is told to the pages."""
    moment = time.monotonic()
    due = sorted(id for id, news in heard.items() if _is_due(id, news, moment))
    if not due:
        return
    before = _lock_presence(tx, due, now)
    cursor = tx.cursor()
    after = [telemetry.follow(before[id][1], heard[id].seqs) for id in due]
    clocks = [heard[id].clock_off_ms for id in due]
    cursor.execute(
        _WRITE_PRESENCE,
        (
            now,
            due,
            [state.seq for state in after],
            [state.missing for state in after],
            [Jsonb(state.gaps) for state in after],
            clocks,
        ),
    )
    for id in due:
        if not before[id][0]:
            tx.emit("devices", id)
    tx.after_commit(partial(_remember_presence, due, heard, moment))


def _lock_presence(
    tx: Tx, ids: list[uuid.UUID], now: datetime
) -> dict[uuid.UUID, tuple[bool, Heard]]:
    """What is known of each, held against other processes; a new device gets its row."""
    cursor = tx.cursor()
    rows = cursor.execute(_LOCK_PRESENCE, (ids,)).fetchall()
    if len(rows) < len(ids):
        cursor.execute(_NEW_PRESENCE, (now, ids))
        rows = cursor.execute(_LOCK_PRESENCE, (ids,)).fetchall()
    return {
        id: (online, Heard(seq, missing, tuple((a, b) for a, b in gaps)))
        for id, online, seq, missing, gaps in rows
    }


def _is_due(device_id: uuid.UUID, news: News, moment: float) -> bool:
    written = _presence.get(device_id)
    if news.seqs or written is None or moment - written[0] >= PRESENCE_EVERY_S:
        return True
    return news.clock_off_ms is not None and abs(news.clock_off_ms - written[1]) > CLOCK_STEP_MS


def _remember_presence(
    due: Sequence[uuid.UUID], heard: Mapping[uuid.UUID, News], moment: float
) -> None:
    if len(_presence) > MAX_CACHED:
        _presence.clear()
    for id in due:
        clock = heard[id].clock_off_ms
        _presence[id] = (moment, clock if clock is not None else _presence.get(id, (0, 0))[1])
