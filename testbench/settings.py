"""The only reader of the environment: one class, cached, every option with its default."""

import json
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network


def _networks(value: object) -> object:
    """`a, b` or `["a", "b"]`, as it is written in the environment; `192.168.1.5/24` is meant."""
    if not isinstance(value, str):
        return value
    texts = json.loads(value) if value.lstrip().startswith("[") else value.replace(",", " ").split()
    return [ip_network(text, strict=False) for text in texts]


def _port_ranges(value: object) -> object:
    """`80, 8080-8090` → every port of it, each once."""
    if not isinstance(value, str):
        return value
    ports: list[int] = []
    for part in value.replace(",", " ").split():
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 < low <= high < 65536:
            raise ValueError("ports are 1 to 65535, ranges ascend")
        ports += range(low, high + 1)
    return list(dict.fromkeys(ports))


class Settings(BaseSettings):
    """Options by environment variable (upper case) or `.env`; a URL set here replaces a part."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    testbench_data: Path = Path(".testbench")
    """Folder of secrets, logs and embedded services."""
    public_url: str = "http://127.0.0.1:3000"
    """Where people and runners reach the bench."""
    port: int = 3000
    listen: str = "0.0.0.0"  # noqa: S104 (devices in the lab report over HTTP and MQTT)
    """Address the web server and the embedded broker listen on."""

    database_url: str | None = None
    redis_url: str | None = None
    rabbitmq_url: str | None = None
    mqtt_url: str | None = None
    influxdb_url: str | None = None
    influxdb_token: str = ""
    influxdb_org: str = "testbench"
    influxdb_bucket: str = "testbench"
    grafana_url: str | None = None
    grafana_token: str = ""
    grafana_public: bool = False
    """Publish the dashboards: whoever has the link sees them without a login."""
    grafana_source: Literal["postgres", "influxdb", "prometheus"] | None = None
    """Where the dashboards read from; default: the store that is in use."""
    grafana_source_uid: str = "testbench"
    """The uid of that data source in Grafana."""

    secret_key: str = ""
    """Signs JWTs and run tokens; the launcher makes one where none is set."""
    admin_password: str | None = None
    session_idle_s: int = Field(default=8 * 3600, gt=0)
    session_absolute_s: int = Field(default=7 * 24 * 3600, gt=0)
    secure_cookies: bool = False
    rate_limit: str = "1200/minute"
    login_limit: str = "10/minute"
    device_login_limit: str = "20/minute"
    cors_allowed_origins: list[str] = Field(default_factory=list)

    discovery_networks: Annotated[list[Network], NoDecode, BeforeValidator(_networks)] = Field(
        default_factory=list[Network]
    )
    """Networks that are probed for devices; no other address is ever called as a device."""
    discovery_ports: Annotated[list[int], NoDecode, BeforeValidator(_port_ranges)] = [80]
    """Ports that are probed at each address: `80, 8080-8090`."""
    discovery_url: str | None = None
    """A discovery service (`[{ip, mac, type, info}]`) in place of the bench's own."""

    auto_listen: bool = False
    """Monitor every imprinted device from the start, and those imprinted later."""
    poll_interval_s: float = Field(default=5, ge=1, le=3600)
    """How often a device is asked for its state, where it has no interval of its own."""
    delete_data_on_device_remove: bool = False
    """Removing a device also deletes its readings and its dashboard."""
    metrics_hostname_prefix: bool = True
    """`/metrics` has the names `<hostname>_power_watts` too, and the overview of the fleet."""
    metrics_token: str = ""
    """What Prometheus sends as bearer token; empty: `/metrics` is open."""

    retention_days: int | None = Field(default=None, gt=0)
    queue_timeout_s: float = Field(default=3600, gt=0)
    step_interval_s: float = Field(default=5, gt=0)
    """How often a running test is looked at; long windows are looked at less often."""
    lease_s: float = Field(default=10, gt=0)
    resend_s: float = Field(default=30, gt=0)
    max_attempts: int = Field(default=1, ge=1)
    teardown_away_s: float = Field(default=60, gt=0)
    """A device that a teardown cannot reach for so long goes into maintenance."""
    heartbeat_timeout_s: float = Field(default=60, gt=0)
    db_pool_size: int = Field(default=10, gt=0)


@lru_cache
def settings() -> Settings:
    """The settings of this process; `settings.cache_clear()` reads them anew."""
    return Settings()
