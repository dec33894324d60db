"""Test cases over REST: what is refused and by which path, revisions, trying on stored data."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from testbench.domain.ids import new_id
from tests import made_runs
from tests.callers import LIMITS, Api, problem

PATH = "/api/test-cases"
BODY: dict[str, Any] = {"name": "case", "duration_s": 1.5, "criteria": [LIMITS]}


def criterion(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "name": kind, "metric": "m", **fields}


KINDS = [
    criterion("range", low=0, high=1, max_violations=1, max_violation_s=2, unit="V"),
    criterion("aggregate", statistic="p95", high=1),
    criterion("increase", low=1),
    criterion("rate_of_change", max_per_s=1),
    criterion("settle", low=1, high=2, within_s=3, hold_s=1),
    criterion("coverage", min_samples=3, max_gap_s=2),
    criterion("equals", value="on"),
    criterion("ratio", other_metric="n", high=2),
]


def test_a_test_case_of_every_kind_is_made_and_read_back(api: Api) -> None:
    made = api.made(PATH, {**BODY, "criteria": KINDS, "description": "a\nb"})

    assert made["revision"] == 1
    assert (made["warmup_s"], made["grace_s"], made["stop_on_fail"]) == (0, 5, False)
    for sent, kept in zip(KINDS, made["criteria"], strict=True):
        assert sent.items() <= kept.items()
        assert (kept["severity"], kept["on_missing"]) == ("required", "error")
    assert api.viewer.get(f"{PATH}/{made['id']}").json() == made
    assert api.viewer.get(PATH).json() == {"items": [made], "next_cursor": None}


def test_what_does_not_fit_is_refused_by_its_path(api: Api) -> None:
    existing = api.made(PATH, BODY)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\x00b"}),
        ("name", {"name": "a\x1bb"}),
        ("name", {"name": None}),
        ("duration_s", {"duration_s": 0}),
        ("duration_s", {"duration_s": -1}),
        ("duration_s", {"duration_s": 0.0001}),
        ("duration_s", {"duration_s": "10"}),
        ("duration_s", {"duration_s": True}),
        ("duration_s", {"duration_s": None}),
        ("duration_s", {"duration_s": 1e300}),
        ("duration_s", {"duration_s": 10**400}),
        ("warmup_s", {"warmup_s": -1}),
        ("grace_s", {"grace_s": -0.5}),
        ("timeout_s", {"timeout_s": 0}),
        ("sample_interval_s", {"sample_interval_s": 0}),
        ("stop_on_fail", {"stop_on_fail": "yes"}),
        ("required_tags.0", {"required_tags": [""]}),
        ("setup.0", {"setup": [{"kind": "explode"}]}),
        ("setup.0.preset_id", {"setup": [{"kind": "apply_preset", "preset_id": "quiet"}]}),
        ("setup.0.timeout_s", {"setup": [{"kind": "wait_online", "timeout_s": -1}]}),
        ("teardown", {"teardown": "burn"}),
        ("criteria", {"criteria": []}),
        ("criteria", {"criteria": None}),
        ("criteria", {"criteria": [{**LIMITS, "severity": "warning"}]}),
        ("criteria", {"criteria": [LIMITS, LIMITS]}),
        ("criteria", {"criteria": [{**LIMITS, "name": f"n{i}"} for i in range(201)]}),
        ("criteria.0", {"criteria": [{**LIMITS, "kind": "magic"}]}),
        ("criteria.0", {"criteria": [{"name": "x", "metric": "m"}]}),
        ("criteria.0", {"criteria": ["range"]}),
        ("criteria.0.name", {"criteria": [{**LIMITS, "name": ""}]}),
        ("criteria.0.name", {"criteria": [{**LIMITS, "name": "x" * 201}]}),
        ("criteria.0.metric", {"criteria": [{**LIMITS, "metric": "x" * 101}]}),
        ("criteria.0.metric", {"criteria": [{**LIMITS, "metric": "a\nb"}]}),
        ("criteria.0.metric", {"criteria": [{k: v for k, v in LIMITS.items() if k != "metric"}]}),
        ("criteria.0.high", {"criteria": [criterion("range")]}),
        ("criteria.0.high", {"criteria": [criterion("range", low=2, high=1)]}),
        ("criteria.0.low", {"criteria": [criterion("range", low="2")]}),
        ("criteria.0.low", {"criteria": [criterion("range", low=10**400)]}),
        ("criteria.0.low", {"criteria": [criterion("range", low="{{}}")]}),
        ("criteria.0.max_violations", {"criteria": [{**LIMITS, "max_violations": -1}]}),
        ("criteria.0.marginal_fraction", {"criteria": [{**LIMITS, "marginal_fraction": 2}]}),
        ("criteria.0.on_missing", {"criteria": [{**LIMITS, "on_missing": "shrug"}]}),
        ("criteria.0.severity", {"criteria": [{**LIMITS, "severity": "fatal"}]}),
        ("criteria.0.hihg", {"criteria": [{**LIMITS, "hihg": 1}]}),
        ("criteria.1.statistic", {"criteria": [LIMITS, criterion("aggregate", high=1)]}),
        ("criteria.0.high", {"criteria": [criterion("aggregate", statistic="mean")]}),
        ("criteria.0.max_per_s", {"criteria": [criterion("rate_of_change", max_per_s=-1)]}),
        ("criteria.0.within_s", {"criteria": [criterion("settle", low=1, within_s=0)]}),
        ("criteria.0.value", {"criteria": [criterion("equals")]}),
        ("criteria.0.other_metric", {"criteria": [criterion("ratio", high=1)]}),
    ]
    for loc, fields in bad:
        problem(api.engineer.post(PATH, json={**BODY, "name": "x", **fields}), 422, loc)
        problem(api.engineer.put(f"{PATH}/{existing['id']}", json={**BODY, **fields}), 422, loc)
    problem(api.engineer.post(PATH, json={**BODY, "criteria": [criterion("coverage")]}), 422)
    assert api.viewer.get(f"{PATH}/{existing['id']}").json() == existing


def test_every_wrong_field_is_named_at_once(api: Api) -> None:
    body = {"name": "", "duration_s": 0, "criteria": [{**LIMITS, "metric": ""}]}

    refused = problem(api.engineer.post(PATH, json=body), 422)

    assert {e["loc"] for e in refused["errors"]} == {"name", "duration_s", "criteria.0.metric"}


def test_a_put_makes_a_revision_and_the_old_ones_stay(api: Api) -> None:
    made = api.made(PATH, BODY)
    path = f"{PATH}/{made['id']}"

    second = api.engineer.put(path, json={**made, "duration_s": 2})
    third = api.engineer.put(path, json={**BODY, "name": "renamed"})
    revisions = api.viewer.get(f"{path}/revisions").json()

    assert [second.json()["revision"], third.json()["revision"]] == [2, 3]
    assert [r["revision"] for r in revisions] == [3, 2, 1]
    assert [r["duration_s"] for r in revisions] == [1.5, 2, 1.5]
    assert api.viewer.get(path).json()["name"] == "renamed"


def test_names_are_taken_once(api: Api) -> None:
    api.made(PATH, BODY)
    other = api.made(PATH, {**BODY, "name": "other"})

    problem(api.engineer.post(PATH, json=BODY), 409, "name")
    problem(api.engineer.put(f"{PATH}/{other['id']}", json=BODY), 409, "name")
    assert api.viewer.get(f"{PATH}/{other['id']}").json()["revision"] == 1


def test_unknown_ones_and_people_without_the_right_are_refused(api: Api) -> None:
    existing = f"{PATH}/{api.made(PATH, BODY)['id']}"
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    for unknown in (new_id(), "nothing", "%00"):
        path = f"{PATH}/{unknown}"
        problem(api.viewer.get(path), 404)
        problem(api.viewer.get(f"{path}/revisions"), 404)
        problem(api.engineer.put(path, json=BODY), 404)
        problem(api.engineer.delete(path), 404)
        body = {"device_id": str(new_id()), **window}
        problem(api.engineer.post(f"{path}/evaluate", json=body), 404)
    for method, path in [("POST", PATH), ("PUT", existing), ("DELETE", existing)]:
        problem(api.viewer.request(method, path, content=b"{"), 403)
        problem(api.nobody.request(method, path, content=b"{"), 401)


def test_a_test_case_in_use_stays_and_an_ended_run_keeps_its_copy(api: Api) -> None:
    made = api.case()
    run = api.run(test_case_id=made["id"])
    path = f"{PATH}/{made['id']}"

    api.engineer.put(path, json={**made, "name": "changed", "duration_s": 9})
    problem(api.engineer.delete(path), 409)
    api.engineer.post(f"/api/test-runs/{run['id']}/cancel")

    assert api.engineer.delete(path).status_code == 204
    problem(api.viewer.get(path), 404)
    assert api.viewer.get(f"/api/test-runs/{run['id']}").json()["test_case"] == made


def stored(device_id: str, values: list[Any]) -> tuple[datetime, datetime]:
    """The window the values were spread over."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    end = start + timedelta(seconds=10)
    made_runs.store({uuid.UUID(device_id): {"temp": values}}, start, end)
    return start, end


