"""How far ingest is behind: each process tells it once a second, for `/metrics` and the pages."""

import threading
import time
from functools import lru_cache

from testbench.adapters import metrics

EVERY_S = 1.0


class _Lag:
    """The worst since it was last told; a failure, and its end, are told at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = -EVERY_S
        self._worst = 0.0
        self._fails = False

    def stored(self, received: int) -> None:
        """What arrived at `received` (ms) is committed."""
        moment = time.monotonic()
        self._worst = max(self._worst, time.time() - received / 1000)
        if moment - self._told < EVERY_S and not self._fails:
            return
        with self._lock:
            worst, self._worst = self._worst, 0.0
            self._told, self._fails = moment, False
        metrics.note_ingest(worst)

    def failed(self, received: int) -> None:
        """It could not be stored, and its sender still has it."""
        with self._lock:
            moment = time.monotonic()
            if self._fails and moment - self._told < EVERY_S:
                return
            self._told, self._fails = moment, True
        metrics.note_ingest(0.0, received / 1000)


@lru_cache
def lag() -> _Lag:
    """This process's."""
    return _Lag()
