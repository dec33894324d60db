"""The devices that are this collector's: read anew every two seconds, with its lease renewed."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from testbench.adapters import db
from testbench.domain.errors import BenchError
from testbench.services import monitoring
from testbench.services.monitoring import Polled
from testbench.settings import settings

log = structlog.get_logger()

EVERY_S = 1.5
ATTEMPT_S = 1.3
DOWN = (BenchError, SQLAlchemyError, psycopg.Error)


class Sharing:
    """Tells `follow` whose turn it is to be polled here; lives in the poller's event loop."""

    def __init__(
        self, name: str, executor: Executor, follow: Callable[[Sequence[Polled]], None]
    ) -> None:
        self._name = name
        self._executor = executor
        self._follow = follow
        self._listens = settings().auto_listen
        self._looked = -monitoring.LEASE_S
        self._away = False

    @property
    def is_stale(self) -> bool:
        """True after a pause, until it has looked again: others may have taken the devices.

        A database that is away was looked for: what is known is polled on, twice at worst.
        """
        return time.monotonic() - self._looked > monitoring.LEASE_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(EVERY_S)

    async def leave(self) -> None:
        """Free what it had, for the others."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._leave)
        except DOWN as error:
            log.warning("lease_left_behind", error=type(error).__name__)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            devices = await loop.run_in_executor(self._executor, self._read)
        except DOWN as error:
            if not self._away:
                log.warning("lease_not_renewed", error=type(error).__name__)
            self._away = True
        else:
            self._away = False
            self._follow(devices)
        self._looked = time.monotonic()

    def _read(self) -> list[Polled]:
        if self._listens:
            db.run(monitoring.listen_to_all)
            self._listens = False
        return db.run(lambda tx: monitoring.shared_out(tx, self._name), attempt_s=ATTEMPT_S)

    def _leave(self) -> None:
        db.run(lambda tx: monitoring.leave(tx, self._name), attempt_s=ATTEMPT_S)
