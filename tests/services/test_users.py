"""Accounts and personal access tokens on a real PostgreSQL and Redis."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from testbench.adapters import db, passwords, sessions
from testbench.domain.errors import (
    BenchError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
)
from testbench.domain.identity import BENCH, ROLES, Actor, Role
from testbench.domain.ids import new_id
from testbench.services import identity, users
from testbench.services.users import NewToken, NewUser, PasswordChange, UserPatch, UserView

pytestmark = pytest.mark.usefixtures("bench_env")
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt at its least cost; tests/services/test_identity.py keeps the real one."""
    monkeypatch.setattr(passwords, "ROUNDS", 4)


def person(role: Role = "viewer", username: str | None = None) -> UserView:
    new = NewUser(username=username or f"p-{new_id()}", password=PASSWORD, role=role)
    return db.run(lambda tx: users.create(tx, BENCH, new), attempt_s=4)


def enter(user: UserView, password: str = PASSWORD) -> Actor:
    fresh = identity.login(user.username, password, "192.0.2.1")
    return identity.authenticate_cookie(fresh.session_id)


def alive(actor: Actor) -> bool:
    return sessions.use(actor.session_id or "") is not None


def admins() -> int:
    with db.transaction() as tx:
        return tx.session.scalar(
            text("SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL")
        )


VERBS: dict[str, Callable[[Any, Actor, UserView], object]] = {
    "create": lambda tx, actor, _: users.create(
        tx, actor, NewUser(username="somebody", password=PASSWORD)
    ),
    "list_users": lambda tx, actor, _: users.list_users(tx, actor),
    "get": lambda tx, actor, user: users.get(tx, actor, user.id),
    "change": lambda tx, actor, user: users.change(tx, actor, user.id, UserPatch(role="admin")),
    "set_role": lambda tx, actor, user: users.set_role(tx, actor, user.id, "admin"),
    "disable": lambda tx, actor, user: users.disable(tx, actor, user.id),
    "enable": lambda tx, actor, user: users.enable(tx, actor, user.id),
    "reset_password": lambda tx, actor, user: users.reset_password(tx, actor, user.id, PASSWORD),
}


@pytest.mark.parametrize("verb", VERBS)
def test_only_administrators_manage_users(verb: str) -> None:
    user = person()
    callers = [Actor(new_id(), "x", role) for role in ROLES if role != "admin"]
    callers.append(Actor(new_id(), "x", "admin", scope="read"))

    for caller in callers:
        with pytest.raises(Forbidden):
            db.run(lambda tx, caller=caller: VERBS[verb](tx, caller, user))

    assert db.run(lambda tx: users.get(tx, BENCH, user.id)) == user


