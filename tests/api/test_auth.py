"""The doors of login, tokens and accounts, as programs and browsers use them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from testbench.adapters import db, passwords
from testbench.api.app import create_app
from testbench.domain.identity import BENCH
from testbench.services import users
from testbench.services.identity import COOKIE, NAME_COOKIE
from testbench.services.users import NewUser

if TYPE_CHECKING:
    from tests.conftest import Env

SITE = "http://bench.lab:3000"
OWN = {"Origin": SITE}
ADMIN = {"username": "admin", "password": "correct horse battery"}
VIEWER = {"username": "vera", "password": "look but not touch"}


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt at its least cost; tests/services/test_identity.py keeps the real one."""
    monkeypatch.setattr(passwords, "ROUNDS", 4)


@pytest.fixture
def client(bench_env: "Env") -> Iterator[TestClient]:
    """The API with an admin and a viewer; keeps no cookies unless a test wants it."""
    db.run(lambda tx: users.ensure_admin(tx, ADMIN["password"]), attempt_s=4)
    db.run(lambda tx: users.create(tx, BENCH, NewUser(**VIEWER, role="viewer")), attempt_s=4)
    with TestClient(create_app(), base_url=SITE, follow_redirects=False) as mine:
        yield mine


def enter(client: TestClient, who: dict[str, str]) -> dict[str, str]:
    """The header of a program that logged in; the client's own cookies are dropped."""
    answer = client.post("/api/auth/login", json=who)
    assert answer.status_code == 200
    client.cookies.clear()
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_login_answers_token_and_person_and_sets_a_cookie_no_script_reads(
    client: TestClient,
) -> None:
    answer = client.post("/api/auth/login", json=VIEWER)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"token", "token_type", "expires_at", "user"}
    assert body["token_type"] == "bearer"
    assert body["user"]["username"] == "vera"
    assert body["user"]["role"] == "viewer"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    bearer = {"Authorization": f"Bearer {body['token']}"}
    assert client.get("/api/auth/me").json() == body["user"]
    client.cookies.clear()
    assert client.get("/api/auth/me", headers=bearer).json() == body["user"]


@pytest.mark.parametrize(
    "option", [{"SECURE_COOKIES": "true"}, {"PUBLIC_URL": "https://bench.example"}]
)
def test_cookie_is_secure_where_people_use_tls(
    client: TestClient, bench_env: "Env", option: dict[str, str]
) -> None:
    bench_env.set(**option)

    answer = client.post("/api/auth/login", json=VIEWER)

    assert "; secure" in answer.headers["set-cookie"].lower()


def test_wrong_password_and_unknown_user_get_the_same_problem(client: TestClient) -> None:
    answers = [
        client.post("/api/auth/login", json={"username": name, "password": "a wild guess"})
        for name in ("vera", "nobody")
    ]

    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in answer.headers
    first, second = ({**answer.json(), "request_id": ""} for answer in answers)
    assert first == second


