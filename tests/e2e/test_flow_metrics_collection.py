"""The flow "Metrics Collection": polled, converted, added up, and scraped at `GET /metrics`."""

import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from testbench.domain.metrics import prefixes
from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.services import Bench, wait_until

SOON_S = 60


@pytest.fixture
def lab(page: Page, app_server: Bench) -> Iterator[Fleet]:
    """Two devices that are polled every second, and offline after four."""
    with labs.undisturbed(page, app_server), labs.lab(2, versions=["2.12.0"]) as fleet:
        labs.call(page, app_server, "GET", "/api/devices/discover")
        macs = [device.mac for device in fleet.devices]
        answer = labs.call(page, app_server, "PUT", "/api/devices/imprint", {"macs": macs})
        assert answer.ok, answer.text()
        for mac in macs:
            patch = {"poll_interval_s": 1, "offline_after_s": 4}
            assert labs.call(page, app_server, "PATCH", f"/api/devices/{mac}", patch).ok
        listen = labs.call(page, app_server, "PUT", "/api/devices/listen", {"macs": macs})
        assert listen.ok, listen.text()
        yield fleet


def scraped(server: Bench) -> dict[str, float]:
    """What Prometheus, which has no login, is told."""
    answer = httpx.get(f"{server.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    pairs = [line.rpartition(" ") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: float(value) for name, _, value in pairs}


def is_up(server: Bench, device_id: str) -> bool:
    return scraped(server).get(f'testbench_device_up{{device_id="{device_id}"}}') == 1


def imprinted(page: Page, server: Bench) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = labs.call(page, server, "GET", "/api/devices/imprint").json()
    return found


def polled(page: Page, server: Bench) -> list[dict[str, Any]]:
    """Both devices, after their first polls."""
    known = imprinted(page, server)
    wait_until(lambda: all(is_up(server, one["id"]) for one in known), SOON_S)
    wait_until(
        lambda: sum(n.startswith("testbench_power_watts{") for n in scraped(server)) == 2, SOON_S
    )
    return known


def test_metrics_follow_the_polls_in_base_units(page: Page, app_server: Bench, lab: Fleet) -> None:
    known = polled(page, app_server)
    begins = prefixes({one["id"]: (one["hostname"], one["mac"]) for one in known})
    lab.devices[0].settings["frequency"] = 333
    one = next(one for one in known if one["mac"] == lab.devices[0].mac)

    def frequency() -> float | None:
        return scraped(app_server).get(f'testbench_frequency_mhz{{device_id="{one["id"]}"}}')

    wait_until(lambda: frequency() == 333, SOON_S)

    found = scraped(app_server)
    for device in known:
        begin, label = begins[device["id"]], f'{{device_id="{device["id"]}"}}'
        own = {name.removeprefix(f"{begin}_"): value for name, value in found.items()}
        assert {
            "power_watts",
            "voltage_volts",
            "current_amps",
            "temperature_celsius",
            "hashrate_ghs",
            "shares_accepted",
            "shares_rejected",
        } <= own.keys()
        # The device says millivolts and milliamps.
        assert 4 < own["voltage_volts"] < 6
        assert 0 < own["current_amps"] < 20
        assert found[f"testbench_voltage_volts{label}"] == own["voltage_volts"]
        if own["hashrate_ghs"] > 0:
            efficiency = own["power_watts"] / (own["hashrate_ghs"] / 1000)
            assert own["efficiency"] == pytest.approx(efficiency)


def test_overview_adds_up_the_fleet(page: Page, app_server: Bench, lab: Fleet) -> None:
    polled(page, app_server)

    found = scraped(app_server)

    rates = [v for n, v in found.items() if n.startswith("testbench_hashrate_ghs{")]
    powers = [v for n, v in found.items() if n.startswith("testbench_power_watts{")]
    assert (found["total_hardware"], found["hardware_online"], found["hardware_offline"]) == (
        2,
        2,
        0,
    )
    assert found["total_hashrate"] == pytest.approx(sum(rates))
    assert found["average_hashrate"] == pytest.approx(sum(rates) / 2)
    assert found["total_power_watts"] == pytest.approx(sum(powers))
    version = lab.devices[0].firmware.shown_version
    assert found[f'firmware_version_distribution{{version="{version}"}}'] == 2
    pools = [name for name in found if name.startswith("shares_by_pool_accepted{pool=")]
    assert len(pools) == 1


def test_promtool_accepts_what_a_running_bench_tells(
    page: Page, app_server: Bench, lab: Fleet
) -> None:
    polled(page, app_server)

    text = httpx.get(f"{app_server.url}/metrics", timeout=30).content

    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode()


def test_silent_device_is_down_and_a_removed_one_is_gone(
    page: Page, app_server: Bench, lab: Fleet
) -> None:
    known = {one["mac"]: one for one in polled(page, app_server)}
    silent, removed = (known[device.mac] for device in lab.devices)

    lab.switch([0], dead=True)
    wait_until(lambda: not is_up(app_server, silent["id"]), SOON_S)
    answer = labs.call(page, app_server, "DELETE", f"/api/devices/imprint/{removed['mac']}")
    assert answer.ok, answer.text()

    found = scraped(app_server)
    assert found[f'testbench_device_up{{device_id="{silent["id"]}"}}'] == 0
    assert not [name for name in found if name.startswith("testbench_power_watts{")]
    assert not [name for name in found if removed["id"] in name]
    assert (found["total_hardware"], found["hardware_offline"]) == (1, 1)


def test_system_page_tells_how_far_ingest_is_behind(
    page: Page, app_server: Bench, lab: Fleet
) -> None:
    polled(page, app_server)

    page.goto("/system")

    figure = page.locator(".tb-figure").filter(has_text="Ingest lag")
    expect(figure).to_contain_text("until it is stored")
    expect(figure.locator(".tb-figure-value")).to_contain_text("s")
    assert 0 <= scraped(app_server)["testbench_ingest_lag_seconds"] < 30
