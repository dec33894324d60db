"""Whatever is sent, the answer is a problem and never a fault of the bench."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from httpx import Response

from tests.callers import Api, problem, served
from tests.services import Env, Servers, wait_until

WRITES = [
    ("POST", "/api/devices"),
    ("PATCH", "/api/devices/x"),
    ("POST", "/api/test-cases"),
    ("PUT", "/api/test-cases/x"),
    ("POST", "/api/test-cases/x/evaluate"),
    ("POST", "/api/environments"),
    ("PUT", "/api/environments/x"),
    ("POST", "/api/test-runs"),
]
MIB = 1024 * 1024


def nested(depth: int) -> bytes:
    """`{"name": [[…]]}` with brackets and braces `depth` deep."""
    return b'{"name": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_bodies_that_are_no_json_are_400(api: Api) -> None:
    bodies = [
        b"{bad",
        b"",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": -Infinity}',
        b'{"name": 1e999}',
        b'{"name": "\xff\xfe"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\\udc00\\ud800"}',
        b"\xef\xbb\xbf{}x",
        nested(33),
        nested(100_000),
        b'{"a": ' * 33 + b"1" + b"}" * 33,
        b"1" * 5000,
        b"\x00",
        b"{} {}",
    ]
    engineer = api.engineer
    for method, path in WRITES:
        for body in bodies:
            status = 422 if body == b"" else 400
            problem(engineer.request(method, path, content=body), status)


def test_bodies_of_json_that_is_no_document_are_422(api: Api) -> None:
    engineer = api.engineer
    for method, path in WRITES:
        for body in (b"[]", b"1", b"null", b'"x"', b"true", nested(32), b"1" * 400):
            problem(engineer.request(method, path, content=body), 422)
        problem(engineer.request(method, path, content=b'{"name": "a\\u0000b"}'), 422, "name")
        problem(engineer.request(method, path, content=b'{"a\\u0000": 1}'), 422)


def test_a_body_over_1_mib_is_413_whether_or_not_it_says_so(api: Api) -> None:
    engineer = api.engineer
    large = b'{"name": "' + b"x" * 10 * MIB + b'"}'
    for method, path in WRITES:
        problem(engineer.request(method, path, content=large), 413)
        chunked = (large[i : i + MIB // 2] for i in range(0, len(large), MIB // 2))
        problem(engineer.request(method, path, content=chunked), 413)
    filled = json.dumps({"name": "x", "kind": "http", "tags": []}).encode()
    at_the_limit = engineer.post("/api/devices", content=filled.ljust(MIB))
    assert at_the_limit.status_code == 201
    problem(engineer.post("/api/devices", content=filled.ljust(MIB + 1)), 413)


def test_what_a_body_is_called_does_not_change_how_it_is_read(api: Api) -> None:
    body = b'{"name": "%d", "kind": "http"}'
    engineer = api.engineer
    for i, kind in enumerate(("application/json", "text/plain", "application/octet-stream", "x")):
        sent = engineer.post("/api/devices", content=body % i, headers={"Content-Type": kind})
        assert sent.status_code == 201
    problem(engineer.post("/api/devices", data={"name": "form", "kind": "http"}), 422)
    problem(engineer.post("/api/devices", files={"name": b"x"}), 400)


def test_unknown_routes_and_methods_are_problems(api: Api) -> None:
    for path in ("/api", "/api/", "/api/nothing", "/api/devices/", "/api/devices/x/y/z", "/api//"):
        problem(api.nobody.get(path), 404)
    for method, path in [
        ("PUT", "/api/devices"),
        ("DELETE", "/api/test-runs"),
        ("PATCH", "/api/test-cases/x"),
        ("GET", "/api/test-runs/x/cancel"),
        ("OPTIONS", "/api/devices"),
        ("TRACE", "/api/devices"),
        ("POST", "/api/live"),
        ("PURGE", "/api/devices"),
    ]:
        refused = api.engineer.request(method, path)
        problem(refused, 405)
        assert refused.headers["allow"]
    assert api.nobody.put("/api/devices").headers["allow"] == "GET, POST"


def test_head_is_get_without_a_body(api: Api) -> None:
    for path, status in [("/api/live", 200), ("/api/devices", 401), ("/api/nothing", 404)]:
        answer = api.nobody.head(path)
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers["content-type"] == api.nobody.get(path).headers["content-type"]
    assert api.viewer.head("/api/devices").status_code == 200
    problem(api.engineer.post("/api/test-runs/x/heartbeat"), 401)


def test_refusals_come_in_order(api: Api) -> None:
    """401, then 403, then the body, then what it names."""
    for method, path in WRITES:
        large = b"x" * 2 * MIB
        problem(api.nobody.request(method, path, content=large), 401)
        if not path.endswith("evaluate"):
            problem(api.viewer.request(method, path, content=large), 403)
        problem(api.client("nonsense").request(method, path, content=large), 401)
        problem(api.client("tbp_nonsense").request(method, path, content=large), 401)
    for authorization in ("Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "é", "Bearer \x7f"):
        headers = {"Authorization": authorization.encode()}
        problem(api.nobody.get("/api/devices", headers=headers), 401)


def test_too_many_calls_are_429_for_that_person_alone(api: Api, bench_env: Env) -> None:
    bench_env.set(RATE_LIMIT="5/minute")
    viewer = api.viewer
    answers = [viewer.get("/api/devices") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    problem(answers[-1], 429)
    assert api.engineer.get("/api/devices").status_code == 200
    assert [api.nobody.get("/api/live").status_code for _ in range(20)] == [200] * 20


def test_query_values_nobody_foresaw_are_answered(api: Api) -> None:
    viewer = api.viewer
    for path in ("/api/devices", "/api/test-cases", "/api/environments", "/api/test-runs"):
        for query in ("cursor=%00", "limit=-1", "limit=1e3", "cursor=%E2%82", "limit=" + "9" * 400):
            problem(viewer.get(f"{path}?{query}"), 422)
        assert viewer.get(f"{path}?limit=1&limit=2&unheard=%ff&cursor=").status_code == 200


def test_live_answers_and_ready_refuses_while_a_part_is_away(api: Api, servers: Servers) -> None:
    client = api.nobody
    assert client.get("/api/ready").status_code == 200

    for name in ("postgres", "redis"):
        servers.stop(name)
        try:
            began = time.monotonic()
            assert client.get("/api/live").status_code == 200
            assert time.monotonic() - began < 0.5
            down = client.get("/api/ready")
        finally:
            servers.start(name)
        assert down.status_code == 503
        assert (down.json()["status"], down.json()["checks"][name]["ok"]) == ("down", False)
        wait_until(lambda: client.get("/api/ready").status_code == 200, 10)


def test_a_fault_is_a_problem_without_its_cause_and_logged_without_values(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    @api.app.get("/api-fault")
    def fault() -> None:
        password = "swordfish"
        raise ZeroDivisionError(len(password))

    api.app.router.routes.insert(0, api.app.router.routes.pop())
    answer = api.nobody.get("/api-fault")
    logged = capsys.readouterr().out

    document = answer.json()
    assert (answer.status_code, document["status"]) == (500, 500)
    assert "ZeroDivision" not in answer.text
    assert "ZeroDivisionError" in logged
    assert document["request_id"] in logged
    assert "swordfish" not in logged
    assert [json.loads(line)["event"] for line in logged.splitlines()] == ["unexpected_error"]


def timed(client: httpx.Client, method: str, path: str, body: object) -> tuple[float, Response]:
    began = time.monotonic()
    answer = client.request(method, path, json=body)
    return time.monotonic() - began, answer


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_paused_part_is_503_within_5_s_and_comes_back_by_itself(
    api: Api, servers: Servers, name: str
) -> None:
    case, device = api.case(), api.device()
    start = {"test_case_id": case["id"], "device_ids": [device["id"]]}
    calls = [
        ("GET", "/api/devices", None),
        ("GET", "/api/test-runs", None),
        ("POST", "/api/test-runs", start),
        ("POST", "/api/devices", {"name": "late", "kind": "http"}),
    ] * 15
    token = api.engineer.headers["Authorization"]

    with (
        served(api.app) as url,
        httpx.Client(base_url=url, headers={"Authorization": token}, timeout=30) as engineer,
        ThreadPoolExecutor(len(calls)) as pool,
    ):
        for _ in range(3):
            assert engineer.get("/api/devices").status_code == 200
        with servers.paused(name):
            waiting = [pool.submit(timed, engineer, *call) for call in calls]
            lively = timed(engineer, "GET", "/api/live", None)
            answers = [future.result() for future in waiting]
            answers.append(timed(engineer, "GET", "/api/devices", None))
        wait_until(lambda: engineer.get("/api/devices").status_code == 200, 10)
        started = engineer.post("/api/test-runs", json=start)

    assert (lively[1].status_code, lively[0] < 1) == (200, True)
    for took, answer in answers:
        problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert took < 5, took
    assert started.status_code == 201


def test_with_a_token_a_paused_redis_costs_freshness_and_nothing_else(
    api: Api, servers: Servers
) -> None:
    token = api.made("/api/auth/tokens", {"name": "t", "scope": "write"})["token"]
    case, device = api.case(), api.device()
    start = {"test_case_id": case["id"], "device_ids": [device["id"]]}
    calls = [
        ("GET", "/api/devices", None, 200),
        ("GET", f"/api/devices/{device['id']}", None, 200),
        ("POST", "/api/test-runs", start, 201),
        ("POST", "/api/devices", {"name": "late", "kind": "http"}, 201),
        ("GET", "/api/devices", None, 200),
        ("GET", "/api/ready", None, 503),
    ]
    headers = {"Authorization": f"Bearer {token}"}
    with (
        served(api.app) as url,
        httpx.Client(base_url=url, headers=headers, timeout=30) as caller,
        servers.paused("redis"),
    ):
        answers = [(timed(caller, *call), expected) for *call, expected in calls]

    for (took, answer), expected in answers:
        assert answer.status_code == expected, answer.text
        assert took < 5, (answer.request.url, took)
