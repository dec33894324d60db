"""Runs over REST: starting, watching, cancelling, and the runners' doors, tried from outside."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from httpx import Response

from testbench.adapters import db
from testbench.domain.ids import new_id
from testbench.models import Run
from testbench.services.runs import tokens
from tests import made_runs
from tests.callers import LIMITS, Api, problem

PATH = "/api/test-runs"


def reservations() -> list[tuple[uuid.UUID, uuid.UUID]]:
    with db.transaction() as tx:
        return list(tx.cursor().execute("SELECT device_id, run_id FROM reservations"))


def test_a_started_run_is_queued_with_its_copies_and_holds_its_devices(api: Api) -> None:
    case, devices = api.case(), [api.device() for _ in range(3)]
    environment = api.made("/api/environments", {"name": "e", "variables": {"x": 1}})
    ids = [device["id"] for device in reversed(devices)]
    body = {"test_case_id": case["id"], "environment_id": environment["id"], "device_ids": ids}

    run = api.made(PATH, body)

    assert (run["status"], run["outcome"], run["attempt"], run["progress"]) == (
        "queued",
        None,
        1,
        0,
    )
    assert run["test_case"] == case
    assert run["environment"] == environment
    assert [device["device_id"] for device in run["devices"]] == ids
    assert [device["outcome"] for device in run["devices"]] == [None] * 3
    assert run["name"] == f"{case['name']} on {devices[2]['name']} and 2 more"
    assert [event["event"] for event in run["timeline"]] == ["queued"]
    assert run["started_at"] is run["window_start"] is run["ended_at"] is run["reason"] is None
    assert api.viewer.get(f"{PATH}/{run['id']}").json() == run
    shown = api.viewer.get(f"/api/devices/{ids[0]}").json()
    assert (shown["state"], shown["run_id"]) == ("in_test", run["id"])


def test_what_does_not_fit_is_refused_by_field(api: Api) -> None:
    case, device = api.case(), api.device()
    good = {"test_case_id": case["id"], "device_ids": [device["id"]]}
    bad: list[tuple[str, dict[str, Any]]] = [
        ("test_case_id", {"test_case_id": 7}),
        ("test_case_id", {"test_case_id": None}),
        ("device_ids", {"device_ids": []}),
        ("device_ids", {"device_ids": device["id"]}),
        ("device_ids", {"device_ids": [device["id"], device["id"]]}),
        ("device_ids", {"device_ids": [device["id"], device["id"].upper()]}),
        ("device_ids", {"device_ids": [str(new_id()) for _ in range(501)]}),
        ("device_ids.0", {"device_ids": [None]}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\nb"}),
        ("environment_id", {"environment_id": 3}),
        ("environment", {"environment": {}}),
    ]
    for loc, fields in bad:
        problem(api.engineer.post(PATH, json={**good, **fields}), 422, loc)
    problem(api.engineer.post(PATH, json={"device_ids": [device["id"]]}), 422, "test_case_id")
    assert api.made(PATH, {**good, "name": "x" * 200})["name"] == "x" * 200


def test_what_is_unknown_is_404_and_starts_nothing(api: Api) -> None:
    case, device, gone = api.case(), api.device(), api.device()
    api.engineer.delete(f"/api/devices/{gone['id']}")
    good = {"test_case_id": case["id"], "device_ids": [device["id"]]}
    for unknown in (str(new_id()), "nothing", ""):
        problem(api.engineer.post(PATH, json={**good, "test_case_id": unknown}), 404)
        problem(api.engineer.post(PATH, json={**good, "environment_id": unknown}), 404)
        body = {**good, "device_ids": [device["id"], unknown]}
        problem(api.engineer.post(PATH, json=body), 404, unknown)
    problem(api.engineer.post(PATH, json={**good, "device_ids": [gone["id"]]}), 404, gone["id"])
    assert reservations() == []
    assert api.viewer.get(PATH).json()["items"] == []


def test_variables_and_tags_must_fit_before_a_device_is_asked_for(api: Api) -> None:
    """422 comes before 409, whatever state the devices are in."""
    offline = api.device(online=False)
    names = {"unknown": {}, "text": {"max": "warm"}, "inverted": {"max": -1}}
    case = api.case({**LIMITS, "low": 0, "high": "{{max}}"})
    body = {"test_case_id": case["id"], "device_ids": [offline["id"]]}
    for name, variables in names.items():
        made = api.made("/api/environments", {"name": name, "variables": variables})
        refused = api.engineer.post(PATH, json={**body, "environment_id": made["id"]})
        problem(refused, 422, "criteria.0.high")
    problem(api.engineer.post(PATH, json=body), 422, "criteria.0.high")
    tagged = api.case(required_tags=["oven"])
    problem(api.engineer.post(PATH, json={**body, "test_case_id": tagged["id"]}), 422)
    assert reservations() == []


def test_devices_that_are_not_available_are_named_with_why_and_none_is_held(api: Api) -> None:
    free, offline, held, busy = api.device(), api.device(online=False), api.device(), api.device()
    api.engineer.patch(f"/api/devices/{held['id']}", json={"maintenance": True})
    api.run(device_ids=[busy["id"]])
    before = reservations()
    ids = [device["id"] for device in (free, offline, held, busy)]

    refused = api.engineer.post(PATH, json={"test_case_id": api.case()["id"], "device_ids": ids})

    document = problem(refused, 409)
    assert {e["loc"]: e["msg"] for e in document["errors"]} == {
        offline["id"]: "is offline",
        held["id"]: "is in maintenance",
        busy["id"]: "is in a run",
    }
    assert reservations() == before


def test_of_runs_that_want_the_same_devices_at_once_one_starts(api: Api) -> None:
    case, devices = api.case(), [api.device()["id"] for _ in range(4)]
    engineer, barrier = api.engineer, threading.Barrier(8)

    def start(i: int) -> Response:
        wanted = devices if i % 2 else devices[::-1]
        barrier.wait()
        return engineer.post(PATH, json={"test_case_id": case["id"], "device_ids": wanted})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    for answer in answers:
        if answer.status_code == 409:
            assert {e["loc"] for e in problem(answer, 409)["errors"]} == set(devices)
    assert sorted(str(device) for device, _ in reservations()) == sorted(devices)


def test_a_viewer_and_nobody_are_refused_before_the_body(api: Api) -> None:
    run = f"{PATH}/{api.run()['id']}"
    for path in (PATH, f"{run}/cancel"):
        problem(api.viewer.post(path, content=b"{"), 403)
        problem(api.nobody.post(path, content=b"{"), 401)
    problem(api.nobody.get(PATH), 401)
    problem(api.nobody.get(run), 401)


def with_key(api: Api, key: str, body: dict[str, Any]) -> Response:
    headers = {"Idempotency-Key": key}
    return api.engineer.post(PATH, json=body, headers=headers)


def test_a_key_starts_one_run_and_replays_its_first_answer(api: Api) -> None:
    body = {"test_case_id": api.case()["id"], "device_ids": [api.device()["id"]]}

    first = with_key(api, "k", body)
    api.engineer.post(f"{PATH}/{first.json()['id']}/cancel")
    again = with_key(api, "k", body)
    rewritten = with_key(api, "k", {"device_ids": body["device_ids"], **body, "name": None})

    assert (first.status_code, again.status_code, rewritten.status_code) == (201, 201, 201)
    assert again.json() == rewritten.json() == first.json()
    problem(with_key(api, "k", {**body, "name": "other"}), 409)
    assert len(api.viewer.get(PATH).json()["items"]) == 1


def test_a_key_used_at_once_starts_one_run(api: Api) -> None:
    body = {"test_case_id": api.case()["id"], "device_ids": [api.device()["id"]]}
    api.engineer  # noqa: B018 (the one person, made before the threads)
    barrier = threading.Barrier(6)

    def start(_: int) -> Response:
        barrier.wait()
        return with_key(api, "k", body)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(start, range(6)))

    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.text for answer in answers}) == 1


def test_a_key_remembers_no_failure_and_belongs_to_its_person(api: Api) -> None:
    device = api.device(online=False)
    body = {"test_case_id": api.case()["id"], "device_ids": [device["id"]]}

    problem(with_key(api, "k", body), 409)
    problem(with_key(api, "k", {**body, "device_ids": []}), 422)
    made_runs.heard(uuid.UUID(device["id"]), ahead_s=300)
    assert with_key(api, "k", body).status_code == 201
    other = api.role("supervisor").post(PATH, json=body, headers={"Idempotency-Key": "k"})

    problem(other, 409, device["id"])


def test_keys_that_are_none_are_refused(api: Api) -> None:
    body = {"test_case_id": api.case()["id"], "device_ids": [api.device()["id"]]}
    for key in ("", "x" * 201, "a\tb", "a\x00b", "\x7f"):
        problem(with_key(api, key, body), 422, "Idempotency-Key")
    assert with_key(api, 'a: "b" ' * 25, body).status_code == 201


def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    from testbench.services import runs

    body = {"test_case_id": api.case()["id"], "device_ids": [api.device()["id"]]}
    first = with_key(api, "k", body).json()
    api.engineer.post(f"{PATH}/{first['id']}/cancel")
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE idempotency_keys SET created_at = now() - interval '25 h'")

    second = with_key(api, "k", body)
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE idempotency_keys SET created_at = now() - interval '25 h'")
        assert runs.purge_keys(tx) == 1

    assert second.status_code == 201
    assert second.json()["id"] != first["id"]


def test_cancelling_releases_the_devices_and_ends_once(api: Api) -> None:
    run = api.run()
    path = f"{PATH}/{run['id']}"

    cancelled = api.engineer.post(f"{path}/cancel")

    assert cancelled.status_code == 200
    shown = cancelled.json()
    assert (shown["status"], shown["outcome"], shown["progress"]) == ("cancelled", "aborted", 1)
    assert shown["ended_at"] is not None
    assert [e["event"] for e in shown["timeline"]] == ["queued", "cancel", "cancelled"]
    assert [d["outcome"] for d in shown["devices"]] == ["aborted"]
    assert reservations() == []
    problem(api.engineer.post(f"{path}/cancel"), 409)
    assert api.viewer.get(path).json() == shown
    for unknown in (new_id(), "nothing"):
        problem(api.engineer.post(f"{PATH}/{unknown}/cancel"), 404)
        problem(api.viewer.get(f"{PATH}/{unknown}"), 404)


def test_runs_are_listed_newest_first_and_filtered(api: Api) -> None:
    case, other, device = api.case(), api.case(), api.device()
    ids = []
    for i in range(5):
        chosen = other if i == 0 else case
        run = api.run(test_case_id=chosen["id"], device_ids=[device["id"]])
        api.engineer.post(f"{PATH}/{run['id']}/cancel")
        ids.insert(0, run["id"])
    going = api.run(test_case_id=case["id"])["id"]

    def found(**query: Any) -> list[str]:
        answer = api.viewer.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["items"]]

    assert found() == [going, *ids]
    listed = api.viewer.get(PATH).json()["items"][1]
    assert listed == api.viewer.get(f"{PATH}/{ids[0]}").json()
    assert [entry["event"] for entry in listed["timeline"]] == ["queued", "cancel", "cancelled"]
    assert found(status="queued") == found(status="active") == [going]
    assert found(status="cancelled") == found(outcome="aborted") == ids
    assert found(outcome="pass") == found(status="running") == []
    assert found(device_id=device["id"]) == ids
    assert found(test_case_id=other["id"]) == ids[-1:]
    assert found(device_id=str(new_id())) == []
    for query in ("status=sleeping", "outcome=maybe", "limit=0", "cursor=x"):
        problem(api.viewer.get(f"{PATH}?{query}"), 422, query.partition("=")[0])

    first = api.viewer.get(f"{PATH}?limit=2").json()
    newest = api.run(test_case_id=case["id"])["id"]
    second = api.viewer.get(f"{PATH}?limit=4&cursor={first['next_cursor']}").json()
    seen = [run["id"] for run in first["items"] + second["items"]]
    assert seen == [going, *ids]
    assert newest not in seen
    assert second["next_cursor"] is None


# --- the runners' doors -------------------------------------------------------------------------


def external(api: Api, devices: int = 2) -> dict[str, Any]:
    """A run as an external runner has it: dispatched, with its `token`."""
    run = api.run(device_ids=[api.device()["id"] for _ in range(devices)])
    with db.transaction() as tx:
        tx.cursor().execute(
            "UPDATE runs SET phase = 'external', due_at = NULL WHERE id = %s", (run["id"],)
        )
    return {**run, "token": tokens.issue(uuid.UUID(run["id"]), 1)}


def result(run: dict[str, Any], *outcomes: str, **fields: Any) -> dict[str, Any]:
    """A callback's body."""
    order = ["pass", "fail", "timeout", "error", "aborted"]
    pairs = zip(run["devices"], outcomes, strict=True)
    body = {
        "attempt": 1,
        "outcome": max(outcomes, key=order.index),
        "devices": [{"device_id": d["device_id"], "outcome": o, "criteria": []} for d, o in pairs],
    }
    return {**body, **fields}


