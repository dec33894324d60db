"""Searching and imprinting over REST, as an outsider tries it."""

from collections.abc import Iterator
from typing import Any

import pytest

from testbench.launcher.emulator import emulate
from testbench.launcher.emulator.fleet import Fleet
from tests import made_runs
from tests.callers import Api, problem
from tests.services import LAB, LAB_PORT, Env
from tests.services.test_discovery import configure, entry, keep, service

MACS = [entry(n)["mac"] for n in range(1, 5)]


@pytest.fixture
def found(api: Api, bench_env: Env) -> None:
    """The last search found four devices, and now the network is empty."""
    keep(*(entry(n, hostname=f"host-{n}") for n in range(1, 5)), env=bench_env)
    configure(bench_env)


@pytest.fixture
def lab(api: Api, bench_env: Env) -> Iterator[Fleet]:
    """Three devices are on the network."""
    configure(bench_env)
    with emulate(3, network=LAB, port=LAB_PORT) as fleet:
        yield fleet


def macs(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [device["mac"] for device in answer.json()]


def test_discover_answers_a_bare_list_of_what_is_there(api: Api, lab: Fleet) -> None:
    answer = api.engineer.get("/api/devices/discover")

    assert macs(answer) == [device.mac for device in lab.devices]
    assert set(answer.json()[0]) == {"mac", "ip", "hostname", "kind", "info"}
    assert answer.json()[0]["ip"] == lab.addresses[0]
    assert "wifiPass" not in answer.text
    assert api.viewer.get("/api/devices/discovered").json() == answer.json()


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [1, 2, 3, 4]),
        ("ip=192.168.1.2", [2]),
        ("mac=C0-FA-38-00-00-03", [3]),
        (f"macs={MACS[0]},{MACS[3]}", [1, 4]),
        (f"macs={MACS[0]}&macs={MACS[3]}", [1, 4]),
        ("ips=192.168.1.1,192.168.1.9&ips=192.168.1.2", [1, 2]),
        ("hostnames=HOST-2", [2]),
        ("hostnames=host", []),
        ("hostnames=host&partialMatch=true", [1, 2, 3, 4]),
        ("mac=00:04&partialMatch=1", [4]),
        (f"macs={MACS[0]},{MACS[3]}&ip=192.168.1.4", [4]),
        ("macs=&ip=", [1, 2, 3, 4]),
        ("mac=nonsense", []),
    ],
)
def test_discovered_is_filtered(api: Api, query: str, numbers: list[int]) -> None:
    answer = api.viewer.get(f"/api/devices/discovered?{query}")

    assert macs(answer) == [MACS[n - 1] for n in numbers]


def test_a_discovery_that_fails_is_a_bad_gateway(api: Api, bench_env: Env) -> None:
    unset = problem(api.engineer.get("/api/devices/discover"), 502)
    assert "DISCOVERY_NETWORKS" in unset["detail"]
    with service(lambda _: 500) as url:
        bench_env.set(DISCOVERY_URL=url)
        failed = problem(api.engineer.get("/api/devices/discover"), 502)
        assert "discovery service fails" in failed["detail"]
        problem(api.engineer.put("/api/devices/imprint", json={"macs": [MACS[0]]}), 502)
    problem(api.engineer.get("/api/devices/discover"), 502)
    assert api.viewer.get("/api/devices/discovered").json() == []


@pytest.mark.usefixtures("found")
def test_put_imprints_and_answers_what_it_imprinted(api: Api) -> None:
    first = api.engineer.put("/api/devices/imprint", json={"macs": MACS[:2]})
    second = api.engineer.put("/api/devices/imprint", json={"mac": MACS[2].upper()})

    assert macs(first) == MACS[:2]
    assert macs(second) == MACS[2:3]
    assert first.json()[0]["name"] == "host-1"
    assert macs(api.viewer.get("/api/devices/imprint")) == MACS[:3]
    assert api.viewer.get(f"/api/devices/{MACS[0]}").json()["id"] == first.json()[0]["id"]


@pytest.mark.usefixtures("found")
def test_patch_adds_one_and_answers_all(api: Api) -> None:
    api.engineer.put("/api/devices/imprint", json={"macs": MACS[:1]})

    answer = api.engineer.patch("/api/devices/imprint", json={"mac": MACS[3]})

    assert macs(answer) == [MACS[0], MACS[3]]


