"""Fixtures on real servers. A server that is missing fails the test that needs it: no skips.

Each test process (pytest-xdist's too) has servers of its own, started at their first use.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql

from testbench.settings import Settings
from tests.services import (
    LAB,
    LAB_PORT,
    Bench,
    Env,
    Servers,
    bare_env,
    bench,
    forget,
    influx_shim,
    undertaker,
)


def pytest_configure() -> None:
    """A developer's own configuration has no say in the tests."""
    Settings.model_config["env_file"] = None
    kept = bare_env()
    for name in set(os.environ) - set(kept):
        del os.environ[name]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """This test process's folder, which every user may pass through."""
    path = Path(tempfile.mkdtemp(prefix="testbench-tests-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(folder: Path) -> Iterator[Servers]:
    """The servers single tests use; each starts when its URL is first asked for."""
    mine = Servers(folder / "servers")
    with undertaker(mine.folder):
        yield mine
        mine.down()


def admin(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection that creates and drops databases."""
    return psycopg.connect(url, autocommit=True)


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a database with all migrations, to be copied."""
    url, name = servers.url("postgres"), "bench_template"
    with admin(url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(with_database(url, name))
    return name


def migrate(url: str) -> None:
    """Brings a database to the newest schema, as the launcher does."""
    from testbench.launcher.prepare import migrate as upgrade

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        forget()
        upgrade()
    forget()


@pytest.fixture
def database(servers: Servers, template: str) -> Iterator[str]:
    """A migrated, empty database of this test's own; its URL."""
    url = servers.url("postgres")
    name = f"bench_{uuid.uuid4().hex[:12]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with admin(url) as connection:
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    yield with_database(url, name)
    servers.start("postgres")
    with admin(url) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    url = servers.url("redis")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def rabbitmq_url(servers: Servers) -> str:
    """A virtual host of this test's own on RabbitMQ."""
    return servers.vhost(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def mqtt_url(servers: Servers) -> str:
    """Mosquitto, with the administrator of its dynamic security in the URL."""
    return servers.url("mqtt")


@pytest.fixture(scope="session")
def influx_door(servers: Servers) -> Iterator[str]:
    """InfluxDB 1.6, behind a door that takes version 2's writes."""
    with influx_shim(servers.url("influxdb")) as url:
        yield url


@pytest.fixture
def influx(influx_door: str) -> dict[str, str]:
    """An empty database on InfluxDB, as the variables that name it."""
    import httpx

    bucket = f"bench_{uuid.uuid4().hex[:12]}"
    query = {"q": f'CREATE DATABASE "{bucket}"'}
    httpx.post(f"{influx_door}/query", params=query).raise_for_status()
    return {"INFLUXDB_URL": influx_door, "INFLUXDB_BUCKET": bucket, "INFLUXDB_TOKEN": "none"}


@pytest.fixture
def bench_env(
    monkeypatch: pytest.MonkeyPatch, database: str, redis_url: str, tmp_path: Path
) -> Iterator[Env]:
    """This process configured as one of a bench's: an empty database, an empty Redis, a key."""
    env = Env(monkeypatch)
    env.set(
        DATABASE_URL=database,
        REDIS_URL=redis_url,
        SECRET_KEY="0123456789abcdef0123456789abcdef",
        TESTBENCH_DATA=str(tmp_path),
    )
    yield env
    monkeypatch.undo()
    forget()


@pytest.fixture(scope="session")
def app_server(folder: Path) -> Iterator[Bench]:
    """A whole bench on real servers of its own.

    It may call devices at 127.0.0.1 (any port) and in `LAB`; what discovery finds of them listens
    at `LAB_PORT`.
    """
    mine = Servers(folder / "app-servers")
    with undertaker(mine.folder):
        names = {
            "DATABASE_URL": "postgres",
            "REDIS_URL": "redis",
            "RABBITMQ_URL": "rabbitmq",
            "MQTT_URL": "mqtt",
        }
        env = {variable: mine.url(name) for variable, name in names.items()}
        env |= {"DISCOVERY_NETWORKS": f"{LAB}, 127.0.0.1/32", "DISCOVERY_PORTS": str(LAB_PORT)}
        with bench(folder / "app", env, mine) as running:
            yield running
        mine.down()


@pytest.fixture(scope="session")
def embedded_server(folder: Path) -> Iterator[Bench]:
    """A whole bench with nothing named: every service is the embedded one."""
    with bench(folder / "embedded", {}) as running:
        yield running
