"""A search of 500 hosts, dead ones among them, from the call to its results in the database."""

import time

import pytest

from testbench.adapters import db
from testbench.adapters.discovery import Progress
from testbench.domain.discovery import Filters
from testbench.domain.identity import BENCH
from testbench.launcher.emulator import emulate
from testbench.services import discovery
from tests.adapters.test_discovery import free_port, unanswering
from tests.bench.figures import tell
from tests.services import Env

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

NETWORK = "127.77.0.0/23"
DEVICES = 400
GOAL_S = 10


def test_500_hosts_are_searched_and_their_devices_kept(bench_env: Env) -> None:
    port = free_port("127.77.0.1")
    bench_env.set(DISCOVERY_NETWORKS=NETWORK, DISCOVERY_PORTS=str(port))
    gone = [f"127.77.1.{n}" for n in range(150, 210)]
    heard: list[Progress] = []
    with emulate(DEVICES, network=NETWORK, port=port) as fleet, unanswering(gone, port):
        fleet.switch(range(0, DEVICES, 10), hanging=True)
        fleet.switch(range(1, DEVICES, 10), dead=True)
        fleet.switch(range(2, DEVICES, 10), garbage=True)

        began = time.monotonic()
        found = discovery.discover(BENCH, Filters(), heard.append)
        took = time.monotonic() - began

    kept = db.run(lambda tx: discovery.discovered(tx, BENCH, Filters()))
    assert [one.mac for one in kept] == [one.mac for one in found]
    assert len(found) == DEVICES * 7 // 10
    hosts = heard[-1].total
    measured = f"{hosts} hosts in {took:.1f} s: {len(found)} devices, {len(gone)} dead addresses"
    tell("Search of the network, kept as it goes", measured, f"< {GOAL_S} s", took < GOAL_S)


def test_500_devices_are_imprinted_at_once(bench_env: Env) -> None:
    port = free_port("127.77.0.1")
    bench_env.set(DISCOVERY_NETWORKS=NETWORK, DISCOVERY_PORTS=str(port))
    with emulate(500, network=NETWORK, port=port):
        macs = [one.mac for one in discovery.discover(BENCH, Filters())]

    began = time.monotonic()
    made = discovery.imprint(BENCH, macs)
    took = time.monotonic() - began

    assert len({device.id for device in made}) == 500
    tell("Imprinting 500 devices", f"{took:.1f} s", "< 5 s", took < 5)
