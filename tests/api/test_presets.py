"""Presets over REST: CRUD, write-only secrets, refusals."""

from typing import Any

import pytest

from tests.callers import Api, problem

SECRET = "never-shown-4711"
BODY: dict[str, Any] = {
    "name": "cool and quiet",
    "description": "for the office",
    "configuration": {"frequency": 450, "stratumPassword": SECRET, "futureKnob": [1]},
}


def test_a_preset_is_made_read_changed_and_deleted(api: Api) -> None:
    made = api.made("/api/presets", BODY)
    path = f"/api/presets/{made['id']}"

    assert made["configuration"] == {"frequency": 450, "futureKnob": [1]}
    assert made["secrets"] == ["stratumPassword"]
    assert api.viewer.get(path).json() == made
    assert api.viewer.get("/api/presets").json() == {"items": [made], "next_cursor": None}
    patched = api.engineer.patch(path, json={"configuration": {"frequency": 460}})
    assert patched.status_code == 200
    assert patched.json()["configuration"] == {"frequency": 460, "futureKnob": [1]}
    put = api.engineer.put(path, json={"name": "other", "configuration": {"coreVoltage": 1100}})
    assert put.status_code == 200
    assert (put.json()["name"], put.json()["description"]) == ("other", "")
    assert put.json()["configuration"] == {"coreVoltage": 1100}
    assert put.json()["secrets"] == ["stratumPassword"]
    assert api.engineer.delete(path).status_code == 204
    problem(api.viewer.get(path), 404)


def test_no_answer_ever_holds_a_secret(api: Api) -> None:
    made = api.engineer.post("/api/presets", json=BODY)
    path = f"/api/presets/{made.json()['id']}"
    answers = [
        made,
        api.engineer.get(path),
        api.engineer.get("/api/presets"),
        api.engineer.put(path, json=BODY),
        api.engineer.patch(path, json={"configuration": {"wifiPass": SECRET, "frequency": "x"}}),
        api.engineer.post("/api/presets", json=BODY),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 422, 409]
    for answer in answers:
        assert SECRET not in answer.text
        assert "sealed" not in answer.text


def test_a_secret_is_removed_by_null(api: Api) -> None:
    made = api.made("/api/presets", BODY)

    gone = api.engineer.patch(
        f"/api/presets/{made['id']}", json={"configuration": {"stratumPassword": None}}
    )

    assert gone.json()["secrets"] == []


def test_viewers_only_read(api: Api) -> None:
    made = api.made("/api/presets", BODY)
    path = f"/api/presets/{made['id']}"

    problem(api.viewer.post("/api/presets", json=BODY), 403)
    problem(api.viewer.put(path, json=BODY), 403)
    problem(api.viewer.patch(path, json={}), 403)
    problem(api.viewer.delete(path), 403)
    problem(api.nobody.get("/api/presets"), 401)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"configuration": {}}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "configuration": []}, "configuration"),
        ({"name": "x", "configuration": {"temptarget": 90}}, "configuration.temptarget"),
        ({"name": "x", "configuration": {"hostname": 5}}, "configuration.hostname"),
        ({"name": "x", "configuration": {"k" * 101: 1}}, f"configuration.{'k' * 100}"),
        (
            {"name": "x", "configuration": {"pools": [{"port": "a"}]}},
            "configuration.pools.0.port",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(api: Api, body: Any, loc: str) -> None:
    problem(api.engineer.post("/api/presets", json=body), 422, loc)


def test_names_are_unique_and_unknown_ids_are_not_found(api: Api) -> None:
    api.made("/api/presets", BODY)

    problem(api.engineer.post("/api/presets", json=BODY), 409, "name")
    for unknown in ("nonsense", "01890000-0000-7000-8000-000000000000"):
        problem(api.engineer.get(f"/api/presets/{unknown}"), 404)
        problem(api.engineer.patch(f"/api/presets/{unknown}", json={}), 404)
        problem(api.engineer.put(f"/api/presets/{unknown}", json=BODY), 404)
        problem(api.engineer.delete(f"/api/presets/{unknown}"), 404)


def test_a_preset_of_a_test_cases_setup_stays_and_says_whose(api: Api) -> None:
    made = api.made("/api/presets", BODY)
    case = api.case(setup=[{"kind": "apply_preset", "preset_id": made["id"]}])

    refused = problem(api.engineer.delete(f"/api/presets/{made['id']}"), 409)

    assert case["name"] in refused["detail"]
