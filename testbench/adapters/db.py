"""PostgreSQL: one transaction per door, a client-side deadline on every call, events after commit.

`statement_timeout` does not help against a paused server, so the deadline is kept on this side:
every wait of a connection ends with the deadline of its thread or task.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import errors as pg_errors
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from testbench.adapters import bus
from testbench.domain.errors import Conflict, Invalid, NotFound, Unavailable
from testbench.settings import settings

T = TypeVar("T")
log = structlog.get_logger()

DEFAULT_DEADLINE_S = 60.0
REQUEST_BUDGET_S = 4.0
REQUEST_TRIES = 3
POOL_WAIT_S = 1
CONNECT_S = 2
"""libpq waits no shorter for a connection."""
WORST_TRY_S = POOL_WAIT_S + CONNECT_S
ANSWER_S = 4.9
"""Later than this no request is told that the database is away."""
OUTAGE_LOOK_S = 0.5
DUE_CHANNEL = "testbench_due"


class Lock(IntEnum):
    """Advisory locks: one number each, in one place, so that no two mean the same."""

    MIGRATION = 7362001
    FIRST_ADMIN = 7362002
    PARTITIONS = 7362003
    CLOCK = 7362004
    SEARCH = 7362005
    IMPRINT = 7362006


_deadline: ContextVar[float | None] = ContextVar("db_deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Every database call inside ends within `seconds` from now, or raises OperationalError."""
    outer = _deadline.get()
    mine = time.monotonic() + seconds
    token = _deadline.set(mine if outer is None else min(outer, mine))
    try:
        yield
    finally:
        _deadline.reset(token)


def _remaining() -> float:
    end = _deadline.get()
    return DEFAULT_DEADLINE_S if end is None else max(end - time.monotonic(), 0.001)


class BoundedConnection(psycopg.Connection[Any]):
    """A psycopg connection that gives up, and closes itself, when the deadline has passed."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return super().wait(gen, interval=interval, timeout=timeout)
        try:
            return super().wait(gen, interval=interval, timeout=_remaining())
        except pg_errors._WaitTimeout as error:  # pyright: ignore[reportPrivateUsage] (no public name)
            self.pgconn.finish()
            raise psycopg.OperationalError("the database did not answer in time") from error


def psycopg_url(url: str) -> str:
    """The same URL as libpq understands it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def connect() -> BoundedConnection:
    """A new connection to DATABASE_URL, outside the pool."""
    url = settings().database_url
    if not url:
        raise Unavailable("DATABASE_URL is not set; start the bench with `make up`.")
    return BoundedConnection.connect(
        psycopg_url(url), connect_timeout=CONNECT_S, options="-c timezone=UTC", prepare_threshold=3
    )


@lru_cache
def engine() -> Engine:
    """This process's pool; `engine.cache_clear()` after a change of settings."""
    size = settings().db_pool_size
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=size,
        max_overflow=size,
        pool_timeout=POOL_WAIT_S,
        pool_use_lifo=True,
    )


@lru_cache
def _autocommitting() -> Engine:
    return engine().execution_options(isolation_level="AUTOCOMMIT")


