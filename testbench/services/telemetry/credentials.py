"""Devices prove who they are: by their own credential, at every door."""

import time
import uuid
from collections.abc import Iterable
from functools import partial

import structlog

from testbench.adapters import db, throttle
from testbench.adapters.db import Tx
from testbench.domain.errors import Unauthenticated, Unavailable
from testbench.domain.tokens import token_hash
from testbench.settings import settings

log = structlog.get_logger()

TOKEN_TTL_S = 2.0
MAX_CACHED = 100_000

_tokens: dict[str, tuple[uuid.UUID, float]] = {}


def authenticate(token: str, address: str) -> uuid.UUID:
    """The device whose credential this is; Unauthenticated, or TooMany after many failures.

    An answer holds for 2 s, so a renewed or removed credential ends within that.
    """
    digest = token_hash(token)
    cached = _tokens.get(digest)
    if cached is not None and cached[1] > time.monotonic():
        return cached[0]
    device_id = db.run(partial(_by_hash, digest=digest))
    if device_id is None:
        _tokens.pop(digest, None)
        login_failed(address, "http")
        raise Unauthenticated("The device's credential is unknown.")
    if len(_tokens) > MAX_CACHED:
        _tokens.clear()
    _tokens[digest] = (device_id, time.monotonic() + TOKEN_TTL_S)
    return device_id


def admit(username: str, password: str) -> tuple[uuid.UUID, str] | None:
    """The device that logs in over MQTT, and its token's hash; None if the credential is wrong.

    Either its id and its token, or (as ThingsBoard has it) its token as the name.
    """
    try:
        claimed, digest = uuid.UUID(username), token_hash(password)
    except ValueError:
        claimed, digest = None, token_hash(username)
    device_id = db.run(partial(_by_hash, digest=digest))
    if device_id is None or (claimed is not None and claimed != device_id):
        return None
    return device_id, digest


def credentials(device_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The token hashes of those that still belong to the bench."""
    return db.run(partial(_hashes, device_ids=list(device_ids)))


def login_failed(address: str, door: str, device: str = "") -> None:
    """Log a failed login of a device, and count it; TooMany if there were too many."""
    log.warning("device_login_failed", address=address, door=door)
    try:
        throttle.hit(settings().device_login_limit, "device-login", address, device)
    except Unavailable:
        log.warning("device_throttle_away")


def _by_hash(tx: Tx, digest: str) -> uuid.UUID | None:
    row = (
        tx.cursor()
        .execute("SELECT id FROM devices WHERE token_hash = %s AND removed_at IS NULL", (digest,))
        .fetchone()
    )
    return row[0] if row else None


def _hashes(tx: Tx, device_ids: list[uuid.UUID]) -> dict[uuid.UUID, str]:
    rows = tx.cursor().execute(
        "SELECT id, token_hash FROM devices"
        " WHERE id = ANY(%s) AND removed_at IS NULL AND token_hash IS NOT NULL",
        (device_ids,),
    )
    return dict(rows.fetchall())