@pytest.mark.parametrize(
    ("username", "fits"),
    [
        ("a", True),
        ("x" * 200, True),
        ("Ada Lovelace", True),
        ("アダ", True),
        ("", False),
        ("x" * 201, False),
        ("   ", False),
        (" ada", False),
        ("a\x00b", False),
        ("a\nb", False),
        ("a\u200bb", False),
        ("a\ud800", False),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_usernames_have_1_to_200_printable_characters(username: str, fits: bool) -> None:
    if fits:
        assert person(username=username).username == username
        return
    with pytest.raises(ValidationError):
        NewUser(username=username, password=PASSWORD)


@pytest.mark.parametrize(
    ("password", "fits"),
    [
        ("12345678", True),
        ("é" * 8, True),
        ("x" * 1024, True),
        ("1234567", False),
        ("", False),
        ("x" * 1025, False),
        ("é" * 513, False),
        ("long enough\x00", False),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_passwords_have_8_characters_to_1_kib(password: str, fits: bool) -> None:
    if fits:
        new = NewUser(username=f"p-{new_id()}", password=password)
        user = db.run(lambda tx: users.create(tx, BENCH, new), attempt_s=4)
        assert enter(user, password).user_id == user.id
        return
    with pytest.raises(ValidationError) as refused:
        NewUser(username="somebody", password=password)
    assert not password or password not in str(refused.value)


def test_username_is_taken_in_any_case() -> None:
    person(username="Grace")

    with pytest.raises(Conflict) as taken:
        person(username="gRACE")

    assert taken.value.errors == [("username", "is taken")]


def test_of_many_at_once_one_gets_the_name() -> None:
    def attempt(number: int) -> object:
        try:
            return person(username="Hopper" if number % 2 else "hopper")
        except Conflict as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(6)))

    assert sum(isinstance(outcome, UserView) for outcome in outcomes) == 1


def test_list_comes_in_pages_without_secrets() -> None:
    made = [person() for _ in range(3)]

    first = db.run(lambda tx: users.list_users(tx, BENCH, limit=2))
    second = db.run(lambda tx: users.list_users(tx, BENCH, limit=2, cursor=first.next_cursor))

    assert [*first.items, *second.items] == made
    assert second.next_cursor is None
    assert "password" not in first.model_dump_json()


def test_unknown_user_is_not_found() -> None:
    for unknown in (new_id(), "no-id-at-all"):
        with pytest.raises(NotFound):
            db.run(lambda tx, unknown=unknown: users.disable(tx, BENCH, unknown))


def test_last_administrator_is_neither_demoted_nor_disabled() -> None:
    only = person("admin")
    session = enter(only)

    for patch in (UserPatch(role="supervisor"), UserPatch(disabled=True)):
        with pytest.raises(Conflict):
            db.run(lambda tx, patch=patch: users.change(tx, session, only.id, patch))

    assert admins() == 1
    assert alive(session)
    assert sessions.use(session.session_id or "").role == "admin"  # type: ignore[union-attr]  # alive
    person("admin")
    assert db.run(lambda tx: users.disable(tx, session, only.id)).disabled
    assert not alive(session)


def test_administrators_who_remove_each_other_leave_one() -> None:
    rivals = [person("admin") for _ in range(4)]
    start = threading.Barrier(4)

    def demote(user: UserView) -> None:
        start.wait()
        try:
            db.run(lambda tx: users.set_role(tx, BENCH, user.id, "viewer"))
        except BenchError as error:
            assert isinstance(error, Conflict)  # noqa: PT017 (the outcome of one of four)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(demote, rivals))

    assert admins() == 1


def test_own_password_change_ends_the_other_sessions() -> None:
    user = person()
    here, elsewhere = enter(user), enter(user)
    new = PasswordChange(current_password=PASSWORD, new_password="another password")

    db.run(lambda tx: users.change_password(tx, here, new), attempt_s=4)

    assert alive(here)
    assert not alive(elsewhere)
    with pytest.raises(Unauthenticated):
        enter(user, PASSWORD)
    assert enter(user, "another password").user_id == user.id


def test_own_password_change_needs_the_current_one_and_is_throttled(bench_env: Any) -> None:
    bench_env.set(LOGIN_LIMIT="2/minute")
    user = person()
    here, elsewhere = enter(user), enter(user)
    new = PasswordChange(current_password="a wild guess", new_password="another password")

    def guess() -> None:
        db.run(lambda tx: users.change_password(tx, here, new), attempt_s=4)

    for _ in range(2):
        with pytest.raises(Invalid) as wrong:
            guess()
        assert wrong.value.errors[0][0] == "current_password"
    with pytest.raises(TooMany):
        guess()

    assert alive(elsewhere)


def test_reset_password_ends_all_sessions_and_lets_in_with_the_new_one() -> None:
    user = person()
    session = enter(user)

    db.run(lambda tx: users.reset_password(tx, BENCH, user.id, "given by admin"), attempt_s=4)

    assert not alive(session)
    with pytest.raises(Unauthenticated):
        enter(user, PASSWORD)
    assert enter(user, "given by admin").user_id == user.id


def test_change_that_is_rolled_back_leaves_role_and_account() -> None:
    user = person("engineer")
    session = enter(user)

    def promote_and_fail(tx: db.Tx) -> None:
        users.set_role(tx, BENCH, user.id, "admin")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        db.run(promote_and_fail)

    assert db.run(lambda tx: users.get(tx, BENCH, user.id)).role == "engineer"
    assert sessions.use(session.session_id or "").role == "engineer"  # type: ignore[union-attr]  # alive


def test_first_admin_gets_a_generated_password_once() -> None:
    password = db.run(lambda tx: users.ensure_admin(tx, None), attempt_s=4)

    assert password is not None
    assert len(password) >= 16
    assert identity.login("admin", password, "192.0.2.1").role == "admin"
    assert db.run(lambda tx: users.ensure_admin(tx, None)) is None
    assert db.run(lambda tx: users.ensure_admin(tx, "another password")) is None
    assert identity.login("admin", password, "192.0.2.1").username == "admin"


def test_first_admin_takes_the_operators_password() -> None:
    assert db.run(lambda tx: users.ensure_admin(tx, "chosen by operator"), attempt_s=4) is None

    assert identity.login("admin", "chosen by operator", "192.0.2.1").role == "admin"


def test_first_admin_is_made_once_by_two_launchers() -> None:
    with ThreadPoolExecutor(2) as pool:
        given = list(
            pool.map(lambda _: db.run(lambda tx: users.ensure_admin(tx, None), attempt_s=4), "ab")
        )

    assert sorted(password is None for password in given) == [False, True]
    assert admins() == 1


def test_token_is_told_once() -> None:
    actor = enter(person("engineer"))
    new = NewToken(name="ci", scope="write")

    made = db.run(lambda tx: users.create_token(tx, actor, new))

    assert made.token.startswith("tbp_")
    listed = db.run(lambda tx: users.list_tokens(tx, actor))
    assert [token.id for token in listed.items] == [made.id]
    assert made.token not in listed.model_dump_json()
    assert identity.authenticate_bearer(made.token).role == "engineer"
    used = db.run(lambda tx: users.list_tokens(tx, actor)).items[0]
    assert used.last_used_at is not None


def test_tokens_make_no_tokens_and_change_no_password() -> None:
    actor = enter(person("admin"))
    made = db.run(lambda tx: users.create_token(tx, actor, NewToken(name="ci", scope="write")))
    program = identity.authenticate_bearer(made.token)
    change = PasswordChange(current_password=PASSWORD, new_password="another password")

    with pytest.raises(Forbidden):
        db.run(lambda tx: users.create_token(tx, program, NewToken(name="two", scope="write")))
    with pytest.raises(Forbidden):
        db.run(lambda tx: users.change_password(tx, program, change))


def test_token_of_somebody_else_is_not_found() -> None:
    owner, other = enter(person()), enter(person("admin"))
    made = db.run(lambda tx: users.create_token(tx, owner, NewToken(name="ci", scope="read")))

    with pytest.raises(NotFound):
        db.run(lambda tx: users.delete_token(tx, other, made.id))

    assert db.run(lambda tx: users.list_tokens(tx, other)).items == []
    assert identity.authenticate_bearer(made.token).user_id == owner.user_id


def test_token_must_not_expire_before_it_lives() -> None:
    actor = enter(person())
    past = datetime.now(UTC) - timedelta(seconds=1)
    new = NewToken(name="late", scope="read", expires_at=past)

    with pytest.raises(Invalid) as refused:
        db.run(lambda tx: users.create_token(tx, actor, new))

    assert refused.value.errors[0][0] == "expires_at"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scope": "read"},
        {"name": "x" * 201, "scope": "read"},
        {"name": "x", "scope": "admin"},
        {"name": "x"},
        {"name": "x", "scope": "read", "expires_at": "2040-01-01T00:00:00"},
        {"name": "x", "scope": "read", "rights": "all"},
    ],
)
def test_unfit_tokens_are_refused(body: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        NewToken.model_validate(body)
