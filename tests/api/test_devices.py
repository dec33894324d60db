"""Devices over REST, as an outsider tries them."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.ids import new_id
from testbench.models import Device
from tests.callers import Api, problem
from tests.services import Env, Servers, wait_until

MAC = "c0:fa:38:00:11:22"


def test_a_registered_device_is_read_back_and_its_token_shown_once(api: Api) -> None:
    body = {
        "name": "oven 1",
        "kind": "http",
        "ip": "192.168.1.20:8080",
        "mac": "C0-FA-38-00-11-22",
        "tags": ["lab", "lab", "oven"],
    }

    made = api.engineer.post("/api/devices", json=body)
    read = api.viewer.get(f"/api/devices/{made.json()['id']}")

    assert made.status_code == 201
    assert made.json()["token"].startswith("tbd_")
    assert read.json() == {k: v for k, v in made.json().items() if k != "token"}
    assert (read.json()["mac"], read.json()["tags"]) == (MAC, ["lab", "oven"])
    assert (read.json()["state"], read.json()["online"]) == ("offline", False)
    assert read.json()["offline_after_s"] == 60
    assert "token" not in api.viewer.get("/api/devices").text


def test_a_polled_device_is_offline_sooner(api: Api) -> None:
    assert api.device(kind="axeos")["offline_after_s"] == 15


def test_a_device_is_found_by_its_mac_too(api: Api) -> None:
    device = api.device(mac=MAC)

    for written in (MAC, MAC.upper(), MAC.replace(":", "-")):
        assert api.viewer.get(f"/api/devices/{written}").json()["id"] == device["id"]


def test_what_does_not_fit_is_refused_by_field(api: Api) -> None:
    bad: list[tuple[str, dict[str, Any]]] = [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "a\x7fb"}),
        ("name", {"name": "   "}),
        ("name", {"name": 7}),
        ("name", {"name": None}),
        ("kind", {"kind": "toaster"}),
        ("kind", {"kind": None}),
        ("mac", {"mac": "c0:fa:38"}),
        ("mac", {"mac": "zz:fa:38:00:11:22"}),
        ("ip", {"ip": "not an address"}),
        ("ip", {"ip": "192.168.1.20:99999"}),
        ("ip", {"ip": "192.168.1.20:0"}),
        ("ip", {"ip": "10.0.0.1/../x"}),
        ("tags.1", {"tags": ["a", ""]}),
        ("tags.0", {"tags": ["x" * 101]}),
        ("tags", {"tags": ["a"] * 51}),
        ("offline_after_s", {"offline_after_s": 0}),
        ("offline_after_s", {"offline_after_s": 86_401}),
        ("offline_after_s", {"offline_after_s": 10**30}),
        ("offline_after_s", {"offline_after_s": "soon"}),
        ("offline_after_s", {"offline_after_s": True}),
        ("colour", {"colour": "red"}),
    ]
    for loc, fields in bad:
        body = {"name": "d", "kind": "http", **fields}
        problem(api.engineer.post("/api/devices", json=body), 422, loc)

    problem(api.engineer.post("/api/devices", json={"kind": "http"}), 422, "name")
    problem(api.engineer.post("/api/devices", json=[]), 422)
    problem(api.engineer.post("/api/devices"), 422)
    assert api.viewer.get("/api/devices").json()["items"] == []


def test_what_fits_at_its_edges_is_taken(api: Api) -> None:
    for fields in (
        {"name": "x" * 200},
        {"name": "アダ 1 — “q”"},
        {"ip": "fe80::1"},
        {"ip": "[fe80::1]:80"},
        {"ip": "10.0.0.1:65535"},
        {"offline_after_s": 1},
        {"offline_after_s": 86_400},
        {"ip": None, "mac": None, "tags": []},
    ):
        api.device(**fields)

    api.device(online=False, ip="10.0.0.9")
    api.device(online=False, ip="10.0.0.9")  # a lab may number two networks alike


@pytest.mark.parametrize(
    "ip",
    ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0", "[fe80::1]:80"],
)
def test_a_device_that_is_polled_has_no_address_that_nobody_may_call(api: Api, ip: str) -> None:
    answer = api.engineer.post("/api/devices", json={"name": "m", "kind": "axeos", "ip": ip})

    problem(answer, 422, "ip")


def test_two_devices_cannot_be_the_same(api: Api) -> None:
    first = api.device(name="one", mac=MAC)
    other = api.device(name="two")

    post = api.engineer.post
    problem(post("/api/devices", json={"name": "one", "kind": "http"}), 409, "name")
    same_mac = {"name": "three", "kind": "http", "mac": "C0FA38001122"}
    problem(post("/api/devices", json=same_mac), 409, "mac")
    problem(api.engineer.patch(f"/api/devices/{other['id']}", json={"name": "one"}), 409, "name")

    assert api.engineer.delete(f"/api/devices/{first['id']}").status_code == 204
    api.device(name="one", mac=MAC)  # what was removed holds no name


def test_of_two_registrations_at_once_one_is_refused(api: Api) -> None:
    barrier, body = threading.Barrier(6), {"name": "one", "kind": "http"}
    engineer = api.engineer

    def register(_: int) -> int:
        barrier.wait()
        return engineer.post("/api/devices", json=body).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(register, range(6)))

    assert statuses == [201, 409, 409, 409, 409, 409]


def test_unknown_devices_are_404_on_every_route(api: Api) -> None:
    for unknown in (str(new_id()), "nothing", "%00", "a:b:c:d:e:f", MAC, "1" * 500):
        problem(api.viewer.get(f"/api/devices/{unknown}"), 404)
        problem(api.engineer.patch(f"/api/devices/{unknown}", json={"name": "x"}), 404)
        problem(api.engineer.delete(f"/api/devices/{unknown}"), 404)
        problem(api.engineer.post(f"/api/devices/{unknown}/token"), 404)


def test_a_change_changes_what_it_names_and_null_leaves_as_it_is(api: Api) -> None:
    device = api.device(tags=["a"], offline_after_s=30)
    path = f"/api/devices/{device['id']}"

    held = api.engineer.patch(path, json={"maintenance": True, "maintenance_reason": "belt torn"})
    nulls = api.engineer.patch(
        path, json={"name": None, "tags": None, "maintenance": None, "offline_after_s": None}
    )
    freed = api.engineer.patch(path, json={"maintenance": False, "tags": [], "name": "new"})

    assert (held.json()["state"], held.json()["maintenance_reason"]) == ("maintenance", "belt torn")
    assert nulls.json() == held.json()
    assert (freed.json()["state"], freed.json()["maintenance_reason"]) == ("available", None)
    assert (freed.json()["tags"], freed.json()["name"]) == ([], "new")
    for loc, body in [
        ("name", {"name": "x" * 201}),
        ("tags", {"tags": "a"}),
        ("maintenance", {"maintenance": "yes"}),
        ("offline_after_s", {"offline_after_s": -1}),
        ("token", {"token": "mine"}),
        ("mac", {"mac": MAC}),
    ]:
        problem(api.engineer.patch(path, json=body), 422, loc)


def test_states_are_counted_and_filtered(api: Api) -> None:
    available = api.device(name="Oven 10%", tags=["lab"])
    offline = api.device(online=False, kind="simulated")
    held = api.device(tags=["lab", "old"])
    busy = api.device(mac=MAC, online=True)
    api.engineer.patch(f"/api/devices/{held['id']}", json={"maintenance": True})
    api.run(device_ids=[busy["id"]])

    def found(**query: str) -> list[str]:
        answer = api.viewer.get("/api/devices", params=query)
        assert answer.status_code == 200
        return [device["id"] for device in answer.json()["items"]]

    everything = api.viewer.get("/api/devices").json()
    assert everything["counts"] == {"available": 1, "in_test": 1, "offline": 1, "maintenance": 1}
    assert everything["next_cursor"] is None
    assert found(state="available") == [available["id"]]
    assert found(state="in_test") == [busy["id"]]
    assert found(state="offline") == [offline["id"]]
    assert found(state="maintenance") == [held["id"]]
    assert found(tag="lab") == [available["id"], held["id"]]
    assert found(kind="simulated") == [offline["id"]]
    assert found(q="10%") == [available["id"]]
    assert found(q="fa:38") == [busy["id"]]
    assert found(q="OLD") == [held["id"]]
    assert found(q="_", state="available") == []
    assert found(q="\\") == []
    for query in ("state=sleeping", "kind=toaster", "limit=0", "limit=501", "limit=x"):
        problem(api.viewer.get(f"/api/devices?{query}"), 422, query.partition("=")[0])
    for cursor in ("x", "%ff", "AAAA", "é", "x" * 5000, "bm90IGFuIGlk"):
        problem(api.viewer.get(f"/api/devices?cursor={cursor}"), 422, "cursor")
    problem(api.viewer.get("/api/devices?q=%00"), 422)


def test_pages_stay_right_while_devices_come_and_go(api: Api) -> None:
    ids = [api.device(online=False)["id"] for _ in range(7)]

    first = api.viewer.get("/api/devices?limit=3").json()
    api.engineer.delete(f"/api/devices/{ids[0]}")
    api.engineer.delete(f"/api/devices/{ids[3]}")
    late = api.device(online=False)["id"]
    seen = [device["id"] for device in first["items"]]
    cursor = first["next_cursor"]
    while cursor:
        page = api.viewer.get("/api/devices", params={"limit": 3, "cursor": cursor}).json()
        seen += [device["id"] for device in page["items"]]
        cursor = page["next_cursor"]

    assert seen == [*ids[:3], *ids[4:], late]


def test_a_viewer_changes_nothing_and_is_refused_before_the_body(api: Api) -> None:
    path = f"/api/devices/{api.device()['id']}"
    for method, where in [
        ("POST", "/api/devices"),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/token"),
    ]:
        problem(api.viewer.request(method, where, content=b"{bad"), 403)
        problem(api.nobody.request(method, where, content=b"{bad"), 401)
    problem(api.nobody.get("/api/devices"), 401)


def test_a_device_in_a_run_cannot_be_removed(api: Api) -> None:
    device = api.device()
    run = api.run(device_ids=[device["id"]])

    refused = problem(api.engineer.delete(f"/api/devices/{device['id']}"), 409)
    api.engineer.post(f"/api/test-runs/{run['id']}/cancel")

    assert "run" in refused["detail"]
    assert api.engineer.delete(f"/api/devices/{device['id']}").status_code == 204
    problem(api.engineer.delete(f"/api/devices/{device['id']}"), 404)
    shown = api.viewer.get(f"/api/test-runs/{run['id']}").json()["devices"]
    assert shown[0]["name"] == device["name"]


def test_a_new_credential_ends_the_old_one(api: Api) -> None:
    device = api.device()
    renewed = api.engineer.post(f"/api/devices/{device['id']}/token")

    def send(token: str) -> int:
        return api.client(token).post("/api/telemetry", json={"temp": 1}).status_code

    assert (renewed.status_code, renewed.json()["id"]) == (201, device["id"])
    assert (send(device["token"]), send(renewed.json()["token"])) == (401, 200)


def test_presence_and_latest_values_are_seen_by_the_next_read(api: Api) -> None:
    device = api.device(online=False)

    api.client(device["token"]).post("/api/telemetry", json={"temp": 21.5, "mode": "eco"})
    shown = api.viewer.get(f"/api/devices/{device['id']}").json()

    assert (shown["online"], shown["state"]) == (True, "available")
    assert shown["last_seen"] is not None
    assert {k: v["value"] for k, v in shown["latest"].items()} == {"temp": 21.5, "mode": "eco"}


def account(device_id: str) -> Device:
    with db.transaction() as tx:
        return tx.session.get_one(Device, uuid.UUID(device_id))


def test_a_broker_that_is_away_leaves_nothing_half_done(
    api: Api, bench_env: Env, servers: Servers, mqtt_url: str
) -> None:
    """Registering and renewing change nothing; a removal stands, and is told to it later."""
    from testbench.services import housekeeping

    bench_env.set(MQTT_URL=mqtt_url)
    device = api.device(online=False)
    servers.stop("mqtt")
    try:
        problem(api.engineer.post("/api/devices", json={"name": "late", "kind": "mqtt"}), 503)
        problem(api.engineer.post(f"/api/devices/{device['id']}/token"), 503)
        sent = api.client(device["token"]).post("/api/telemetry", json={"temp": 1})
        removed = api.engineer.delete(f"/api/devices/{device['id']}")
        housekeeping.revoke_removed()
        waiting = account(device["id"]).token_hash
    finally:
        servers.start("mqtt")

    assert [d["name"] for d in api.viewer.get("/api/devices").json()["items"]] == []
    assert (sent.status_code, removed.status_code) == (200, 204)
    assert waiting is not None
    wait_until(lambda: _told(device["id"]), 10)


def _told(device_id: str) -> bool:
    from testbench.services import housekeeping

    housekeeping.revoke_removed()
    return account(device_id).token_hash is None
