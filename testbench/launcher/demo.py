"""The demo fleet: seeded once, then kept talking to the bench over HTTP like any other device."""

import hashlib
import signal
import threading
import time

import httpx
import structlog

from testbench.adapters import db
from testbench.domain.errors import BenchError
from testbench.domain.simulation import FLEET, Profile, measure
from testbench.services import demo
from testbench.settings import settings

EVERY_S = 1.0
TIMEOUT_S = 5.0
UNAUTHORIZED = 401
log = structlog.get_logger()


def seed() -> None:
    """Make the demo once for each database: what a person removed is not made again."""
    database = hashlib.sha256((settings().database_url or "").encode()).hexdigest()[:12]
    made = settings().testbench_data / f"demo-{database}"
    if made.exists():
        return
    with db.transaction() as tx:
        demo.seed(tx)
    made.touch()


class Fleet:
    """The demo devices that are still there, each with its credential."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self._tokens: dict[str, str] = {}

    def speak(self) -> None:
        """One message of each device; a refused credential is renewed before the next."""
        now = time.time()
        for profile in FLEET:
            if profile.name in self._tokens:
                self._post(profile, now)
        if len(self._tokens) < len(FLEET):
            with db.transaction() as tx:
                self._tokens |= demo.renew_tokens(tx, set(self._tokens))

    def _post(self, profile: Profile, now: float) -> None:
        answer = self._client.post(
            "/api/telemetry",
            headers={"Authorization": f"Bearer {self._tokens[profile.name]}"},
            json={"ts": int(now * 1000), "values": measure(profile, now)},
        )
        if answer.status_code == UNAUTHORIZED:
            del self._tokens[profile.name]


def main() -> None:
    """Speak once a second until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    fleet = Fleet(settings().public_url)
    while not stop.wait(EVERY_S - time.time() % EVERY_S):
        try:
            fleet.speak()
        except (httpx.HTTPError, BenchError) as error:
            log.info("demo_waits", error=type(error).__name__)
        except Exception as error:
            if not db.is_outage(error):
                raise
            log.info("demo_waits", error=type(error).__name__)
