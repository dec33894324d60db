"""What a telemetry store can do: one interface, PostgreSQL and InfluxDB behind it."""

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from testbench.adapters.db import Tx
from testbench.domain.criteria import Series

Value = float | str | bool


class Reading(NamedTuple):
    """One value of one metric of one device at one time (`ts` in ms since 1970, UTC)."""

    device_id: uuid.UUID
    metric: str
    ts: int
    value: Value


class Written(NamedTuple):
    """How many values were newly stored or rewritten, and how many stood there already."""

    accepted: int
    duplicates: int


class Point(NamedTuple):
    """A value and its time in ms."""

    ts: int
    value: Value


class Store(Protocol):
    """Equal (device, metric, time): the last write wins. All times are ms, both ends inclusive."""

    def write(self, tx: Tx, readings: Sequence[Reading]) -> Written:
        """Store a batch; idempotent; PostgreSQL within `tx`, InfluxDB before its commit."""
        ...

    def window(
        self, tx: Tx, device_id: uuid.UUID, metrics: Sequence[str], start: int, end: int
    ) -> dict[str, Series]:
        """Every stored reading of the window, per metric; a metric without any is empty."""
        ...

    def downsampled(
        self,
        tx: Tx,
        device_id: uuid.UUID,
        metrics: Sequence[str],
        start: int,
        end: int,
        max_points: int,
    ) -> dict[str, list[Point]]:
        """At most `max_points` a metric, minima and maxima preserved; fewer come back whole."""
        ...

    def shapes(
        self,
        tx: Tx,
        wanted: Sequence[tuple[uuid.UUID, str]],
        start: int,
        end: int,
        stretches: int,
    ) -> Mapping[tuple[uuid.UUID, str], list[float | None]]:
        """The mean of each of so many equal stretches, by device and metric; None: no number."""
        ...

    def latest(
        self, tx: Tx, device_ids: Sequence[uuid.UUID]
    ) -> Mapping[uuid.UUID, dict[str, Point]]:
        """The newest reading of every metric of these devices."""
        ...

    def metrics(self, tx: Tx, device_id: uuid.UUID) -> list[str]:
        """Names of all metrics the device ever sent, sorted."""
        ...

    def delete(
        self,
        tx: Tx,
        device_id: uuid.UUID,
        *,
        before: int | None = None,
        seconds: float | None = None,
    ) -> bool:
        """Forget every reading of a device, or those before a time; False: call again.

        With `seconds` it stops about then, and what is left is for the next call.
        """
        ...

    def prepare(self, days_ahead: int) -> None:
        """Make room for the coming days, in a transaction of its own."""
        ...

    def expire(self, days: int) -> None:
        """Drop readings older than `days`, in a transaction of its own."""
        ...
