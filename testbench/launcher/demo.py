"""The demo fleet: devices that talk to the bench, and miners that wait to be discovered by it.

The process that talks knows only the devices' credentials and imports next to nothing. The miners
are emulated beside it, on ports of their own: the bench finds them as it finds real ones.
"""

import hashlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from testbench.domain.simulation import FLEET, MINER_SEED, MINERS, measure
from testbench.launcher.instance import Instance
from testbench.settings import Settings, settings

EVERY_S = 1.0
TIMEOUT_S = 5.0
TOKENS = "demo"
UNAUTHORIZED = 401
HOST = "127.0.0.1"
MINER_PORTS = "miners"
MINER_SETTINGS = "miners"
SAVE_EVERY_S = 5
LOG_EVERY_S = 2.0


def settings_of(instance: Instance, configured: Settings) -> dict[str, str]:
    """Where the bench looks for devices and that it polls them, unless the user said so."""
    said = configured.model_fields_set
    env = {} if "auto_listen" in said else {"AUTO_LISTEN": "true"}
    if said & {"discovery_networks", "discovery_ports", "discovery_url"}:
        return env
    ports = instance.ports(MINER_PORTS, len(MINERS))
    return env | {
        "DISCOVERY_NETWORKS": f"{HOST}/32",
        "DISCOVERY_PORTS": f"{ports[0]}-{ports[-1]}",
    }


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
    instance = Instance(settings().testbench_data)
    tokens = instance.handed_over(TOKENS)
    with miners(instance) as running:
        while not stop.wait(EVERY_S - time.time() % EVERY_S):
            if int(time.time()) % SAVE_EVERY_S == 0:
                save(instance, running)
            try:
                speak(f"http://{HOST}:{settings().port}", tokens)
            except OSError:
                continue  # the web process is not there yet, or comes back in a moment
        save(instance, running)


@contextmanager
def miners(instance: Instance) -> Generator[Mapping[str, Any]]:
    """Emulated AxeOS devices where this bench looks for them, as they were set last; by MAC."""
    if not _are_ours(instance):
        yield {}
        return
    from testbench.launcher.emulator import emulate

    options = {"port": settings().discovery_ports[0], "seed": MINER_SEED}
    with emulate(len(MINERS), MINERS, **options, log_every_s=LOG_EVERY_S) as fleet:
        running = {device.mac: device for device in fleet.devices}
        for mac, kept in instance.handed_over(MINER_SETTINGS).items():
            if mac in running:
                running[mac].settings |= kept
        yield running


def _are_ours(instance: Instance) -> bool:
    """Whether the bench looks at the ports that were kept for the miners, and nowhere else."""
    return instance.has_ports(MINER_PORTS, settings().discovery_ports)


def save(instance: Instance, running: Mapping[str, Any]) -> None:
    """What people set, for the next start; their folder is the owner's alone."""
    now = {mac: device.settings for mac, device in running.items()}
    if now != instance.handed_over(MINER_SETTINGS):
        instance.hand_over(MINER_SETTINGS, now)
