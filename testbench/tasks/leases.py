"""A claimed step's lease, renewed for as long as the step works."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from testbench.adapters import db
from testbench.adapters.db import Tx
from testbench.settings import settings

log = structlog.get_logger()


@contextmanager
def kept(renew: Callable[[Tx], bool], of: uuid.UUID) -> Iterator[None]:
    """Renew while inside; most steps end before the first time. It ends when `renew` is False."""
    done = threading.Event()
    pause = settings().lease_s / 3

    def keep() -> None:
        while not done.wait(pause):
            try:
                with db.transaction() as tx:
                    if not renew(tx):
                        return
            except Exception as error:
                if not db.is_outage(error):
                    raise
                log.warning("lease_not_renewed", of=str(of))

    threading.Thread(target=keep, name="lease", daemon=True).start()
    try:
        yield
    finally:
        done.set()
