"""Environments over REST, as an outsider tries them."""

from typing import Any

from testbench.domain.ids import new_id
from tests.callers import Api, problem
from tests.services import Env

PATH = "/api/environments"


def test_an_environment_is_made_read_changed_and_deleted(api: Api) -> None:
    body = {
        "name": "cold",
        "description": "line\nline",
        "variables": {"max temp": 30, "note": "x", "grösse-1": -1.5e300},
        "tags": ["a", "a"],
    }
    made = api.made(PATH, body)
    path = f"{PATH}/{made['id']}"

    changed = api.engineer.put(path, json={**made, "variables": {}})
    read = api.viewer.get(path).json()

    assert made["variables"] == body["variables"]
    assert (made["runner"], made["tags"]) == ("builtin", ["a"])
    assert changed.status_code == 200
    assert read == {**made, "variables": {}}
    assert [e["id"] for e in api.viewer.get(PATH).json()["items"]] == [made["id"]]
    assert api.engineer.delete(path).status_code == 204
    problem(api.viewer.get(path), 404)


def test_what_does_not_fit_is_refused_by_field(api: Api) -> None:
    existing = api.made(PATH, {"name": "one"})
    bad: list[tuple[str, dict[str, Any]]] = [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\tb"}),
        ("name", {"name": None}),
        ("description", {"description": "x" * 10_001}),
        ("description", {"description": "\x07"}),
        ("variables", {"variables": {"a": True}}),
        ("variables", {"variables": {"a": None}}),
        ("variables", {"variables": {"a": [1]}}),
        ("variables", {"variables": {"": 1}}),
        ("variables", {"variables": {"{{a}}": 1}}),
        ("variables", {"variables": {"x" * 201: 1}}),
        ("variables", {"variables": {"a": 10**400}}),
        ("variables", {"variables": {"a": "x" * 1001}}),
        ("variables", {"variables": {f"v{i}": 1 for i in range(201)}}),
        ("variables", {"variables": [["a", 1]]}),
        ("tags.0", {"tags": [""]}),
        ("runner", {"runner": "elsewhere"}),
        ("runner", {"runner": "external"}),  # there is no RabbitMQ
    ]
    for loc, fields in bad:
        problem(api.engineer.post(PATH, json={"name": "x", **fields}), 422, loc)
        body = {"name": "one", **fields}
        problem(api.engineer.put(f"{PATH}/{existing['id']}", json=body), 422, loc)
    assert api.made(PATH, {"name": "x" * 200})["name"] == "x" * 200
    assert api.viewer.get(f"{PATH}/{existing['id']}").json() == existing


def test_an_external_runner_is_for_a_bench_with_rabbitmq(api: Api, bench_env: Env) -> None:
    bench_env.set(RABBITMQ_URL="amqp://127.0.0.1:1/")

    assert api.made(PATH, {"name": "elsewhere", "runner": "external"})["runner"] == "external"


def test_names_are_taken_once(api: Api) -> None:
    api.made(PATH, {"name": "one"})
    two = api.made(PATH, {"name": "two"})

    problem(api.engineer.post(PATH, json={"name": "one"}), 409, "name")
    problem(api.engineer.put(f"{PATH}/{two['id']}", json={"name": "one"}), 409, "name")


def test_unknown_environments_and_people_without_the_right_are_refused(api: Api) -> None:
    existing = f"{PATH}/{api.made(PATH, {'name': 'one'})['id']}"
    for unknown in (new_id(), "nothing", "%00"):
        path = f"{PATH}/{unknown}"
        problem(api.viewer.get(path), 404)
        problem(api.engineer.put(path, json={"name": "x"}), 404)
        problem(api.engineer.delete(path), 404)
    for method, path in [("POST", PATH), ("PUT", existing), ("DELETE", existing)]:
        problem(api.viewer.request(method, path, content=b"{"), 403)
        problem(api.nobody.request(method, path, content=b"{"), 401)


def test_an_environment_in_use_stays_and_an_ended_run_keeps_its_copy(api: Api) -> None:
    made = api.made(PATH, {"name": "one", "variables": {"max": 30}})
    run = api.run(environment_id=made["id"])
    path = f"{PATH}/{made['id']}"

    api.engineer.put(path, json={"name": "other", "variables": {"max": 1}})
    problem(api.engineer.delete(path), 409)
    api.engineer.post(f"/api/test-runs/{run['id']}/cancel")

    assert api.engineer.delete(path).status_code == 204
    kept = api.viewer.get(f"/api/test-runs/{run['id']}").json()["environment"]
    assert (kept["name"], kept["variables"]) == ("one", {"max": 30})
