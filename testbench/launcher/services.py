"""The services a bench depends on: which of them are named by a URL, and what may be shown."""

from urllib.parse import urlsplit, urlunsplit

from testbench.settings import settings

CRITICAL = ("postgres", "redis", "rabbitmq")
VARIABLES = {
    "postgres": "DATABASE_URL",
    "redis": "REDIS_URL",
    "rabbitmq": "RABBITMQ_URL",
    "mqtt": "MQTT_URL",
    "influxdb": "INFLUXDB_URL",
}


def named() -> dict[str, str]:
    """Services by name whose URL stands in the environment or in `.env`."""
    urls = {name: getattr(settings(), variable.lower()) for name, variable in VARIABLES.items()}
    return {name: url for name, url in urls.items() if url}


def without_credentials(url: str) -> str:
    """The URL as it may be shown and logged."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
