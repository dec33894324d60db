"""The demo's miners: where the bench looks for them, alone, and as they were set last."""

from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from testbench.domain.simulation import MINER_MACS, MINERS
from testbench.launcher import demo
from testbench.launcher.instance import Instance
from testbench.settings import Settings, settings
from tests.services import Env, forget


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Env:
    env = Env(monkeypatch)
    env.set(TESTBENCH_DATA=str(Instance.at(tmp_path).folder))
    return env


def told(instance: Instance) -> dict[str, str]:
    return demo.settings_of(instance, settings())


def macs(instance: Instance) -> list[str]:
    """What answers at the ports where the bench looks."""
    found = []
    for port in settings().discovery_ports:
        info = httpx.get(f"http://127.0.0.1:{port}/api/system/info", timeout=5).json()
        found.append(info["macAddr"].replace("-", ":").lower())
    return found


def test_two_demos_look_at_ports_of_their_own_and_keep_them(env: Env, tmp_path: Path) -> None:
    one, two = Instance.at(tmp_path / "one"), Instance.at(tmp_path / "two")

    first, second = told(one), told(two)

    assert first["DISCOVERY_NETWORKS"] == "127.0.0.1/32"
    assert first["AUTO_LISTEN"] == "true"
    env.set(**first)
    ports = set(settings().discovery_ports)
    env.set(**second)
    assert len(ports) == len(MINERS)
    assert ports.isdisjoint(settings().discovery_ports)
    for name in (*first, *second):
        env.patch.delenv(name, raising=False)
    forget()
    assert told(one) == first


def test_what_the_user_set_stands(env: Env, tmp_path: Path) -> None:
    env.set(DISCOVERY_NETWORKS="10.0.0.0/24", AUTO_LISTEN="false")

    assert told(Instance.at(tmp_path)) == {}
    with demo.miners(Instance.at(tmp_path)) as running:
        assert running == {}


def test_miners_answer_where_the_bench_looks_and_are_set_as_they_were_last(
    env: Env, tmp_path: Path
) -> None:
    instance = Instance.at(tmp_path)
    env.set(**told(instance))
    assert Settings().discovery_networks == [ip_network("127.0.0.1/32")]
    with demo.miners(instance) as running:
        assert tuple(macs(instance)) == MINER_MACS
        running[MINER_MACS[2]].settings["frequency"] = 555
        demo.save(instance, running)

    with demo.miners(instance) as again:
        assert again[MINER_MACS[2]].settings["frequency"] == 555
        assert again[MINER_MACS[3]].settings["frequency"] != 555
