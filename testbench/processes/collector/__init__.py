"""The collector: telemetry in, from the MQTT broker and from devices that are polled."""

import fcntl
import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from testbench.processes.collector.logs import LogReaders
from testbench.processes.collector.mqtt import NOBODY, Collector, device_of
from testbench.processes.collector.polling import Poller
from testbench.settings import settings

__all__ = ["NOBODY", "Collector", "Poller", "device_of", "main", "name_of", "slot"]


def name_of(number: int) -> str:
    """The name of this machine's collector with that number."""
    return f"collector-{socket.gethostname()}-{number}"


def slot(folder: Path) -> tuple[str, int]:
    """A name that no other collector of this machine has now, and the lock that says so.

    The same names come again after a restart, so the broker's session of a killed collector, and
    what it still holds for it, is taken up by the next.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        lock = os.open(folder / f"collector-{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return name_of(number), lock
    raise RuntimeError("a thousand collectors run on this machine")


def main() -> None:
    """Run one collector until SIGTERM; exit code 1 where its polling broke down."""
    # Batches make many small objects and no cycles: looking for those every 700 costs a third.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    _raise_files()
    name, lock = slot(settings().testbench_data)
    collector = Collector(name)
    poller = Poller(name, collector.stopping, [LogReaders().follow])

    def stop(_sign: int, _frame: object) -> None:
        collector.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    poller.start()
    try:
        collector.run()
    finally:
        collector.stopping.set()
        poller.join()
        os.close(lock)
    if poller.broken:
        sys.exit(1)


def _raise_files() -> None:
    """Each poll under way is a socket: as many as this machine lets one process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
