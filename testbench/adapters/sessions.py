"""Sessions of people, in Redis alone: whoever holds the id is the person until it dies.

Redis keeps the SHA-256 of an id (its handle), never the id. A record dies by the idle time (its
expiry, renewed with each use) or by the absolute time written into it. Each person's handles are
indexed, so that one call ends them all. Whatever ends or changes sessions says so on the bus
(topic `sessions`, id = the person's), for open sockets and streams to look again.
"""

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import redis

from testbench.adapters import bus, cache
from testbench.domain.errors import Unavailable
from testbench.domain.identity import Role
from testbench.settings import settings

TOPIC = "sessions"


@dataclass(frozen=True, slots=True)
class Session:
    """A live session; `handle` names it and does not open it."""

    handle: str
    user_id: uuid.UUID
    username: str
    role: Role
    expires_at: datetime


def handle_of(session_id: str) -> str:
    """The name under which a session is kept."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()


def create(user_id: uuid.UUID, username: str, role: Role) -> tuple[str, Session]:
    """A new session and its id of 256 random bits, which is told only here."""
    session_id = secrets.token_urlsafe(32)
    ends = int(time.time()) + settings().session_absolute_s
    handle = handle_of(session_id)
    session = Session(handle, user_id, username, role, datetime.fromtimestamp(ends, UTC))
    index = _index_key(user_id)
    with _bounded() as client:
        pipe = client.pipeline()
        pipe.set(_key(handle), _dump(session), ex=settings().session_idle_s)
        pipe.zadd(index, {handle: ends})
        pipe.zremrangebyscore(index, "-inf", time.time())
        pipe.expire(index, settings().session_absolute_s + settings().session_idle_s)
        pipe.execute()
    return session_id, session


def use(handle: str) -> Session | None:
    """The live session behind `handle`, its idle time begun anew; None if it is dead."""
    with _bounded() as client:
        text = cast("str | None", client.getex(_key(handle), ex=settings().session_idle_s))
    session = _load(handle, text) if text else None
    if session is None or session.expires_at.timestamp() <= time.time():
        return None
    return session


def kill(session: Session) -> None:
    """End one session."""
    with _bounded() as client:
        client.delete(_key(session.handle))
        client.zrem(_index_key(session.user_id), session.handle)
    bus.publish([bus.Event(TOPIC, str(session.user_id))])


def kill_all(user_id: uuid.UUID, *, but: str | None = None) -> None:
    """End every session of a person, except the one of handle `but`."""
    with _bounded() as client:
        doomed = [handle for handle in _handles(client, user_id) if handle != but]
        if doomed:
            client.delete(*map(_key, doomed))
            client.zrem(_index_key(user_id), *doomed)
    bus.publish([bus.Event(TOPIC, str(user_id))])


def set_role(user_id: uuid.UUID, role: Role) -> None:
    """Every live session of a person has `role` from now on; callers hold the person's row."""
    with _bounded() as client:
        for handle in _handles(client, user_id):
            text = cast("str | None", client.get(_key(handle)))
            if text:
                record = json.loads(text) | {"role": role}
                # xx: a session that died meanwhile stays dead.
                client.set(_key(handle), json.dumps(record), xx=True, keepttl=True)
    bus.publish([bus.Event(TOPIC, str(user_id))])


@contextmanager
def _bounded() -> Generator[redis.Redis]:
    try:
        yield cache.client()
    except redis.RedisError as error:
        raise Unavailable("The session store does not answer.", retry_after=5) from error


def _key(handle: str) -> str:
    return f"testbench:session:{handle}"


def _index_key(user_id: uuid.UUID) -> str:
    return f"testbench:sessions-of:{user_id}"


def _handles(client: redis.Redis, user_id: uuid.UUID) -> list[str]:
    return cast("list[str]", client.zrange(_index_key(user_id), 0, -1))


def _dump(session: Session) -> str:
    return json.dumps(
        {
            "user_id": str(session.user_id),
            "username": session.username,
            "role": session.role,
            "ends": int(session.expires_at.timestamp()),
        }
    )


def _load(handle: str, text: str) -> Session:
    record = json.loads(text)
    return Session(
        handle=handle,
        user_id=uuid.UUID(record["user_id"]),
        username=record["username"],
        role=record["role"],
        expires_at=datetime.fromtimestamp(record["ends"], UTC),
    )
