"""One bench with real servers of its own for all that is done to it; it must heal each time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stage import SETTINGS, WORKERS, Stage
from tests.services import Servers, bench, undertaker

VARIABLES = {
    "DATABASE_URL": "postgres",
    "REDIS_URL": "redis",
    "RABBITMQ_URL": "rabbitmq",
    "MQTT_URL": "mqtt",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They share a bench: one test process runs them all."""
    for item in items:
        if "/faults/" in str(item.path):
            item.add_marker(pytest.mark.xdist_group("faults"))


@pytest.fixture(scope="session")
def _stage(folder: Path) -> Iterator[Stage]:
    servers = Servers(folder / "fault-servers")
    with undertaker(servers.folder):
        env = SETTINGS | {variable: servers.url(name) for variable, name in VARIABLES.items()}
        with bench(folder / "faults", env, servers, workers=WORKERS) as running:
            stage = Stage(running, servers)
            yield stage
            stage.close()
        servers.down()


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """A bench at rest, that will be at rest again, every promise kept."""
    yield _stage
    _stage.healed()