def test_a_case_is_tried_on_stored_readings(api: Api) -> None:
    device = api.device()
    start, end = stored(device["id"], [20, 25, 31, 20])
    limit = {**LIMITS, "high": "{{max}}"}
    path = f"{PATH}/{api.case(limit)['id']}/evaluate"
    hot, cold = (
        api.made("/api/environments", {"name": name, "variables": {"max": high}})
        for name, high in (("hot", 40), ("cold", 30))
    )
    body = {"device_id": device["id"], "start": start.isoformat(), "end": end.isoformat()}

    def tried(**fields: Any) -> dict[str, Any]:
        answer = api.viewer.post(path, json={**body, **fields})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    assert tried(environment_id=hot["id"])["outcome"] == "pass"
    failed = tried(environment_id=cold["id"])
    assert failed["outcome"] == "fail"
    assert failed["criteria"][0]["first_violation"]["value"] == 31
    assert (failed["criteria"][0]["samples"], failed["criteria"][0]["violations"]) == (4, 1)
    other_zone = end.astimezone().isoformat()
    assert tried(environment_id=cold["id"], end=other_zone) == failed
    nothing = tried(environment_id=hot["id"], end=(start - timedelta(hours=1)).isoformat(),
                    start=(start - timedelta(hours=2)).isoformat())  # fmt: skip
    assert (nothing["outcome"], nothing["criteria"][0]["samples"]) == ("error", 0)