def call_back(api: Api, run: dict[str, Any], body: Any, token: str | None = None) -> Response:
    token = run["token"] if token is None else token
    return api.client(token).post(f"{PATH}/{run['id']}/callback", json=body)


def test_a_callback_ends_the_run_and_its_repeat_changes_nothing(api: Api) -> None:
    run = external(api)
    verdict = {"name": "warm", "verdict": "fail", "measured": 31.5, "message": "too warm"}
    body = result(run, "pass", "fail", reason="too warm")
    body["devices"][1]["criteria"] = [verdict]

    ended = call_back(api, run, body)
    repeated = call_back(api, run, body)

    assert (ended.status_code, repeated.status_code) == (200, 200)
    shown = ended.json()
    assert repeated.json() == shown
    assert (shown["status"], shown["outcome"], shown["reason"]) == ("completed", "fail", "too warm")
    assert [d["outcome"] for d in shown["devices"]] == ["pass", "fail"]
    assert verdict.items() <= shown["devices"][1]["criteria"][0].items()
    assert reservations() == []
    problem(call_back(api, run, result(run, "pass", "pass")), 409)
    problem(call_back(api, run, result(run, "pass", "pass", attempt=2)), 409)
    problem(api.engineer.post(f"{PATH}/{run['id']}/cancel"), 409)
    assert api.viewer.get(f"{PATH}/{run['id']}").json() == shown


