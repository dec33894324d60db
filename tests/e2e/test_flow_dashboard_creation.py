"""The flow "Dashboard Creation": made and published by itself, linked, and taken back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from testbench.domain.dashboards import FLEET_UID
from testbench.launcher.emulator.fleet import Fleet
from tests.e2e import labs
from tests.e2e.labs import call, sign_in
from tests.grafanas import TOKEN, Grafana, recorded
from tests.services import LAB, LAB_PORT, Bench, bench, wait_until

SOON_S = 90
ACCESS = "5c948bf96e6a4b13bd91975f9a2028b7"


@pytest.fixture(scope="module")
def grafana() -> Iterator[Grafana]:
    """Plays back what Grafana 11 and 12 answer."""
    with recorded() as playing:
        playing.always("save", "publish", "shared", "unpublish", "delete", "get", "org")
        yield playing


@pytest.fixture(scope="module")
def server(folder: Path, grafana: Grafana) -> Iterator[Bench]:
    """A bench that listens from the start, publishes, and forgets what is removed."""
    env = {
        "DISCOVERY_NETWORKS": LAB,
        "DISCOVERY_PORTS": str(LAB_PORT),
        "AUTO_LISTEN": "true",
        "DELETE_DATA_ON_DEVICE_REMOVE": "true",
        "GRAFANA_URL": grafana.url,
        "GRAFANA_TOKEN": TOKEN,
        "GRAFANA_PUBLIC": "true",
    }
    with bench(folder / "with-grafana", env) as running:
        yield running


@pytest.fixture
def person(browser: Browser, server: Bench) -> Iterator[Page]:
    page = sign_in(browser, server)
    yield page
    page.context.close()


@pytest.fixture
def lab() -> Iterator[Fleet]:
    with labs.lab(1, versions=["2.12.0"]) as fleet:
        yield fleet


def saved(grafana: Grafana) -> dict[str, dict[str, Any]]:
    """What Grafana was given last, by uid."""
    sent = [body["dashboard"] for body in list(grafana.bodies) if body and "dashboard" in body]
    return {dashboard["uid"]: dashboard for dashboard in sent}


def imprint(page: Page, server: Bench, lab: Fleet) -> dict[str, Any]:
    """The device, polled from now on."""
    call(page, server, "GET", "/api/devices/discover")
    macs = {"macs": [lab.devices[0].mac]}
    answer = call(page, server, "PUT", "/api/devices/imprint", macs)
    assert answer.ok, answer.text()
    device: dict[str, Any] = answer.json()[0]
    call(page, server, "PATCH", f"/api/devices/{device['id']}", {"poll_interval_s": 1})
    return device


def view(page: Page, server: Bench, device: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = call(page, server, "GET", f"/api/devices/{device['id']}").json()
    return found


def test_fleets_dashboard_is_made_and_published_at_the_start(
    server: Bench, grafana: Grafana
) -> None:
    wait_until(lambda: FLEET_UID in saved(grafana), SOON_S)

    path = f"POST /api/dashboards/uid/{FLEET_UID}/public-dashboards"
    wait_until(lambda: path in grafana.asked, SOON_S)


def test_polled_device_gets_its_dashboard_which_its_page_leads_to(
    person: Page, server: Bench, grafana: Grafana, lab: Fleet
) -> None:
    device = imprint(person, server, lab)

    wait_until(lambda: view(person, server, device)["grafana"] is not None, SOON_S)

    uid = f"tb-{device['id'].replace('-', '')}"
    assert view(person, server, device)["grafana"] == {
        "url": f"{grafana.url}/d/{uid}",
        "public_url": f"{grafana.url}/public-dashboards/{ACCESS}",
    }
    made = saved(grafana)[uid]
    assert made["title"] == f"Testbench: {device['name']}"
    assert device["id"] in made["panels"][0]["targets"][0]["rawSql"]
    person.goto(f"/devices/{device['id']}?span=6h")
    link = person.get_by_role("link", name="View in Grafana")
    expect(link).to_have_attribute("href", f"{grafana.url}/d/{uid}?from=now-6h&to=now")
    public = person.get_by_role("link", name="Public dashboard")
    expect(public).to_have_attribute("href", f"{grafana.url}/public-dashboards/{ACCESS}")

    call(person, server, "PATCH", f"/api/devices/{device['id']}", {"name": "renamed"})
    wait_until(lambda: saved(grafana)[uid]["title"] == "Testbench: renamed", SOON_S)

    call(person, server, "DELETE", f"/api/devices/imprint/{device['mac']}")
    wait_until(lambda: f"DELETE /api/dashboards/uid/{uid}" in grafana.asked, SOON_S)
    unpublished = f"DELETE /api/dashboards/uid/{uid}/public-dashboards/"
    assert any(asked.startswith(unpublished) for asked in grafana.asked)


def test_failing_grafana_costs_the_dashboard_and_nothing_else(
    person: Page, server: Bench, grafana: Grafana, lab: Fleet
) -> None:
    grafana.always("save_fails")
    device = imprint(person, server, lab)
    asked = len(grafana.asked)
    wait_until(lambda: len(grafana.asked) > asked, SOON_S)

    wait_until(lambda: "power" in view(person, server, device)["latest"], SOON_S)
    failing = view(person, server, device)
    assert (failing["online"], failing["tracing"], failing["grafana"]) == (True, True, None)
    person.goto("/system")
    row = person.get_by_role("row").filter(has_text="Failed to save dashboard")
    expect(row).to_contain_text("Grafana", timeout=60_000)

    grafana.always("save")
    wait_until(lambda: view(person, server, device)["grafana"] is not None, SOON_S)
    assert grafana.faults == []
