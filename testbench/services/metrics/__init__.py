"""What Prometheus scrapes: the fleet's newest readings, and how the bench itself does."""

import threading

from testbench.domain.errors import Unavailable
from testbench.domain.metrics import CONTENT_TYPE, Exposition
from testbench.services.metrics import fleet, own
from testbench.services.metrics.own import Figures, figures

__all__ = ["CONTENT_TYPE", "Figures", "exposition", "figures"]

MAX_WAITING = 4
_one = threading.Lock()
_waiting = threading.BoundedSemaphore(MAX_WAITING)


def exposition() -> bytes:
    """All metrics in text format 0.0.4; Unavailable where several scrapes wait already.

    One is written at a time, so that scraping never takes more than a core. Nothing that is away
    makes it fail: what is known is told, and that the rest is away is told, too.
    """
    if not _waiting.acquire(blocking=False):
        raise Unavailable("Several scrapes are under way.", retry_after=1)
    try:
        with _one:
            return _written()
    finally:
        _waiting.release()


def _written() -> bytes:
    told = Exposition()
    asked = own.ask()
    up = fleet.describe(told)
    return own.text(up, own.answers(asked)) + told.text().encode("utf-8", "replace")