def test_a_callback_without_the_runs_own_token_is_401_before_its_body(api: Api) -> None:
    run, other = external(api), external(api)
    later = tokens.issue(uuid.UUID(run["id"]), 2)
    person = api.engineer.headers["authorization"].removeprefix("Bearer ")
    device = api.device()["token"]
    for token in ("", "x", other["token"], later, run["token"][:-1] + "x", person, device):
        for door in ("callback", "heartbeat"):
            path = f"{PATH}/{run['id']}/{door}"
            problem(api.client(token).post(path, content=b"x" * 2_000_000), 401)
    for door in ("callback", "heartbeat"):
        problem(api.client(run["token"]).post(f"{PATH}/{new_id()}/{door}", json={}), 404)
        problem(api.client(run["token"]).post(f"{PATH}/nothing/{door}", json={}), 404)
        problem(api.client(person).post(f"{PATH}/{new_id()}/{door}", json={}), 401)
        oversized = b'{"a": "' + b"x" * 10_485_760 + b'"}'
        path = f"{PATH}/{run['id']}/{door}"
        problem(api.client(run["token"]).post(path, content=oversized), 413)
        problem(api.client(run["token"]).post(path, content=b'{"attempt": NaN}'), 400)
    assert api.viewer.get(f"{PATH}/{run['id']}").json()["status"] == "queued"