def test_imprinting_again_updates_the_device(api: Api, lab: Fleet) -> None:
    mac = lab.devices[0].mac
    [first] = api.engineer.put("/api/devices/imprint", json={"macs": [mac]}).json()
    lab.devices[0].settings["hostname"] = "renamed"
    api.engineer.get("/api/devices/discover")

    [again] = api.engineer.put("/api/devices/imprint", json={"macs": [mac]}).json()

    assert (again["id"], again["name"]) == (first["id"], first["name"])
    assert (again["hostname"], again["info"]["hostname"]) == ("renamed", "renamed")


@pytest.mark.usefixtures("found")
def test_what_is_not_found_or_no_mac_is_refused(api: Api) -> None:
    unknown = {"macs": ["00:00:00:00:00:01"]}
    problem(api.engineer.put("/api/devices/imprint", json=unknown), 404)
    problem(api.engineer.patch("/api/devices/imprint", json={"mac": "000000000001"}), 404)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("macs", {}),
        ("macs", {"macs": []}),
        ("macs.1", {"macs": [MACS[0], "c0:fa"]}),
        ("macs.0", {"mac": ""}),
        ("macs.0", {"macs": [7]}),
        ("macs", {"macs": MACS[0]}),
        ("macs", {"macs": [MACS[0]] * 10_001}),
        ("colour", {"macs": MACS, "colour": "red"}),
    ]
    for loc, body in bad:
        problem(api.engineer.put("/api/devices/imprint", json=body), 422, loc)
        problem(api.engineer.patch("/api/devices/imprint", json=body), 422, loc)
    assert api.viewer.get("/api/devices/imprint").json() == []


@pytest.mark.usefixtures("found")
def test_deleting_answers_the_device_and_imprinting_restores_it(api: Api) -> None:
    [made] = api.engineer.put("/api/devices/imprint", json={"macs": MACS[:1]}).json()

    deleted = api.engineer.delete(f"/api/devices/imprint/{MACS[0].upper()}")

    assert deleted.status_code == 200
    assert (deleted.json()["id"], deleted.json()["tracing"]) == (made["id"], False)
    gone = problem(api.viewer.get(f"/api/devices/{made['id']}"), 404)
    assert "host-1 was removed" in gone["detail"]
    problem(api.engineer.delete(f"/api/devices/imprint/{MACS[0]}"), 404)
    assert api.viewer.get("/api/devices/imprint").json() == []
    [again] = api.engineer.put("/api/devices/imprint", json={"macs": MACS[:1]}).json()
    assert again["id"] == made["id"]


@pytest.mark.usefixtures("found")
def test_deleting_refuses_what_is_in_a_run_and_what_is_not_imprinted(api: Api) -> None:
    [made] = api.engineer.put("/api/devices/imprint", json={"macs": MACS[:1]}).json()
    plain = api.device(mac="c0:fa:38:00:11:22")
    made_runs.heard(made["id"], ahead_s=300)
    api.run(device_ids=[made["id"]])

    problem(api.engineer.delete(f"/api/devices/imprint/{MACS[0]}"), 409)
    for other in (plain["mac"], plain["id"], MACS[1], "x", "%20"):
        problem(api.engineer.delete(f"/api/devices/imprint/{other}"), 404)
    assert api.viewer.get(f"/api/devices/{made['id']}").json()["state"] == "in_test"


@pytest.mark.usefixtures("found")
def test_viewers_look_and_engineers_act(api: Api) -> None:
    body = {"macs": MACS[:1]}
    for method, path in (
        ("GET", "/api/devices/discover"),
        ("PUT", "/api/devices/imprint"),
        ("PATCH", "/api/devices/imprint"),
        ("DELETE", f"/api/devices/imprint/{MACS[0]}"),
    ):
        problem(api.viewer.request(method, path, json=body), 403)
        problem(api.nobody.request(method, path, json=body), 401)
    for path in ("/api/devices/discovered", "/api/devices/imprint"):
        assert api.viewer.get(path).status_code == 200
        problem(api.nobody.get(path), 401)