class Tx:
    """One open transaction: its session, its clock, and what to tell the bus after commit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._events: dict[bus.Event, None] = {}  # each once, in order
        self._after: list[Callable[[], None]] = []
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The transaction's start on the database's clock, aware UTC."""
        if self._now is None:
            moment: datetime = self.session.scalar(text("SELECT now()"))  # type: ignore[assignment]  # scalar is Any | None
            self._now = moment.astimezone(UTC)
        return self._now

    def cursor(self) -> psycopg.Cursor[Any]:
        """A raw psycopg cursor in this same transaction, for COPY and bulk statements."""
        connection: Any = self.session.connection().connection.driver_connection
        return connection.cursor()

    def emit(self, topic: str, id: object) -> None:
        """Tell the bus that `topic` `id` changed, once this transaction has committed."""
        self._events[bus.Event(topic=topic, id=str(id))] = None

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run `call` once committed; it may fail without undoing anything."""
        self._after.append(call)

    def wake_clock(self) -> None:
        """Due work was written: the clock hears of it at commit."""
        self.session.execute(text(f"NOTIFY {DUE_CHANNEL}"))

    def _committed(self) -> None:
        for call in self._after:
            call()
        if self._events:
            bus.publish(self._events)


@contextmanager
def transaction() -> Iterator[Tx]:
    """One transaction: commits at the end, rolls back on any error, then speaks to the bus."""
    with Session(engine(), expire_on_commit=False) as session:
        tx = Tx(session)
        yield tx
        session.commit()
    tx._committed()  # pyright: ignore[reportPrivateUsage] (its own module)


@contextmanager
def statement() -> Iterator[Tx]:
    """One statement that is a transaction of its own: one round trip instead of three.

    For the hot paths of clock and workers alone; what follows the first statement is not undone.
    """
    with Session(_autocommitting()) as session:
        tx = Tx(session)
        yield tx
    tx._committed()  # pyright: ignore[reportPrivateUsage] (its own module)


def is_outage(error: BaseException) -> bool:
    """True if the database is away, not if it refused."""
    if isinstance(error, PoolTimeout | InterfaceError | psycopg.OperationalError):
        return True
    return isinstance(error, OperationalError) and not _is_conflict(error)


def _is_conflict(error: DBAPIError) -> bool:
    return isinstance(error.orig, pg_errors.DeadlockDetected | pg_errors.SerializationFailure)


class _Outage:
    """Known once a request found that the database lets nobody in.

    Threads are few: if each request found out for itself, those behind would wait for a thread,
    and then for the database. So they are refused at once, but for one in a while, which looks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._look_at: float | None = None

    def check(self) -> None:
        """Raises Unavailable during an outage, unless it is this caller's turn to look."""
        with self._lock:
            now = time.monotonic()
            if self._look_at is None:
                return
            if now >= self._look_at:
                self._look_at = now + OUTAGE_LOOK_S
                return
        raise Unavailable("The database does not answer.", retry_after=5)

    def begins(self) -> None:
        """No connection could be made."""
        with self._lock:
            self._look_at = time.monotonic() + OUTAGE_LOOK_S

    def over(self) -> None:
        """The database answered."""
        self._look_at = None


@lru_cache
def _outage() -> _Outage:
    return _Outage()


def run(work: Callable[[Tx], T], *, attempt_s: float = 1.3) -> T:
    """A request's transaction: at most 3 tries inside 5 s, then Unavailable with Retry-After.

    A try whose commit may have happened is not repeated.
    """
    _outage().check()
    began = time.monotonic()
    for attempt in range(1, REQUEST_TRIES + 1):
        left = began + REQUEST_BUDGET_S - time.monotonic()
        try:
            with deadline(max(0.05, min(attempt_s, left))):
                return _once(work)
        except (NotFound, Conflict, Invalid):
            _outage().over()
            raise
        except (PoolTimeout, DBAPIError, psycopg.Error) as error:
            _give_up_or_pause(error, attempt, began)
    raise AssertionError("unreachable")


def _once(work: Callable[[Tx], T]) -> T:
    with Session(engine(), expire_on_commit=False) as session:
        tx = Tx(session)
        result = work(tx)
        try:
            session.commit()
        except (DBAPIError, psycopg.Error) as error:
            if is_outage(error):
                log.warning("commit_unknown", error=type(error).__name__)
                raise Unavailable(
                    "The database did not confirm the change; check before you repeat it.",
                    retry_after=5,
                ) from error
            raise
    _outage().over()
    tx._committed()  # pyright: ignore[reportPrivateUsage] (its own module)
    return result


def _give_up_or_pause(error: Exception, attempt: int, began: float) -> None:
    """Sleep before the next try, or raise: Unavailable for an outage, else the error itself."""
    retryable = is_outage(error) or (isinstance(error, DBAPIError) and _is_conflict(error))
    if not retryable:
        raise error
    pause = random.uniform(0.02, 0.15) * attempt  # noqa: S311 (jitter, no secret)
    if attempt < REQUEST_TRIES and time.monotonic() + pause + WORST_TRY_S < began + ANSWER_S:
        time.sleep(pause)
        return
    log.error("database_unavailable", tries=attempt, error=type(error).__name__)
    if isinstance(error, DBAPIError) and _is_conflict(error):
        raise Conflict("Somebody changed the same rows; try again.") from error
    if isinstance(getattr(error, "orig", error), pg_errors.ConnectionTimeout):
        _outage().begins()
    raise Unavailable("The database does not answer.", retry_after=5) from error