def test_a_callback_that_does_not_fit_is_refused_by_field(api: Api) -> None:
    run, other = external(api), api.device()["id"]
    good = result(run, "pass", "fail")
    first, second = good["devices"]

    def with_criteria(outcome: str, *verdicts: str) -> dict[str, Any]:
        made = [{"name": f"c{i}", "verdict": v} for i, v in enumerate(verdicts)]
        return {
            "outcome": "fail",
            "devices": [first | {"outcome": outcome, "criteria": made}, second],
        }

    bad: list[tuple[str, dict[str, Any]]] = [
        ("devices", {"devices": []}),
        ("devices", {"devices": [first]}),
        ("devices.2.device_id", {"devices": [first, second, {**first, "device_id": other}]}),
        ("devices.1.device_id", {"devices": [first, first]}),
        ("devices.0.device_id", {"devices": [{**first, "device_id": "x"}, second]}),
        ("devices.0.outcome", {"devices": [{**first, "outcome": "great"}, second]}),
        ("devices.0.outcome", {"devices": [{**first, "outcome": None}, second]}),
        ("devices.0.mood", {"devices": [{**first, "mood": "good"}, second]}),
        ("devices.0.criteria.0.verdict", with_criteria("pass", "maybe")),
        ("devices.0.outcome", with_criteria("pass", "pass", "fail")),
        ("devices.0.outcome", with_criteria("pass", "error")),
        ("devices.0.outcome", with_criteria("fail", "pass", "pass")),
        ("outcome", {"outcome": "pass"}),
        ("outcome", {"outcome": "aborted"}),
        ("outcome", {"outcome": "maybe"}),
        ("outcome", {"outcome": None}),
        ("attempt", {"attempt": 0}),
        ("attempt", {"attempt": "one"}),
        ("attempt", {"attempt": 10**30}),
        ("reason", {"reason": "x" * 2001}),
        ("verdict", {"verdict": "pass"}),
    ]
    for loc, fields in bad:
        problem(call_back(api, run, {**good, **fields}), 422, loc)
    problem(call_back(api, run, {**good, "attempt": 2}), 409)
    assert api.viewer.get(f"{PATH}/{run['id']}").json()["status"] == "queued"
    assert call_back(api, run, good).status_code == 200


