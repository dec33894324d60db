"""Polls on their way into the store: collected for a moment, kept while the database is away."""

import time
from collections import deque
from collections.abc import Sequence
from threading import Condition, Event, Thread

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbench.domain.errors import BenchError
from testbench.services import monitoring
from testbench.services.monitoring import Poll

log = structlog.get_logger()

BATCH_S = 0.1
MAX_BATCH = 500
MAX_WAITING = 8000
"""20 s of 2,000 devices; then the oldest go: a poll tells a state, and the next one comes soon."""
ATTEMPT_S = 4.0
MAX_PAUSE_S = 5.0


class Recorder(Thread):
    """Takes polls from the poller's thread and records them on its own, in order."""

    def __init__(self) -> None:
        super().__init__(name="recorder")
        self.dropped = 0
        """Polls that were given up, since the start."""
        self._waiting: deque[Poll] = deque()
        self._changed = Condition()
        self._closing = Event()

    def put(self, poll: Poll) -> None:
        """Never waits; the oldest goes where there are too many."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(poll)
            if len(self._waiting) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Record what waits, once, and end."""
        with self._changed:
            self._closing.set()
            self._changed.notify()

    def run(self) -> None:
        """Until closed; survives whatever a batch does."""
        while True:
            batch = self._take()
            if not batch and self._closing.is_set():
                return
            try:
                self._record(batch)
            except Exception:
                # One batch's fault does not end monitoring; the next polls come in seconds.
                self.dropped += len(batch)
                log.exception("polls_not_recorded", polls=len(batch))

    def _take(self) -> list[Poll]:
        with self._changed:
            while not self._waiting and not self._closing.is_set():
                self._changed.wait()
        self._closing.wait(BATCH_S)
        with self._changed:
            count = min(len(self._waiting), MAX_BATCH)
            return [self._waiting.popleft() for _ in range(count)]

    def _record(self, batch: Sequence[Poll]) -> None:
        pause = 0.1
        failed_at = 0.0
        while batch:
            try:
                monitoring.record(batch, attempt_s=ATTEMPT_S)
            except (BenchError, SQLAlchemyError, psycopg.Error) as error:
                failed_at = failed_at or time.monotonic()
                log.warning("record_failed", error=type(error).__name__, polls=len(batch))
                if self._closing.wait(pause):
                    return
                pause = min(pause * 2, MAX_PAUSE_S)
            else:
                break
        if failed_at:
            away_s = round(time.monotonic() - failed_at, 1)
            log.info("recording_again", away_s=away_s, dropped=self.dropped)