def test_what_cannot_be_tried_is_refused_by_field(api: Api) -> None:
    device = api.device()
    text = api.made("/api/environments", {"name": "t", "variables": {"max": "warm"}})
    low = api.made("/api/environments", {"name": "l", "variables": {"max": -1}})
    path = f"{PATH}/{api.case({**LIMITS, 'low': 0, 'high': '{{max}}'})['id']}/evaluate"
    good = {
        "device_id": device["id"],
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-01T00:01:00Z",
    }
    bad: list[tuple[int, str | None, dict[str, Any]]] = [
        (422, "criteria.0.high", {}),
        (422, "criteria.0.high", {"environment_id": text["id"]}),
        (422, "criteria.0.high", {"environment_id": low["id"]}),
        (422, "start", {"start": "2026-01-01T00:00:00"}),
        (422, "end", {"end": "2026-01-01T00:01:00"}),
        (422, "start", {"start": "yesterday"}),
        (422, "start", {"start": None}),
        (422, "start", {"start": "2026-13-01T00:00:00Z"}),
        (422, "end", {"end": "2025-01-01T00:00:00Z"}),
        (422, "end", {"end": good["start"]}),
        (422, "end", {"end": "9999-12-31T23:59:59.999Z"}),
        (422, "device_id", {"device_id": 7}),
        (422, "step", {"step": 1}),
        (404, None, {"device_id": str(new_id())}),
        (404, None, {"device_id": "nothing"}),
        (404, None, {"device_id": ""}),
        (404, None, {"environment_id": str(new_id())}),
        (404, None, {"environment_id": ""}),
    ]
    for status, loc, fields in bad:
        problem(api.viewer.post(path, json={**good, **fields}), status, loc)
    problem(api.nobody.post(path, json=good), 401)


def test_windows_where_no_reading_can_be_are_refused(api: Api) -> None:
    device = api.device()
    path = f"{PATH}/{api.case()['id']}/evaluate"
    for start, end, loc in [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z", "start"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:01+23:59", "start"),
        ("1999-12-31T23:59:59.999Z", "2000-01-01T00:00:01Z", "start"),
        ("9999-12-31T23:59:58Z", "9999-12-31T23:59:59.999Z", "end"),
        ("9999-12-31T23:59:58-23:59", "9999-12-31T23:59:59-23:59", "end"),
        ("2015-12-31T23:59:59Z", "2026-12-30T23:59:59Z", "end"),
    ]:
        body = {"device_id": device["id"], "start": start, "end": end}
        problem(api.viewer.post(path, json=body), 422, loc)


def test_numbers_at_the_ends_of_a_double_are_judged_not_broken(api: Api) -> None:
    device = api.device()
    start, end = stored(device["id"], [1.7e308, 1.7e308, -1.7e308, 5e-324, 0])
    kinds = [
        criterion("aggregate", statistic=statistic, high=1, metric="temp") | {"name": statistic}
        for statistic in ("sum", "mean", "stddev", "time_weighted_mean", "p95", "median")
    ]
    kinds.append(criterion("increase", high=1, metric="temp"))
    kinds.append(criterion("rate_of_change", max_per_s=1, metric="temp"))
    kinds.append(criterion("ratio", other_metric="temp", high=1, metric="temp"))
    path = f"{PATH}/{api.case(*kinds)['id']}/evaluate"
    body = {"device_id": device["id"], "start": start.isoformat(), "end": end.isoformat()}

    answer = api.viewer.post(path, json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] in ("fail", "error")
