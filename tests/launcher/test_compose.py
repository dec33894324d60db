"""compose.yaml is a Compose file, and offers each service the bench can be pointed at."""

import json
import re
import subprocess
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from testbench.domain.dashboards.sources import TYPES
from testbench.settings import Settings
from tests.services import ROOT

ADVERTISED = {
    "DATABASE_URL": ("postgres", "5432"),
    "REDIS_URL": ("redis", "6379"),
    "RABBITMQ_URL": ("rabbitmq", "5672"),
    "MQTT_URL": ("mosquitto", "1883"),
    "INFLUXDB_URL": ("influxdb", "8086"),
    "GRAFANA_URL": ("grafana", "3001"),
}


@pytest.fixture
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def test_it_fits_the_compose_specification(compose: dict[str, Any]) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    validator.validate(compose)
    broken = compose | {"services": {"postgres": {"imagine": "postgres"}}}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(broken)


@pytest.mark.parametrize("variable", ADVERTISED)
def test_the_urls_in_its_comments_lead_to_its_ports(compose: dict[str, Any], variable: str) -> None:
    service, port = ADVERTISED[variable]
    text = (ROOT / "compose.yaml").read_text()
    advertised = re.search(rf"{variable}=\S*127\.0\.0\.1:(\d+)", text)
    assert advertised is not None
    assert advertised[1] == port
    assert any(entry.endswith(f":{port}:{port}") for entry in compose["services"][service]["ports"])


def test_nothing_is_offered_to_other_machines_unasked(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service["ports"]:
            assert port.startswith(("127.0.0.1:", "${MQTT_BIND:-127.0.0.1}:"))


def test_every_volume_is_declared_or_comes_with_the_project(compose: dict[str, Any]) -> None:
    used = {v.partition(":")[0] for s in compose["services"].values() for v in s["volumes"]}
    files = {volume for volume in used if volume.startswith("./")}
    assert used - files == set(compose["volumes"])
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_dashboards_find_the_data_sources_that_are_provisioned(compose: dict[str, Any]) -> None:
    file = ROOT / "deploy/grafana/datasources/testbench.yaml"
    provisioned = yaml.safe_load(file.read_text())
    by_uid = {source["uid"]: source for source in provisioned["datasources"]}

    assert Settings.model_fields["grafana_source_uid"].default in by_uid
    assert {source["type"] for source in by_uid.values()} == set(TYPES.values())
    for source in by_uid.values():
        host, _, port = source["url"].removeprefix("http://").partition(":")
        ports = compose["services"][host]["ports"]
        assert any(entry.endswith(f":{port}") for entry in ports), source["url"]
    # What the file takes from the environment, the service has.
    environment = compose["services"]["grafana"]["environment"]
    assert set(re.findall(r"\$\{(\w+)\}", file.read_text())) <= set(environment)
    text = (ROOT / "compose.yaml").read_text()
    assert all(uid in text for uid in by_uid)


def test_prometheus_accepts_its_configuration() -> None:
    said = subprocess.run(
        ["promtool", "check", "config", str(ROOT / "deploy/prometheus.yml")],
        capture_output=True,
        check=False,
    )

    assert said.returncode == 0, said.stdout + said.stderr
