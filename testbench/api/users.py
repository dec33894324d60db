"""Accounts, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Query

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import lists, users

# bcrypt works inside these transactions.
BCRYPT_S = 4.0
router = APIRouter(prefix="/api/users", tags=["users"], route_class=Door)


@router.post("", status_code=201)
@allow("admin")
def create(actor: Caller, new: users.NewUser) -> users.UserView:
    """A new account; 409 if the username is taken in any case."""
    return db.run(lambda tx: users.create(tx, actor, new), attempt_s=BCRYPT_S)


@router.get("")
@allow("admin")
def list_users(
    actor: Caller,
    limit: Annotated[int, Query(ge=1, le=lists.MAX_LIMIT)] = 100,
    cursor: str | None = None,
) -> lists.Page[users.UserView]:
    """Everybody, oldest account first."""
    return db.run(lambda tx: users.list_users(tx, actor, limit, cursor))


@router.get("/{user_id}")
@allow("admin")
def get(actor: Caller, user_id: str) -> users.UserView:
    """One person."""
    return db.run(lambda tx: users.get(tx, actor, user_id))


@router.patch("/{user_id}")
@allow("admin")
def change(actor: Caller, user_id: str, patch: users.UserPatch) -> users.UserView:
    """Change role, disable or enable, reset the password; live sessions follow at once.

    409 if no enabled administrator would be left.
    """
    return db.run(lambda tx: users.change(tx, actor, user_id, patch), attempt_s=BCRYPT_S)
