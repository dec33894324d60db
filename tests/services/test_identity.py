"""Login, sessions and tokens on a real Redis and PostgreSQL."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
import pytest
import structlog
from sqlalchemy import text

from testbench.adapters import cache, db, passwords, sessions
from testbench.domain.errors import (
    BenchError,
    Conflict,
    Forbidden,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from testbench.domain.identity import BENCH, Actor, Role, require
from testbench.domain.ids import new_id
from testbench.services import identity, users
from testbench.services.identity import Login
from testbench.services.users import NewToken, NewUser, UserView
from testbench.settings import settings

if TYPE_CHECKING:
    from tests.conftest import Env

pytestmark = pytest.mark.usefixtures("bench_env")
PASSWORD = "correct horse battery"
HERE = "192.0.2.1"


def person(role: Role = "viewer", password: str = PASSWORD) -> UserView:
    new = NewUser(username=f"p-{new_id()}", password=password, role=role)
    return db.run(lambda tx: users.create(tx, BENCH, new), attempt_s=4)


def enter(user: UserView, password: str = PASSWORD) -> tuple[Login, Actor]:
    fresh = identity.login(user.username, password, HERE)
    return fresh, identity.authenticate_cookie(fresh.session_id)


def ways_in(fresh: Login) -> list[Callable[[], Actor]]:
    return [
        lambda: identity.authenticate_cookie(fresh.session_id),
        lambda: identity.authenticate_bearer(fresh.token),
    ]


def test_cookie_and_jwt_of_one_login_are_the_same_person() -> None:
    user = person("engineer")

    fresh, actor = enter(user)

    assert identity.authenticate_bearer(fresh.token) == actor
    assert (actor.user_id, actor.username, actor.role) == (user.id, user.username, "engineer")
    claims = jwt.decode(fresh.token, settings().secret_key, algorithms=["HS256"])
    assert claims["exp"] == int(fresh.expires_at.timestamp())


def test_username_is_accepted_in_any_case() -> None:
    user = person()

    fresh = identity.login(user.username.upper(), PASSWORD, HERE)

    assert fresh.username == user.username


def test_session_id_is_new_at_each_login_and_never_stored() -> None:
    user = person()

    first, _ = enter(user)
    second, _ = enter(user)

    assert first.session_id != second.session_id
    assert len(first.session_id) >= 43  # 256 bits in base64
    client = cache.client()
    stored = list(client.scan_iter("*"))
    stored += [client.get(key) or "" for key in client.scan_iter("testbench:session:*")]
    assert sessions.handle_of(first.session_id) in str(stored)
    assert first.session_id not in str(stored)
    assert first.session_id not in str(jwt.decode(first.token, options={"verify_signature": False}))


def test_long_passwords_are_neither_cut_nor_refused() -> None:
    long = "x" * 1023
    user = person(password=long + "a")

    with pytest.raises(Unauthenticated):
        identity.login(user.username, long + "b", HERE)

    assert identity.login(user.username, long + "a", HERE).user_id == user.id


def test_hash_differs_for_equal_passwords_and_is_bcrypt() -> None:
    one, two = passwords.imprint(PASSWORD), passwords.imprint(PASSWORD)

    assert one != two
    assert one.startswith("$2b$12$")
    assert passwords.matches(PASSWORD, one)
    assert not passwords.matches(PASSWORD + " ", one)


@pytest.mark.parametrize(
    "username",
    ["nobody-at-all", "", "a\x00b", "x" * 10_000, "\ud800", "' OR 1=1 --"],
    ids=["unknown", "empty", "NUL", "long", "surrogate", "SQL"],
)
def test_unknown_user_is_refused_in_the_same_words(username: str) -> None:
    user = person()
    with pytest.raises(Unauthenticated) as wrong:
        identity.login(user.username, "not the password", HERE)

    with pytest.raises(Unauthenticated) as unknown:
        identity.login(username, "not the password", HERE)

    assert str(unknown.value) == str(wrong.value)


def test_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    user = person()

    def fastest(username: str) -> float:
        taken: list[float] = []
        for _ in range(3):
            start = time.perf_counter()
            with pytest.raises(Unauthenticated):
                identity.login(username, "not the password", HERE)
            taken.append(time.perf_counter() - start)
        return min(taken)

    known, unknown = fastest(user.username), fastest("nobody-at-all")

    assert 0.5 < unknown / known < 2


def test_guessing_is_throttled_by_account_and_address_together(
    bench_env: "Env",
) -> None:
    bench_env.set(LOGIN_LIMIT="2/minute")
    user, other = person(), person()
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            identity.login(user.username, "guess", HERE)

    with pytest.raises(TooMany) as refused:
        identity.login(user.username.upper(), PASSWORD, HERE)

    assert 0 < (refused.value.retry_after or 0) <= 60
    assert identity.login(user.username, PASSWORD, "192.0.2.2").user_id == user.id
    assert identity.login(other.username, PASSWORD, HERE).user_id == other.id


def test_right_password_clears_the_count(bench_env: "Env") -> None:
    bench_env.set(LOGIN_LIMIT="2/minute")
    user = person()

    for _ in range(5):
        assert identity.login(user.username, PASSWORD, HERE).user_id == user.id


def test_logout_kills_cookie_and_jwt_of_this_session_alone() -> None:
    user = person()
    gone, actor = enter(user)
    kept, _ = enter(user)

    identity.logout(actor)

    for way in ways_in(gone):
        with pytest.raises(Unauthenticated):
            way()
    for way in ways_in(kept):
        assert way().user_id == user.id


def test_idle_session_dies_and_a_used_one_lives(bench_env: "Env") -> None:
    bench_env.set(SESSION_IDLE_S="2")
    user = person()
    idle, _ = enter(user)
    used, _ = enter(user)

    for _ in range(3):
        time.sleep(0.9)
        assert identity.authenticate_cookie(used.session_id).user_id == user.id

    for way in ways_in(idle):
        with pytest.raises(Unauthenticated):
            way()


def test_session_ends_at_its_absolute_time_however_used(bench_env: "Env") -> None:
    bench_env.set(SESSION_ABSOLUTE_S="2")
    fresh, actor = enter(person())
    deadline = time.monotonic() + 2.2

    while time.monotonic() < deadline:
        assert fresh.expires_at - datetime.now(UTC) < timedelta(seconds=2)
        time.sleep(0.2)
        sessions.use(actor.session_id or "")

    for way in ways_in(fresh):
        with pytest.raises(Unauthenticated):
            way()


def test_forged_tokens_are_refused() -> None:
    fresh, actor = enter(person())
    other, _ = enter(person())
    key = settings().secret_key
    good = jwt.decode(fresh.token, key, algorithms=["HS256"])
    past = datetime.now(UTC) - timedelta(seconds=1)
    forged = {
        "empty": "",
        "garbage": "abc.def.ghi",
        "not ascii": "é.é.é",
        "other key": jwt.encode(good, "k" * 40, "HS256"),
        "unsigned": jwt.encode(good, None, "none"),
        "other algorithm": jwt.encode(good, key.ljust(64, "x"), "HS512"),
        "expired": jwt.encode(good | {"exp": past}, key, "HS256"),
        "without expiry": jwt.encode({"sub": good["sub"], "sid": good["sid"]}, key, "HS256"),
        "without session": jwt.encode({"sub": good["sub"], "exp": good["exp"]}, key, "HS256"),
        "another's session": jwt.encode(
            good | {"sid": sessions.handle_of(other.session_id)}, key, "HS256"
        ),
        "tail changed": fresh.token[:-4] + "AAAA",
        "the session's own handle": actor.session_id or "",
        "unknown access token": "tbp_" + "A" * 32,
        "access token not text": "tbp_\x00",
    }

    for name, token in forged.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{name}: {identity.authenticate_bearer(token)}")
    for cookie in (None, "", "guess", actor.session_id, fresh.token):
        with pytest.raises(Unauthenticated):
            identity.authenticate_cookie(cookie)


def test_disabled_user_is_refused_everywhere_and_lost_sessions_stay_lost() -> None:
    user = person()
    fresh, actor = enter(user)
    new = NewToken(name="ci", scope="write")
    token = db.run(lambda tx: users.create_token(tx, actor, new)).token
    assert identity.authenticate_bearer(token).user_id == user.id

    db.run(lambda tx: users.disable(tx, BENCH, user.id))

    refused = [*ways_in(fresh), lambda: identity.authenticate_bearer(token)]
    for way in refused:
        with pytest.raises(Unauthenticated):
            way()
    with pytest.raises(Unauthenticated) as login:
        identity.login(user.username, PASSWORD, HERE)
    assert str(login.value) == identity.WRONG
    db.run(lambda tx: users.enable(tx, BENCH, user.id))
    with pytest.raises(Unauthenticated):
        identity.authenticate_cookie(fresh.session_id)
    assert identity.login(user.username, PASSWORD, HERE).user_id == user.id


def test_login_racing_a_disabling_gets_no_session() -> None:
    user = person()
    outcome: list[object] = []

    def try_login() -> None:
        try:
            outcome.append(identity.login(user.username, PASSWORD, HERE))
        except BenchError as error:
            outcome.append(error)

    with db.transaction() as tx:
        users.disable(tx, BENCH, user.id)
        racer = threading.Thread(target=try_login)
        racer.start()
        # Past its password check, before its session: it waits for this row.
        time.sleep(0.8)
        assert not outcome
    racer.join(10)

    assert isinstance(outcome[0], Unauthenticated)
    assert cache.client().zcard(f"testbench:sessions-of:{user.id}") == 0


def test_change_of_role_reaches_live_sessions_and_tokens_at_once() -> None:
    user = person("viewer")
    person("admin")  # another one, so that this one may be demoted again
    fresh, actor = enter(user)
    new = NewToken(name="ci", scope="write")
    token = db.run(lambda tx: users.create_token(tx, actor, new)).token

    for role in ("supervisor", "engineer", "admin", "viewer"):
        db.run(lambda tx, role=role: users.set_role(tx, BENCH, user.id, role))

        assert [way().role for way in ways_in(fresh)] == [role, role]
        assert identity.authenticate_bearer(token).role == role


def test_change_of_role_does_not_revive_a_dead_session() -> None:
    user = person()
    fresh, actor = enter(user)
    identity.logout(actor)

    db.run(lambda tx: users.set_role(tx, BENCH, user.id, "engineer"))

    with pytest.raises(Unauthenticated):
        identity.authenticate_cookie(fresh.session_id)


def test_end_of_a_session_is_told_on_the_bus() -> None:
    user = person()
    _, actor = enter(user)
    with cache.client().pubsub() as listener:
        listener.subscribe("testbench:events")
        listener.get_message(timeout=2)

        identity.logout(actor)

        message = listener.get_message(timeout=2)
    assert message is not None
    assert str(user.id) in message["data"]
    assert "sessions" in message["data"]


def test_read_token_reads_and_no_more() -> None:
    _, actor = enter(person("admin"))
    new = NewToken(name="grafana", scope="read")
    token = db.run(lambda tx: users.create_token(tx, actor, new)).token

    reader = identity.authenticate_bearer(token)

    require(reader, "viewer")
    with pytest.raises(Forbidden):
        require(reader, "engineer")
    with pytest.raises(Forbidden):
        db.run(lambda tx: users.create_token(tx, reader, NewToken(name="more", scope="write")))


def test_expired_and_deleted_tokens_are_refused() -> None:
    _, actor = enter(person())
    soon = datetime.now(UTC) + timedelta(seconds=1)
    brief = NewToken(name="brief", scope="read", expires_at=soon)
    dying = db.run(lambda tx: users.create_token(tx, actor, brief))
    doomed = db.run(lambda tx: users.create_token(tx, actor, NewToken(name="x", scope="read")))
    assert identity.authenticate_bearer(dying.token).scope == "read"

    db.run(lambda tx: users.delete_token(tx, actor, doomed.id))
    time.sleep(1.1)

    for token in (dying.token, doomed.token):
        with pytest.raises(Unauthenticated):
            identity.authenticate_bearer(token)


def test_logout_of_a_token_says_that_it_has_no_session() -> None:
    _, actor = enter(person())
    token = db.run(
        lambda tx: users.create_token(tx, actor, NewToken(name="x", scope="write"))
    ).token

    with pytest.raises(Conflict):
        identity.logout(identity.authenticate_bearer(token))


def test_cache_away_is_unavailable_not_unauthenticated(bench_env: "Env") -> None:
    user = person()
    fresh, actor = enter(user)
    bench_env.set(REDIS_URL="redis://127.0.0.1:1/0")

    attempts = [
        *ways_in(fresh),
        lambda: identity.login(user.username, PASSWORD, HERE),
        lambda: identity.logout(actor),
        lambda: db.run(lambda tx: users.disable(tx, BENCH, user.id)),
    ]
    start = time.monotonic()
    for attempt in attempts:
        with pytest.raises(Unavailable) as away:
            attempt()
        assert away.value.retry_after

    assert time.monotonic() - start < 5 * len(attempts)
    disabled = db.run(lambda tx: users.get(tx, BENCH, user.id)).disabled
    assert disabled is False  # no Redis, no change: its sessions could not be ended


def test_database_away_is_unavailable_within_five_seconds(bench_env: "Env") -> None:
    user = person()
    fresh, actor = enter(user)
    token = db.run(lambda tx: users.create_token(tx, actor, NewToken(name="x", scope="read"))).token
    bench_env.set(DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")

    for attempt in (
        lambda: identity.authenticate_bearer(token),
        lambda: identity.login(user.username, PASSWORD, HERE),
    ):
        start = time.monotonic()
        with pytest.raises(Unavailable):
            attempt()
        assert time.monotonic() - start < 5
    assert identity.authenticate_cookie(fresh.session_id).user_id == user.id


def test_without_a_key_no_token_is_believed(bench_env: "Env") -> None:
    fresh, _ = enter(person())
    bench_env.set(SECRET_KEY="")

    with pytest.raises(Unavailable):
        identity.authenticate_bearer(fresh.token)
    assert identity.authenticate_cookie(fresh.session_id).username == fresh.username


def test_refused_logins_are_logged_without_what_was_typed() -> None:
    with structlog.testing.capture_logs() as lines, pytest.raises(Unauthenticated):
        identity.login("my-secret-in-the-wrong-field", "guess-1234", HERE)

    (line,) = [line for line in lines if line["event"] == "login_failed"]
    assert line["address"] == HERE
    assert line["username_hash"]
    assert "my-secret" not in str(lines)
    assert "guess-1234" not in str(lines)


def test_stored_users_and_tokens_hold_no_secret() -> None:
    user = person()
    _, actor = enter(user)
    token = db.run(lambda tx: users.create_token(tx, actor, NewToken(name="x", scope="read"))).token

    with db.transaction() as tx:
        rows = tx.session.execute(
            text(
                "SELECT u::text || coalesce(t::text, '') FROM users u "
                "LEFT JOIN access_tokens t ON t.user_id = u.id WHERE u.id = :id"
            ),
            {"id": user.id},
        ).scalars()
        kept = "".join(rows)

    assert user.username in kept
    assert PASSWORD not in kept
    assert token not in kept
    assert token.removeprefix("tbp_") not in kept
