"""Who is calling: passwords for sessions, sessions and tokens for actors.

A session dies at once on logout, password change and disabling: those verbs hold the person's row
while they end the sessions, and a login holds it too while it makes one.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

import jwt
import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlmodel import col

from testbench.adapters import db, passwords, sessions, throttle
from testbench.adapters.db import Tx
from testbench.adapters.sessions import Session
from testbench.domain.errors import Conflict, TooMany, Unauthenticated, Unavailable
from testbench.domain.identity import Actor, Role, Scope
from testbench.domain.tokens import token_hash
from testbench.models import AccessToken, User
from testbench.settings import settings

COOKIE = "testbench_session"
NAME_COOKIE = "testbench_login_name"
"""Carries what was typed as username over a refused login: no URL and no log has it."""
ALGORITHM = "HS256"
TOKEN_PREFIX = "tbp_"  # noqa: S105 (a prefix, no secret)
WRONG = "Wrong username or password."
NOT_LOGGED_IN = "Log in to go on."
MAX_USERNAME = 200
# A token's last use is kept to the minute, so that reading costs no write.
LAST_USE_STEP = timedelta(minutes=1)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Login:
    """A fresh session: its id for the cookie, its JWT for the API."""

    session_id: str
    token: str
    expires_at: datetime
    user_id: uuid.UUID
    username: str
    role: Role


def login(username: str, password: str, address: str) -> Login:
    """A new session; opens its own transactions, none while the password is checked.

    Raises Unauthenticated (the same in words and time for an unknown user), TooMany, Unavailable.
    """
    limit = settings().login_limit
    account = username.casefold()
    try:
        throttle.hit(limit, "login", account, address)
    except TooMany:
        _log_failure("login_refused", username, address)
        raise
    user = db.run(lambda tx: find(tx, username))
    known = user is not None and user.disabled_at is None
    password_hash = user.password_hash if user is not None and known else passwords.NOBODY
    if not passwords.matches(password, password_hash) or user is None:
        _log_failure("login_failed", username, address)
        raise Unauthenticated(WRONG)
    user_id = user.id
    session_id, session = db.run(lambda tx: _open_session(tx, user_id, password_hash))
    throttle.forgive(limit, "login", account, address)
    log.info("login", user_id=str(user_id), address=address)
    return Login(
        session_id=session_id,
        token=_sign(session),
        expires_at=session.expires_at,
        user_id=session.user_id,
        username=session.username,
        role=session.role,
    )


def logout(actor: Actor, *, everywhere: bool = False) -> None:
    """The session and its JWTs are dead, or all of this person's; Conflict for a token.

    `everywhere` leaves access tokens alone: those are deleted one by one.
    """
    session = sessions.use(actor.session_id) if actor.session_id else None
    if session is None:
        raise Conflict("A personal access token has no session; delete the token instead.")
    if everywhere:
        sessions.kill_all(session.user_id)
    else:
        sessions.kill(session)
    log.info("logout", user_id=str(session.user_id), everywhere=everywhere)


def authenticate_cookie(session_id: str | None) -> Actor:
    """The person behind a session cookie, or Unauthenticated; Unavailable if Redis is away."""
    if not session_id:
        raise Unauthenticated(NOT_LOGGED_IN)
    return _actor(sessions.use(sessions.handle_of(session_id)))


def authenticate_bearer(token: str) -> Actor:
    """The person behind a JWT or a personal access token, or Unauthenticated.

    Raises Unavailable if Redis (for a JWT) or PostgreSQL (for a token) is away.
    """
    if token.startswith(TOKEN_PREFIX):
        return db.run(lambda tx: _by_token(tx, token))
    try:
        claims = jwt.decode(
            token, _key(), algorithms=[ALGORITHM], options={"require": ["exp", "sid", "sub"]}
        )
    except (jwt.InvalidTokenError, UnicodeError) as error:
        raise Unauthenticated("The token is invalid or has expired.") from error
    actor = _actor(sessions.use(str(claims["sid"])))
    if str(actor.user_id) != claims["sub"]:
        raise Unauthenticated("The token is invalid or has expired.")
    return actor


def find(tx: Tx, username: str) -> User | None:
    """The user of that name, whatever its case; names no user can have find nobody."""
    if not 0 < len(username) <= MAX_USERNAME or not username.isprintable():
        username = ""
    return tx.session.scalars(select(User).where(same_name(username))).first()


def same_name(username: str) -> ColumnElement[bool]:
    """The comparison the unique index makes."""
    return func.lower(col(User.username)) == func.lower(username)


def _open_session(tx: Tx, user_id: uuid.UUID, password_hash: str) -> tuple[str, Session]:
    # Under the row's lock: whoever disables this person either is done, and is seen here, or
    # waits, and will find this session in the index.
    query = select(User).where(col(User.id) == user_id).with_for_update(read=True)
    user = tx.session.scalars(query).first()
    if user is None or user.disabled_at is not None or user.password_hash != password_hash:
        raise Unauthenticated(WRONG)
    return sessions.create(user.id, user.username, cast("Role", user.role))


def _by_token(tx: Tx, token: str) -> Actor:
    query = (
        select(AccessToken, User)
        .join(User, col(User.id) == col(AccessToken.user_id))
        .where(col(AccessToken.token_hash) == token_hash(token))
    )
    row = tx.session.execute(query).first()
    if row is None:
        raise Unauthenticated("The token is unknown.")
    kept, user = row
    if user.disabled_at is not None or (kept.expires_at and kept.expires_at <= tx.now):
        raise Unauthenticated("The token is invalid or has expired.")
    if kept.last_used_at is None or kept.last_used_at < tx.now - LAST_USE_STEP:
        seen = update(AccessToken).where(col(AccessToken.id) == kept.id)
        tx.session.execute(seen.values(last_used_at=tx.now))
    return Actor(user.id, user.username, cast("Role", user.role), cast("Scope", kept.scope))


def _actor(session: Session | None) -> Actor:
    if session is None:
        raise Unauthenticated(NOT_LOGGED_IN)
    return Actor(session.user_id, session.username, session.role, session_id=session.handle)


def _sign(session: Session) -> str:
    # The handle, not the id: a JWT read from a program's log opens no browser session.
    claims = {"sub": str(session.user_id), "sid": session.handle, "exp": session.expires_at}
    return jwt.encode(claims, _key(), algorithm=ALGORITHM)


def _key() -> str:
    key = settings().secret_key
    if not key:
        raise Unavailable("SECRET_KEY is not set; start the bench with `make up`.")
    return key


def _log_failure(
    event: Literal["login_failed", "login_refused"], username: str, address: str
) -> None:
    # People type passwords into the wrong field: no log keeps what was sent.
    log.warning(event, address=address, username_hash=token_hash(username.casefold())[:12])
