"""People and their access tokens: made, changed, shut out; the last administrator stays.

bcrypt takes about 0.2 s inside these transactions: doors give them `db.run(…, attempt_s=4)`.
"""

import secrets
import uuid
from datetime import datetime
from typing import Annotated, cast

import structlog
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from testbench.adapters import db, passwords, sessions, throttle
from testbench.adapters.db import Tx
from testbench.domain.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from testbench.domain.identity import ROLES, Actor, Role, Scope, require
from testbench.domain.ids import new_id
from testbench.domain.names import Name
from testbench.domain.tokens import new_token, token_hash
from testbench.models import AccessToken, User
from testbench.services import lists
from testbench.services.identity import TOKEN_PREFIX
from testbench.services.keys import as_id
from testbench.settings import settings

MIN_PASSWORD = 8
MAX_PASSWORD_BYTES = 1024
MAX_TOKENS = 100
log = structlog.get_logger()


def _username(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("must be printable, without space at its ends")
    return value


def _password(value: str) -> str:
    if len(value) < MIN_PASSWORD:
        raise ValueError(f"must have at least {MIN_PASSWORD} characters")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        raise ValueError(f"must have at most {MAX_PASSWORD_BYTES} bytes")
    if "\x00" in value:
        raise ValueError("must not contain NUL")
    return value


Username = Annotated[Name, AfterValidator(_username)]
Password = Annotated[str, AfterValidator(_password)]


class NewUser(BaseModel):
    """What makes a person's account."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Username
    password: Password
    role: Role = "viewer"


class UserPatch(BaseModel):
    """What an administrator may change; a password set here ends the person's sessions."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class PasswordChange(BaseModel):
    """What a person sends to change their own password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    current_password: str
    new_password: Password


class NewToken(BaseModel):
    """What makes a personal access token."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    scope: Scope
    expires_at: AwareDatetime | None = None


class UserView(BaseModel):
    """A person as administrators see them."""

    id: uuid.UUID
    username: str
    role: Role
    disabled: bool
    created_at: datetime


class TokenView(BaseModel):
    """A token as its owner sees it."""

    id: uuid.UUID
    name: str
    scope: Scope
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


class CreatedToken(TokenView):
    """The only time the token itself is told."""

    token: str = Field(description="Shown once.")


# --- people


def create(tx: Tx, actor: Actor, new: NewUser) -> UserView:
    """A new account; Conflict if the username is taken in any case."""
    require(actor, "admin")
    view = _insert(tx, new.username, new.password, new.role)
    log.info("user_created", user_id=str(view.id), by=str(actor.user_id), role=new.role)
    return view


def list_users(
    tx: Tx, actor: Actor, limit: int = lists.MAX_LIMIT, cursor: str | None = None
) -> lists.Page[UserView]:
    """Everybody, oldest account first."""
    require(actor, "admin")
    rows, after = lists.page(tx, select(User), col(User.id), limit, cursor, uuid.UUID)
    return lists.Page(items=[_view(row[0]) for row in rows], next_cursor=after)


def get(tx: Tx, actor: Actor, user_id: str | uuid.UUID) -> UserView:
    """One person; NotFound."""
    require(actor, "admin")
    user = tx.session.get(User, as_id(user_id, "user"))
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return _view(user)


def change(tx: Tx, actor: Actor, user_id: str | uuid.UUID, patch: UserPatch) -> UserView:
    """Role, access and password of a person; live sessions follow at once.

    Conflict if no enabled administrator would be left, NotFound.
    """
    require(actor, "admin")
    password_hash = passwords.imprint(patch.password) if patch.password else None
    user = _lock(tx, as_id(user_id, "user"), and_admins=True)
    was, ruled = cast("Role", user.role), _rules(user)
    if patch.disabled is not None and patch.disabled != (user.disabled_at is not None):
        user.disabled_at = tx.now if patch.disabled else None
    user.password_hash = password_hash or user.password_hash
    user.role = patch.role or user.role
    tx.session.add(user)
    tx.session.flush()
    if ruled and not _rules(user):
        _keep_an_admin(tx)
    # Sessions end before the commit, under the row's lock: no Redis, no change.
    if patch.disabled or password_hash:
        sessions.kill_all(user.id)
    if user.role != was:
        _tell_roles(tx, user.id, was, cast("Role", user.role))
    tx.emit("users", user.id)
    tx.emit(sessions.TOPIC, user.id)
    changed = sorted(patch.model_dump(exclude_none=True))
    log.info("user_changed", user_id=str(user.id), by=str(actor.user_id), changed=changed)
    return _view(user)


def set_role(tx: Tx, actor: Actor, user_id: str | uuid.UUID, role: Role) -> UserView:
    """`change` of the role alone."""
    return change(tx, actor, user_id, UserPatch(role=role))


def disable(tx: Tx, actor: Actor, user_id: str | uuid.UUID) -> UserView:
    """Shut a person out: sessions end, tokens are refused."""
    return change(tx, actor, user_id, UserPatch(disabled=True))


def enable(tx: Tx, actor: Actor, user_id: str | uuid.UUID) -> UserView:
    """Let a person in again."""
    return change(tx, actor, user_id, UserPatch(disabled=False))


def reset_password(tx: Tx, actor: Actor, user_id: str | uuid.UUID, password: str) -> UserView:
    """A new password for somebody who lost theirs; ends their sessions."""
    return change(tx, actor, user_id, UserPatch(password=password))


def change_password(tx: Tx, actor: Actor, new: PasswordChange) -> None:
    """One's own password; every other session of the person ends. Invalid if `current` is wrong."""
    user_id = _person(actor)
    throttle.hit(settings().login_limit, "password", str(user_id))
    known = tx.session.scalars(select(col(User.password_hash)).where(col(User.id) == user_id)).one()
    if not passwords.matches(new.current_password, known):
        raise Invalid("The current password is wrong.", errors=[("current_password", "is wrong")])
    password_hash = passwords.imprint(new.new_password)
    user = _lock(tx, user_id)
    if user.password_hash != known:
        raise Conflict("The password was changed meanwhile.")
    user.password_hash = password_hash
    sessions.kill_all(user.id, but=actor.session_id)
    tx.session.add(user)
    log.info("password_changed", user_id=str(user.id))


def ensure_admin(tx: Tx, password: str | None) -> str | None:
    """Makes the user `admin` if there is nobody yet; returns the password it had to invent.

    An operator's own choice of password is taken as it is, however short.
    """
    tx.session.scalar(text("SELECT pg_advisory_xact_lock(:key)"), {"key": db.Lock.FIRST_ADMIN})
    if tx.session.scalars(select(col(User.id)).limit(1)).first() is not None:
        return None
    chosen = password or secrets.token_urlsafe(12)
    if len(chosen) < MIN_PASSWORD:
        log.warning("admin_password_short", at_least=MIN_PASSWORD)
    _insert(tx, "admin", chosen, "admin")
    return None if password else chosen


# --- personal access tokens


def create_token(tx: Tx, actor: Actor, new: NewToken) -> CreatedToken:
    """A token that acts for its maker; Forbidden to tokens, which may not multiply."""
    owner = _person(actor)
    if new.expires_at is not None and new.expires_at <= tx.now:
        raise Invalid("The token would be born dead.", errors=[("expires_at", "is in the past")])
    _lock(tx, owner)
    kept = select(col(AccessToken.id)).where(col(AccessToken.user_id) == owner)
    if len(tx.session.scalars(kept).all()) >= MAX_TOKENS:
        raise Conflict(f"A person may have {MAX_TOKENS} tokens; delete one first.")
    token = new_token(TOKEN_PREFIX.rstrip("_"))
    row = AccessToken(
        id=new_id(),
        user_id=owner,
        name=new.name,
        scope=new.scope,
        token_hash=token_hash(token),
        expires_at=new.expires_at,
        created_at=tx.now,
    )
    tx.session.add(row)
    log.info("token_created", user_id=str(owner), token_id=str(row.id), scope=new.scope)
    return CreatedToken(**_token_view(row).model_dump(), token=token)


def list_tokens(
    tx: Tx, actor: Actor, limit: int = lists.MAX_LIMIT, cursor: str | None = None
) -> lists.Page[TokenView]:
    """One's own tokens, without the tokens themselves."""
    mine = select(AccessToken).where(col(AccessToken.user_id) == actor.user_id)
    rows, after = lists.page(tx, mine, col(AccessToken.id), limit, cursor, uuid.UUID)
    return lists.Page(items=[_token_view(row[0]) for row in rows], next_cursor=after)


def delete_token(tx: Tx, actor: Actor, token_id: str | uuid.UUID) -> None:
    """The token is refused from now on; NotFound for somebody else's."""
    if actor.scope != "write":
        raise Forbidden("This token may only read.")
    row = tx.session.get(AccessToken, as_id(token_id, "token"))
    if row is None or row.user_id != actor.user_id:
        raise NotFound(f"There is no token {token_id}.")
    tx.session.delete(row)
    tx.emit(sessions.TOPIC, row.user_id)
    log.info("token_deleted", user_id=str(row.user_id), token_id=str(row.id))


# --- inside


def _insert(tx: Tx, username: str, password: str, role: Role) -> UserView:
    password_hash = passwords.imprint(password)
    user = User(
        id=new_id(),
        username=username,
        password_hash=password_hash,
        role=role,
        created_at=tx.now,
    )
    # The unique index decides, so that two at once cannot both pass a look beforehand.
    row = insert(User).values(user.model_dump()).on_conflict_do_nothing()
    if tx.session.scalar(row.returning(col(User.id))) is None:
        raise Conflict(f"The username {username!r} is taken.", errors=[("username", "is taken")])
    tx.emit("users", user.id)
    return _view(user)


def _lock(tx: Tx, user_id: uuid.UUID, *, and_admins: bool = False) -> User:
    """The person's row, locked, if asked with every administrator's, in the order of ids."""
    wanted = col(User.id) == user_id
    query = (
        select(User)
        .where(or_(wanted, _is_admin()) if and_admins else wanted)
        .order_by(col(User.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for user in tx.session.scalars(query).all():
        if user.id == user_id:
            return user
    raise NotFound(f"There is no user {user_id}.")


def _rules(user: User) -> bool:
    return user.role == "admin" and user.disabled_at is None


def _is_admin() -> ColumnElement[bool]:
    return and_(col(User.role) == "admin", col(User.disabled_at).is_(None))


def _keep_an_admin(tx: Tx) -> None:
    if tx.session.scalars(select(col(User.id)).where(_is_admin()).limit(1)).first() is None:
        raise Conflict("This is the last administrator; make another one first.")


def _tell_roles(tx: Tx, user_id: uuid.UUID, was: Role, role: Role) -> None:
    """Live sessions lose rights before the commit and gain them after it, never without it."""
    lesser = role if ROLES.index(role) < ROLES.index(was) else was
    sessions.set_role(user_id, lesser)
    tx.after_commit(lambda: _tell_role(user_id))


def _tell_role(user_id: uuid.UUID) -> None:
    try:
        db.run(lambda tx: _repeat_role(_lock(tx, user_id)))
    except Unavailable as error:
        # Live sessions keep the lesser role until the next login.
        log.warning("role_not_told", user_id=str(user_id), error=error.detail)


def _repeat_role(user: User) -> None:
    # Under the row's lock, so that of two changes at once the last one's role stays.
    sessions.set_role(user.id, cast("Role", user.role))


def _person(actor: Actor) -> uuid.UUID:
    if actor.user_id is None or actor.session_id is None:
        raise Forbidden("Log in with your password to do this; a token may not.")
    return actor.user_id


def _view(user: User) -> UserView:
    return UserView(
        id=user.id,
        username=user.username,
        role=cast("Role", user.role),
        disabled=user.disabled_at is not None,
        created_at=user.created_at,
    )


def _token_view(row: AccessToken) -> TokenView:
    return TokenView.model_validate(row, from_attributes=True)