def test_too_many_guesses_are_429_with_the_seconds_to_wait(
    client: TestClient, bench_env: "Env"
) -> None:
    bench_env.set(LOGIN_LIMIT="2/minute")
    wrong = VIEWER | {"password": "a wild guess"}
    assert [client.post("/api/auth/login", json=wrong).status_code for _ in range(2)] == [401, 401]

    answer = client.post("/api/auth/login", json=VIEWER)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert client.post("/api/auth/login", json=ADMIN).status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{}", 422),
        (b'{"username": "vera"}', 422),
        (b'{"username": 1, "password": 2}', 422),
        (b'{"username": "a\\u0000b", "password": "x"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b"{", 400),
        (b'{"username": "\xff", "password": "x"}', 400),
        (b'{"username": "\\ud800", "password": "x"}', 400),
        (b"[" * 100 + b"]" * 100, 400),
        (b'"' + b"x" * 1024 * 1024 + b'"', 413),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_unfit_bodies_are_refused(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post(
        "/api/auth/login", content=content, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_logout_kills_the_session_its_cookie_and_its_token(client: TestClient) -> None:
    token = client.post("/api/auth/login", json=VIEWER).json()["token"]
    cookie = dict(client.cookies)
    bearer = {"Authorization": f"Bearer {token}"}

    answer = client.post("/api/auth/logout", headers=OWN)

    assert answer.status_code == 204
    assert client.cookies.get(COOKIE) is None
    client.cookies.update(cookie)
    assert client.get("/api/auth/me").status_code == 401
    client.cookies.clear()
    assert client.get("/api/auth/me", headers=bearer).status_code == 401
    assert client.post("/api/auth/logout", headers=bearer).status_code == 401


def test_logout_everywhere_kills_every_session_of_this_person_alone(client: TestClient) -> None:
    def bearer(login: dict[str, str]) -> dict[str, str]:
        token = client.post("/api/auth/login", json=login).json()["token"]
        client.cookies.clear()
        return {"Authorization": f"Bearer {token}"}

    here, elsewhere, other = bearer(VIEWER), bearer(VIEWER), bearer(ADMIN)

    answer = client.post("/api/auth/logout?everywhere=true", headers=here)

    assert answer.status_code == 204
    assert client.get("/api/auth/me", headers=here).status_code == 401
    assert client.get("/api/auth/me", headers=elsewhere).status_code == 401
    assert client.get("/api/auth/me", headers=other).status_code == 200


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://["])
def test_cookie_changes_nothing_for_another_sites_page(
    client: TestClient, origin: str | None
) -> None:
    client.post("/api/auth/login", json=VIEWER)

    answer = client.post("/api/auth/logout", headers={"Origin": origin} if origin else {})

    assert answer.status_code == 403
    assert client.get("/api/auth/me").status_code == 200


def test_another_sites_page_logs_nobody_in(client: TestClient) -> None:
    answer = client.post("/api/auth/login", data=VIEWER, headers={"Origin": "https://evil.example"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_form_is_sent_on_to_where_the_person_wanted(client: TestClient) -> None:
    answer = client.post(
        "/api/auth/login", data=VIEWER | {"next": "/runs?status=failed"}, headers=OWN
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?status=failed")
    assert client.get("/api/auth/me").json()["username"] == "vera"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\tevil",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil",
        "",
    ],
)
def test_form_leads_to_no_other_site(client: TestClient, elsewhere: str) -> None:
    good = client.post("/api/auth/login", data=VIEWER | {"next": elsewhere}, headers=OWN)
    bad = client.post("/api/auth/login", data={**VIEWER, "password": "x", "next": elsewhere})

    assert good.headers["location"] == "/"
    assert parse_qs(urlsplit(bad.headers["location"]).query)["next"] == ["/"]


def test_refused_form_comes_back_with_the_reason_and_without_the_name_in_the_url(
    client: TestClient, bench_env: "Env"
) -> None:
    bench_env.set(LOGIN_LIMIT="1/minute")
    wrong = {"username": "véra; x=1", "password": "a wild guess", "next": "/devices"}

    first = client.post("/api/auth/login", data=wrong, headers=OWN)
    second = client.post("/api/auth/login", data=wrong, headers=OWN)

    for answer, reason in ((first, "unauthenticated"), (second, "toomany")):
        assert answer.status_code == 303
        link = urlsplit(answer.headers["location"])
        assert link.path == "/login"
        query = parse_qs(link.query)
        assert query["error"] == [reason]
        assert query["next"] == ["/devices"]
        assert "v%C3%A9ra" not in link.query
        assert COOKIE not in answer.headers["set-cookie"]
    assert parse_qs(client.cookies[NAME_COOKIE].strip('"'))["name"] == ["véra; x=1"]
    assert int(parse_qs(urlsplit(second.headers["location"]).query)["wait"][0]) > 0


def test_password_is_changed_at_the_own_door(client: TestClient) -> None:
    here, elsewhere = enter(client, VIEWER), enter(client, VIEWER)
    change = {"current_password": VIEWER["password"], "new_password": "something else"}

    answer = client.post("/api/auth/password", json=change, headers=here)

    assert answer.status_code == 204
    assert client.get("/api/auth/me", headers=here).status_code == 200
    assert client.get("/api/auth/me", headers=elsewhere).status_code == 401
    wrong = client.post("/api/auth/password", json=change, headers=here)
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["loc"] == "current_password"


def test_access_token_is_shown_once_works_and_is_deleted(client: TestClient) -> None:
    me = enter(client, VIEWER)

    made = client.post("/api/auth/tokens", json={"name": "ci", "scope": "write"}, headers=me)

    assert made.status_code == 201
    token = made.json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/auth/me", headers=bearer).json()["username"] == "vera"
    listed = client.get("/api/auth/tokens", headers=me)
    assert [item["name"] for item in listed.json()["items"]] == ["ci"]
    assert token not in listed.text
    path = f"/api/auth/tokens/{made.json()['id']}"
    assert client.delete(path, headers=me).status_code == 204
    assert client.delete(path, headers=me).status_code == 404
    assert client.get("/api/auth/me", headers=bearer).status_code == 401


def test_read_token_changes_nothing(client: TestClient) -> None:
    admin = enter(client, ADMIN)
    made = client.post("/api/auth/tokens", json={"name": "r", "scope": "read"}, headers=admin)
    reader = {"Authorization": f"Bearer {made.json()['token']}"}

    assert client.get("/api/auth/tokens", headers=reader).status_code == 200
    assert client.get("/api/users", headers=reader).status_code == 403
    new = {"username": "mallory", "password": "long enough", "role": "admin"}
    assert client.post("/api/users", json=new, headers=reader).status_code == 403
    assert client.delete(f"/api/auth/tokens/{made.json()['id']}", headers=reader).status_code == 403


def test_administrator_makes_changes_and_shuts_out_people(client: TestClient) -> None:
    admin = enter(client, ADMIN)
    new = {"username": "Erik", "password": "long enough", "role": "engineer"}

    made = client.post("/api/users", json=new, headers=admin)

    assert made.status_code == 201
    person = made.json()
    assert set(person) == {"id", "username", "role", "disabled", "created_at"}
    path = f"/api/users/{person['id']}"
    assert client.get(path, headers=admin).json() == person
    assert person in client.get("/api/users", headers=admin).json()["items"]
    erik = enter(client, new)
    promoted = client.patch(path, json={"role": "supervisor"}, headers=admin)
    assert promoted.json()["role"] == "supervisor"
    assert client.get("/api/auth/me", headers=erik).json()["role"] == "supervisor"
    reset = client.patch(path, json={"password": "given anew"}, headers=admin)
    assert reset.status_code == 200
    assert client.get("/api/auth/me", headers=erik).status_code == 401
    erik = enter(client, new | {"password": "given anew"})
    assert client.patch(path, json={"disabled": True}, headers=admin).json()["disabled"] is True
    assert client.get("/api/auth/me", headers=erik).status_code == 401
    shut = client.post("/api/auth/login", json=new | {"password": "given anew"})
    assert shut.status_code == 401
    assert client.patch(path, json={"disabled": False}, headers=admin).json()["disabled"] is False
    assert enter(client, new | {"password": "given anew"})


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"username": "VERA", "password": "long enough", "role": "viewer"}, 409, "username"),
        ({"username": "", "password": "long enough", "role": "viewer"}, 422, "username"),
        ({"username": "x" * 201, "password": "long enough", "role": "viewer"}, 422, "username"),
        ({"username": "new", "password": "short", "role": "viewer"}, 422, "password"),
        ({"username": "new", "password": "x" * 1025, "role": "viewer"}, 422, "password"),
        ({"username": "new", "password": "long\0enough", "role": "viewer"}, 422, "password"),
        ({"username": "new", "password": "long enough", "role": "god"}, 422, "role"),
        ({"username": "new", "role": "viewer"}, 422, "password"),
    ],
)
def test_unfit_people_are_refused_by_field(
    client: TestClient, body: dict[str, Any], status: int, where: str
) -> None:
    answer = client.post("/api/users", json=body, headers=enter(client, ADMIN))

    assert answer.status_code == status
    assert answer.json()["errors"][0]["loc"] == where
    assert body.get("password", "?") not in answer.text


