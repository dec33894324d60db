"""Which store holds the readings: the database, or InfluxDB where one is named."""

from functools import lru_cache

from testbench.adapters.stores.base import Point, Reading, Store, Value, Written
from testbench.adapters.stores.postgres import PostgresStore
from testbench.settings import settings

__all__ = ["Point", "Reading", "Store", "Value", "Written", "expire", "prepare", "store"]

PREPARE_DAYS = 3


@lru_cache
def store() -> Store:
    """This process's store; `store.cache_clear()` after a change of settings."""
    named = settings()
    if named.influxdb_url:
        # Its client takes 14 MB in each process, and a good part of the time to start one.
        from testbench.adapters.stores.influx import InfluxStore  # noqa: PLC0415

        return InfluxStore(
            url=named.influxdb_url,
            token=named.influxdb_token,
            org=named.influxdb_org,
            bucket=named.influxdb_bucket,
        )
    return PostgresStore()


def prepare(days_ahead: int = PREPARE_DAYS) -> None:
    """Make room for the coming days before their first reading; the clock calls it daily."""
    store().prepare(days_ahead)


def expire() -> None:
    """Drop what is older than RETENTION_DAYS; nothing where it is not set."""
    days = settings().retention_days
    if days is not None:
        store().expire(days)
