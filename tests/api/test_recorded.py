"""Recordings replayed through the doors and judged over REST, against what pandas computes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from tests.services import ROOT, Bench, wait_until

DATA = ROOT / "tests/data/telemetry"
NAMES = ("ambient_temperature", "daily_jumpsup", "flatline")


@pytest.fixture(scope="module")
def http(app_server: Bench) -> Iterator[httpx.Client]:
    """The administrator, over REST."""
    with httpx.Client(base_url=app_server.url, timeout=30) as client:
        login = {"username": "admin", "password": app_server.admin_password}
        token = client.post("/api/auth/login", json=login).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module", params=NAMES)
def recording(
    request: pytest.FixtureRequest, app_server: Bench, http: httpx.Client
) -> tuple[str, "pd.Series[float]"]:
    """A device that sent the whole recording over MQTT, and the recording as pandas reads it."""
    path = DATA / f"{request.param}.csv"
    name = f"replay-{request.param}"
    replay(app_server, path, name)
    found = http.get("/api/devices", params={"q": name}).json()["items"]
    table = pd.read_csv(path, parse_dates=["timestamp"])
    series = table.set_index(table["timestamp"].dt.tz_localize("UTC"))["value"]
    device_id = str(found[0]["id"])
    wait_until(lambda: len(points(http, device_id, series)) == len(series), 60)
    return device_id, series


def replay(bench: Bench, path: Path, name: str) -> None:
    """As an operator of another machine does it, who knows the bench's address and a password."""
    assert bench.servers
    where = ("--url", bench.url, "--mqtt-url", bench.servers.url("mqtt"))
    what = ("--devices", "1", "--rate", "0", "--name", name, "--replay", str(path))
    env = {**os.environ, "ADMIN_PASSWORD": bench.admin_password}
    command = (sys.executable, "-m", "testbench", "simulate", *where, *what)
    said = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stderr


def points(http: httpx.Client, device_id: str, series: "pd.Series[float]") -> list[Any]:
    query = {
        "metric": "value",
        "start": series.index[0].isoformat(),
        "end": series.index[-1].isoformat(),
        "max_points": 100_000,
    }
    answer = http.get(f"/api/devices/{device_id}/telemetry", params=query).raise_for_status()
    found = answer.json()["series"]
    return found[0]["points"] if found else []


def judged(
    http: httpx.Client, device_id: str, series: "pd.Series[float]", **criterion: object
) -> dict[str, Any]:
    """The one verdict over the whole recording."""
    body = {
        "name": f"recorded {pd.Timestamp.now().value}",
        "duration_s": 1,
        "criteria": [{"name": "c", "metric": "value", **criterion}],
    }
    case = http.post("/api/test-cases", json=body).raise_for_status().json()
    window = {
        "device_id": device_id,
        "start": series.index[0].isoformat(),
        "end": series.index[-1].isoformat(),
    }
    answer = http.post(f"/api/test-cases/{case['id']}/evaluate", json=window).raise_for_status()
    return answer.json()["criteria"][0]


def test_what_was_replayed_is_stored_whole(
    recording: tuple[str, "pd.Series[float]"], http: httpx.Client
) -> None:
    device_id, series = recording

    stored = points(http, device_id, series)

    assert [value for _, value in stored] == list(series)
    assert [pd.Timestamp(at) for at, _ in stored] == list(series.index)


def test_every_kind_judges_the_stored_recording_as_pandas_would(
    recording: tuple[str, "pd.Series[float]"], http: httpx.Client
) -> None:
    device_id, series = recording
    steps = series.diff().dropna()
    seconds = series.index.to_series().diff().dt.total_seconds().dropna()
    middle = float(series.median())

    def judge(**criterion: object) -> dict[str, Any]:
        return judged(http, device_id, series, **criterion)

    within = judge(kind="range", low=middle - 5, high=middle + 5)
    assert within["violations"] == int((~series.between(middle - 5, middle + 5)).sum())
    assert within["verdict"] == ("fail" if within["violations"] else "pass")
    for statistic, expected in (
        ("mean", series.mean()),
        ("stddev", series.std()),
        ("p95", series.quantile(0.95)),
        ("count", len(series)),
    ):
        found = judge(kind="aggregate", statistic=statistic, high=1e9)
        assert found["measured"] == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
    resets = series.iloc[1:].where(steps < 0)
    increase = float(steps.where(steps >= 0, resets).sum())
    assert judge(kind="increase", low=0)["measured"] == pytest.approx(increase, rel=1e-9, abs=1e-6)
    slope = float((steps.abs() / seconds).max())
    assert judge(kind="rate_of_change", max_per_s=1e9)["measured"] == pytest.approx(slope)
    gap = float(seconds.max())
    assert judge(kind="coverage", max_gap_s=gap)["verdict"] == "pass"
    assert judge(kind="coverage", max_gap_s=gap - 0.5)["verdict"] == "fail"
    flat = judge(kind="equals", value=float(series.iloc[0]))
    assert flat["violations"] == int((series != series.iloc[0]).sum())
    itself = judge(kind="ratio", other_metric="value", low=1, high=1)
    assert (itself["verdict"], itself["samples"]) == ("pass", len(series))
    wide = {"low": float(series.min()), "high": float(series.max())}
    assert judge(kind="settle", **wide, within_s=60)["verdict"] == "pass"


def test_a_level_shift_is_found_at_its_reading(http: httpx.Client, app_server: Bench) -> None:
    replay(app_server, DATA / "daily_jumpsup.csv", "replay-shift")
    table = pd.read_csv(DATA / "daily_jumpsup.csv", parse_dates=["timestamp"])
    series = table.set_index(table["timestamp"].dt.tz_localize("UTC"))["value"]
    device_id = http.get("/api/devices", params={"q": "replay-shift"}).json()["items"][0]["id"]
    wait_until(lambda: len(points(http, device_id, series)) == len(series), 60)
    before = series[series.index < series.index[0] + timedelta(days=9)]

    verdict = judged(http, device_id, series, kind="range", high=float(before.max()))

    over = series[series > before.max()]
    assert verdict["verdict"] == "fail"
    assert verdict["violations"] == len(over)
    assert pd.Timestamp(verdict["first_violation"]["at"]) == over.index[0]
    assert verdict["first_violation"]["value"] == over.iloc[0]