def test_of_two_different_callbacks_at_once_one_counts(api: Api) -> None:
    run = external(api, devices=1)
    bodies = [result(run, outcome) for outcome in ("pass", "fail", "error", "timeout")]
    barrier = threading.Barrier(4)

    def call(body: dict[str, Any]) -> int:
        barrier.wait()
        return call_back(api, run, body).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(call, bodies))

    assert sorted(statuses) == [200, 409, 409, 409]
    shown = api.viewer.get(f"{PATH}/{run['id']}").json()
    assert shown["outcome"] == bodies[statuses.index(200)]["outcome"]


def test_a_heartbeat_shows_progress_and_hears_of_cancelling(api: Api) -> None:
    run = external(api)
    path, runner = f"{PATH}/{run['id']}", api.client(run["token"])

    beat = runner.post(f"{path}/heartbeat", json={"attempt": 1, "progress": 1, "message": "half"})
    shown = api.viewer.get(path).json()
    for loc, body in [
        ("progress", {"attempt": 1, "progress": 1.5}),
        ("progress", {"attempt": 1, "progress": "half"}),
        ("message", {"attempt": 1, "message": "x" * 501}),
        ("message", {"attempt": 1, "message": "\x07"}),
        ("attempt", {}),
        ("attempt", {"attempt": 10**30}),
    ]:
        problem(runner.post(f"{path}/heartbeat", json=body), 422, loc)
    problem(runner.post(f"{path}/heartbeat", json={"attempt": 2}), 409)
    api.engineer.post(f"{path}/cancel")
    last = runner.post(f"{path}/heartbeat", json={"attempt": 1})

    assert (beat.status_code, beat.json()) == (200, {"cancel": False})
    assert (shown["status"], shown["message"]) == ("running", "half")
    assert 0 < shown["progress"] < 1
    assert last.json() == {"cancel": True}
    problem(call_back(api, run, result(run, "pass", "pass")), 409)


def test_a_stale_attempts_token_ends_nothing(api: Api) -> None:
    run = external(api)
    with db.transaction() as tx:
        tx.session.get_one(Run, uuid.UUID(run["id"])).attempt = 2
    fresh = tokens.issue(uuid.UUID(run["id"]), 2)

    problem(call_back(api, run, result(run, "pass", "pass")), 409)
    problem(call_back(api, run, result(run, "pass", "pass", attempt=2)), 409)
    problem(call_back(api, run, result(run, "pass", "pass"), fresh), 409)
    heartbeat = {"attempt": 1}
    problem(api.client(run["token"]).post(f"{PATH}/{run['id']}/heartbeat", json=heartbeat), 409)
    ended = call_back(api, run, result(run, "pass", "pass", attempt=2), fresh)

    assert (ended.status_code, ended.json()["attempt"]) == (200, 2)
