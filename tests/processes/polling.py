"""Devices that are polled in tests: emulated, registered, and a poller in this process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Event
from typing import Any

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.launcher.emulator import Fleet
from testbench.processes.collector.polling import Poller
from testbench.services import devices
from testbench.services.devices import DeviceView, NewDevice
from tests.services import wait_until

LAB = "127.0.0.0/8"
NO_BROKER = "mqtt://127.0.0.1:1?auth=none"


def register(fleet: Fleet, numbers: Sequence[int] | None = None, **more: Any) -> list[DeviceView]:
    """Devices of the bench for the emulated ones; their MACs come with the first answer."""
    return [
        db.run(lambda tx, new=new: devices.create(tx, BENCH, new))
        for number in (range(len(fleet.addresses)) if numbers is None else numbers)
        for new in [
            NewDevice(name=f"miner {number}", kind="axeos", ip=fleet.addresses[number], **more)
        ]
    ]


@contextmanager
def polling(name: str = "one") -> Iterator[Poller]:
    """A poller on threads of this process."""
    stopping = Event()
    poller = Poller(name, stopping)
    poller.start()
    try:
        yield poller
    finally:
        stopping.set()
        poller.join()
    assert not poller.broken


def shown(device: DeviceView) -> DeviceView:
    """It as it is now."""
    return db.run(lambda tx: devices.get(tx, BENCH, device.id))


def seen(device: DeviceView) -> datetime:
    """When it was heard of."""
    found = shown(device).last_seen
    assert found is not None
    return found


def stored(device: DeviceView, metric: str = "power") -> list[datetime]:
    """When its readings of a metric were taken, oldest first."""
    with db.transaction() as tx:
        rows = tx.cursor().execute(
            "SELECT r.ts FROM readings r JOIN series s ON s.id = r.series_id"
            " WHERE s.device_id = %s AND s.metric = %s ORDER BY r.ts",
            (device.id, metric),
        )
        return [ts for (ts,) in rows]


def is_polled_on(device: DeviceView, times: int = 2, seconds: float = 20) -> None:
    """Returns once that many more readings have come."""
    before = len(stored(device))
    wait_until(lambda: len(stored(device)) >= before + times, seconds, lambda: str(shown(device)))


def gaps(device: DeviceView) -> list[timedelta]:
    """Between its readings."""
    times = stored(device)
    return [after - before for before, after in pairwise(times)]
