"""The demo fleet: seeded once, then kept talking to the bench over HTTP like any other device.

The process that talks knows only the devices' credentials and imports next to nothing.
"""

import hashlib
import http.client
import json
import signal
import threading
import time
from urllib.parse import urlsplit

from testbench.domain.simulation import FLEET, measure
from testbench.launcher.instance import Instance
from testbench.settings import settings

EVERY_S = 1.0
TIMEOUT_S = 5.0
TOKENS = "demo"
UNAUTHORIZED = 401


def seed() -> None:
    """Make the demo once for each database, and its devices' credentials anew at each start.

    What a person removed is not made again.
    """
    from testbench.adapters import db
    from testbench.services import demo

    instance = Instance.at(settings().testbench_data)
    database = hashlib.sha256((settings().database_url or "").encode()).hexdigest()[:12]
    made = instance.folder / f"demo-{database}"
    with db.transaction() as tx:
        if not made.exists():
            demo.seed(tx)
        tokens = demo.renew_tokens(tx)
    made.touch()
    instance.hand_over(TOKENS, tokens)


def speak(url: str, tokens: dict[str, str]) -> None:
    """One message of each device; one whose credential is refused falls silent."""
    parts = urlsplit(url)
    now = time.time()
    for profile in FLEET:
        token = tokens.get(profile.name)
        if token is None:
            continue
        bench = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        body = json.dumps({"ts": int(now * 1000), "values": measure(profile, now)})
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        bench.request("POST", "/api/telemetry", body, headers)
        if bench.getresponse().status == UNAUTHORIZED:
            del tokens[profile.name]
        bench.close()


def main() -> None:
    """Speak once a second until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    tokens = Instance(settings().testbench_data).handed_over(TOKENS)
    while not stop.wait(EVERY_S - time.time() % EVERY_S):
        try:
            speak(f"http://127.0.0.1:{settings().port}", tokens)
        except OSError:
            continue  # the web process is not there yet, or comes back in a moment
