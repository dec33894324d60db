"""One real exchange with each service, with a deadline: is it there, and fit for the bench?"""

import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from testbench.settings import settings

DEADLINE_S = 2
OLDEST_POSTGRES = 140_000


class Unfit(Exception):
    """The service answered, but not as the bench needs it."""


def postgres(url: str) -> str:
    """Logs in; PostgreSQL 14 is the oldest that does."""
    import psycopg

    from testbench.adapters.db import psycopg_url

    with psycopg.connect(psycopg_url(url), connect_timeout=DEADLINE_S) as connection:
        version = connection.info.server_version
    if version < OLDEST_POSTGRES:
        raise Unfit(f"PostgreSQL {version // 10_000} is too old: 14 or newer is needed")
    return f"PostgreSQL {version // 10_000}.{version % 10_000}"


def redis(url: str) -> str:
    """Logs in and asks for the version."""
    from redis import Redis

    with Redis.from_url(
        url, socket_timeout=DEADLINE_S, socket_connect_timeout=DEADLINE_S
    ) as client:
        server = cast(dict[str, str], client.info("server"))
    name, version = server.get("server_name", "redis"), server.get("valkey_version")
    return f"{name} {version or server['redis_version']}"


def rabbitmq(url: str) -> str:
    """Logs in and opens a channel."""
    import pika

    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = DEADLINE_S
    parameters.connection_attempts = 1
    with pika.BlockingConnection(parameters) as connection:
        connection.channel()
    return "RabbitMQ"


def mqtt(url: str) -> str:
    """Logs in."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    parts = urlsplit(url)
    refused: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(parts.username or "", parts.password)
    client.on_connect = lambda _c, _u, _f, reason, _p: refused.append(
        str(reason) if reason.is_failure else ""
    )
    client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
    end = time.monotonic() + DEADLINE_S
    while not refused and time.monotonic() < end:
        client.loop(0.1)
    client.disconnect()
    if not refused:
        raise TimeoutError("no answer to CONNECT")
    if refused[0]:
        raise Unfit(refused[0])
    return "MQTT broker"


def influxdb(url: str) -> str:
    """Pings; that needs no token, so a wrong one is only seen when it is used."""
    import httpx

    answer = httpx.get(f"{url.rstrip('/')}/ping", timeout=DEADLINE_S).raise_for_status()
    return f"InfluxDB {answer.headers.get('X-Influxdb-Version', '')}".strip()


def grafana(url: str) -> str:
    """Asks who we are, with the token where there is one."""
    import httpx

    from testbench.adapters.grafana import authorization

    path = "/api/org" if settings().grafana_token else "/api/health"
    answer = httpx.get(url.rstrip("/") + path, headers=authorization(), timeout=DEADLINE_S)
    answer.raise_for_status()
    return "Grafana"


PROBES: dict[str, Callable[[str], str]] = {
    "postgres": postgres,
    "redis": redis,
    "rabbitmq": rabbitmq,
    "mqtt": mqtt,
    "influxdb": influxdb,
    "grafana": grafana,
}