def test_last_administrator_stays(client: TestClient) -> None:
    admin = enter(client, ADMIN)
    path = f"/api/users/{client.get('/api/auth/me', headers=admin).json()['id']}"

    for patch in ({"role": "viewer"}, {"disabled": True}):
        assert client.patch(path, json=patch, headers=admin).status_code == 409

    assert client.get("/api/users", headers=admin).status_code == 200


def test_401_comes_before_403_and_both_before_the_body(client: TestClient) -> None:
    viewer = enter(client, VIEWER)

    for path in ("/api/users", "/api/auth/tokens"):
        assert client.post(path, content=b"{").status_code == 401
    assert client.post("/api/users", content=b"{", headers=viewer).status_code == 403
    assert client.patch("/api/users/x", content=b"{", headers=viewer).status_code == 403
    for header in ("Bearer nonsense", "Bearer tbp_nonsense", "Basic dmVyYTp4", "nonsense"):
        answer = client.get("/api/auth/me", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_session_store_away_is_503_with_retry_after(client: TestClient, bench_env: "Env") -> None:
    bearer = enter(client, VIEWER)
    bench_env.set(REDIS_URL="redis://127.0.0.1:1/0")

    for answer in (
        client.get("/api/auth/me", headers=bearer),
        client.post("/api/auth/login", json=VIEWER),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    form = client.post("/api/auth/login", data=VIEWER, headers=OWN)
    assert "error=unavailable" in form.headers["location"]
