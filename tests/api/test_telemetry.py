"""Readings over HTTP: in with a device's credential, out for people."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.callers import Api, problem

NOW = int(time.time() * 1000)


@pytest.fixture
def device(api: Api) -> dict[str, Any]:
    return api.device(online=False)


@pytest.fixture
def sender(api: Api, device: dict[str, Any]) -> TestClient:
    return api.client(device["token"])


def series(api: Api, device: dict[str, Any], **query: Any) -> dict[str, list[list[Any]]]:
    answer = api.viewer.get(f"/api/devices/{device['id']}/telemetry", params=query)
    assert answer.status_code == 200, answer.text
    return {found["metric"]: found["points"] for found in answer.json()["series"]}


def test_accepted_and_duplicates_are_told_apart(sender: TestClient) -> None:
    body = {"ts": NOW, "values": {"temp": 21.5, "on": True}}

    first = sender.post("/api/telemetry", json=body)
    again = sender.post("/api/telemetry", json=body)
    other = sender.post("/api/telemetry", json={"ts": NOW, "values": {"temp": 22, "on": True}})

    assert (first.status_code, first.json()) == (200, {"accepted": 2, "duplicates": 0})
    assert again.json() == {"accepted": 0, "duplicates": 2}
    assert other.json() == {"accepted": 1, "duplicates": 1}


def test_thingsboard_clients_have_the_credential_in_the_path(
    api: Api, device: dict[str, Any]
) -> None:
    answer = api.nobody.post(f"/api/v1/{device['token']}/telemetry", json=[{"a": 1}, {"b": 2}])

    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)


def test_after_a_200_the_next_read_sees_readings_presence_and_latest(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    sender.post("/api/telemetry", json={"ts": NOW, "values": {"temp": 21.5, "mode": "eco"}})

    shown = api.viewer.get(f"/api/devices/{device['id']}").json()
    assert shown["online"] is True
    assert shown["latest"]["temp"]["value"] == 21.5
    points = series(api, device)
    assert points.keys() == {"temp", "mode"}
    [[at, value]] = points["temp"]
    assert value == 21.5
    assert datetime.fromisoformat(at) == datetime.fromtimestamp(NOW / 1000, UTC)
    assert at.endswith("Z")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"temp": NaN}', "temp"),
        (b'{"ts": 1, "values": {"temp": 1}}', "ts"),
        (b'{"ts": 1767225600000, "values": {"a": {}}}', "values.a"),
        (b'[{"a": 1}, {"b": [1]}]', "1.b"),
        (b'{"a": "\xff"}', ""),
        (b"[" * 40 + b"]" * 40, "0"),
        (b"", ""),
        (b"{", ""),
    ],
)
def test_a_bad_message_is_400_by_path_and_kept(
    api: Api, device: dict[str, Any], sender: TestClient, body: bytes, loc: str
) -> None:
    problem(sender.post("/api/telemetry", content=body), 400, loc)

    assert series(api, device) == {}
    kept = api.viewer.get(f"/api/devices/{device['id']}/validation-errors").json()["items"]
    assert [entry["errors"][0]["loc"] for entry in kept] == [loc]


def test_a_body_over_1_mib_is_413_and_kept(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    problem(sender.post("/api/telemetry", content=b" " * (10 << 20)), 413)

    kept = api.viewer.get(f"/api/devices/{device['id']}/validation-errors").json()["items"]
    assert len(kept) == 1


@pytest.mark.parametrize(
    "header", [None, "Bearer nonsense", "Basic YTpi", "Bearer ", "Bearer \xe9"]
)
def test_without_a_credential_it_is_401_before_the_body_is_looked_at(
    api: Api, header: str | None
) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}

    problem(api.nobody.post("/api/telemetry", content=b"{", headers=headers), 401)


def test_a_persons_token_sends_no_readings_and_a_devices_token_reads_nothing(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    problem(api.engineer.post("/api/telemetry", json={"a": 1}), 401)
    problem(sender.get(f"/api/devices/{device['id']}"), 401)


def test_a_removed_devices_credential_is_dead(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    assert api.engineer.delete(f"/api/devices/{device['id']}").status_code == 204

    problem(sender.post("/api/telemetry", json={"a": 1}), 401)


def test_a_credential_that_was_just_used_dies_with_its_device(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    assert sender.post("/api/telemetry", json={"a": 1}).status_code == 200
    assert api.engineer.delete(f"/api/devices/{device['id']}").status_code == 204

    problem(sender.post("/api/telemetry", json={"a": 1}), 401)


def test_max_points_thins_to_extremes_and_below_it_all_come_back(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    rows = [{"ts": NOW - i, "values": {"a": i % 97}} for i in range(900)]
    assert sender.post("/api/telemetry", json=rows).json()["accepted"] == 900

    assert len(series(api, device, max_points=900)["a"]) == 900
    thin = series(api, device)["a"]
    assert 250 <= len(thin) <= 500
    assert {0, 96} <= {value for _, value in thin}


def test_readings_are_filtered_by_metric_and_window(
    api: Api, device: dict[str, Any], sender: TestClient
) -> None:
    rows = [{"ts": NOW - 1000 * i, "values": {"a": i, "b": i}} for i in range(5)]
    sender.post("/api/telemetry", json=rows)
    moments = [datetime.fromtimestamp(NOW / 1000 - i, UTC).isoformat() for i in (3, 1)]

    found = series(api, device, metric="a", start=moments[0], end=moments[1])

    assert {m: [value for _, value in points] for m, points in found.items()} == {"a": [3, 2, 1]}


@pytest.mark.parametrize(
    "query",
    [
        {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        {"start": "yesterday"},
        {"start": "2026-01-02T00:00:00"},
        {"max_points": 0},
        {"max_points": 10**9},
        {"metric": "x" * 101},
        {"metric": "a\nb"},
    ],
)
def test_a_read_that_makes_no_sense_is_422(
    api: Api, device: dict[str, Any], query: dict[str, Any]
) -> None:
    problem(api.viewer.get(f"/api/devices/{device['id']}/telemetry", params=query), 422)


def test_windows_beyond_all_time_are_empty_not_errors(api: Api, device: dict[str, Any]) -> None:
    for start, end in [
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("9999-01-01T00:00:00Z",) * 2,
    ]:
        assert series(api, device, start=start, end=end, metric="a") == {"a": []}


def test_unknown_devices_are_404(api: Api) -> None:
    for id in (uuid.uuid4(), "nonsense"):
        problem(api.viewer.get(f"/api/devices/{id}/telemetry"), 404)
        problem(api.viewer.get(f"/api/devices/{id}/validation-errors"), 404)
