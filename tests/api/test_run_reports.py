"""Reports, comparisons and the dashboard over HTTP."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from testbench.adapters import db
from testbench.api.app import create_app
from testbench.domain.identity import BENCH
from testbench.services import identity, users
from testbench.services.users import NewUser
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")
PASSWORD = "correct horse battery"


@pytest.fixture
def client(bench_env: object) -> Iterator[TestClient]:
    """A viewer, logged in by bearer token."""
    new = NewUser(username="viewer", password=PASSWORD, role="viewer")
    db.run(lambda tx: users.create(tx, BENCH, new), attempt_s=4)
    token = identity.login("viewer", PASSWORD, "192.0.2.1").token
    with TestClient(create_app(), headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def run_id(bench_env: object) -> str:
    """A run that passed."""
    device = made_runs.online_device()
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [25.0]}})
    return str(run.id)


@pytest.mark.parametrize(
    ("format", "media_type", "suffix"),
    [
        ("json", "application/json", ".json"),
        ("csv", "text/csv", ".csv"),
        ("junit", "application/xml", ".xml"),
        ("html", "text/html", ".html"),
    ],
)
def test_a_report_comes_as_a_file_of_its_kind(
    client: TestClient, run_id: str, format: str, media_type: str, suffix: str
) -> None:
    answer = client.get(f"/api/test-runs/{run_id}/report", params={"format": format})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert f'{suffix}"' in answer.headers["content-disposition"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_unknown_format_is_refused_by_name(client: TestClient, run_id: str) -> None:
    answer = client.get(f"/api/test-runs/{run_id}/report?format=pdf")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == "format"


def test_reports_need_a_login(client: TestClient, run_id: str) -> None:
    answer = client.get(f"/api/test-runs/{run_id}/report", headers={"Authorization": ""})

    assert answer.status_code == 401


def test_compare_is_no_run_id(client: TestClient, run_id: str) -> None:
    answer = client.get("/api/test-runs/compare", params={"a": run_id, "b": run_id})

    assert answer.status_code == 200
    assert answer.json()["differences"] == 0


def test_comparing_with_nothing_names_what_lacks(client: TestClient, run_id: str) -> None:
    answer = client.get("/api/test-runs/compare", params={"a": run_id})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == "b"


def test_the_dashboard_remembers_its_arrangement(client: TestClient, run_id: str) -> None:
    config = {"tiles": ["runs"], "range": "7d"}

    put = client.put("/api/dashboard/config", json=config)
    home = client.get("/api/dashboard").json()

    assert (put.status_code, put.json()) == (200, config)
    assert home["config"] == config
    assert [run["id"] for run in home["runs"]["recent"]] == [run_id]
    assert home["runs"]["outcomes_24h"]["pass"] == 1
    assert home["alerts"] == {"active": 0, "by_severity": {"critical": 0, "warning": 0, "info": 0}}


def test_what_else_a_client_arranges_comes_back(client: TestClient) -> None:
    config = {"tiles": [], "range": "24h", "time_range": {"last": "7d"}}

    assert client.put("/api/dashboard/config", json=config).json() == config
    assert client.get("/api/dashboard").json()["config"] == config


def test_tiles_must_be_a_list(client: TestClient) -> None:
    answer = client.put("/api/dashboard/config", json={"tiles": "runs", "range": "7d"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == "tiles"
