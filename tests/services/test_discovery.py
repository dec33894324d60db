"""Searching, imprinting and releasing devices: real sockets, one search and one device a MAC."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select
from sqlmodel import col

from testbench.adapters import db, searches
from testbench.adapters.discovery import Progress
from testbench.domain.discovery import Filters
from testbench.domain.errors import BadGateway, Conflict, Forbidden, Invalid, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.launcher.emulator import emulate
from testbench.launcher.emulator.fleet import Fleet
from testbench.models import Device, DiscoveredDevice
from testbench.services import devices, discovery
from testbench.services.devices import DeviceView, NewDevice
from tests import made_runs
from tests.services import LAB, LAB_PORT, Env, wait_until

VIEWER = Actor(new_id(), "v", "viewer")
ENGINEER = Actor(new_id(), "e", "engineer")
MAC = "c0:fa:38:00:00:01"
ALL = Filters()


@pytest.fixture
def lab(bench_env: Env) -> Iterator[Fleet]:
    """A bench whose network has four devices."""
    configure(bench_env)
    with emulate(4, network=LAB, port=LAB_PORT) as fleet:
        yield fleet


def configure(env: Env, **more: str) -> None:
    """Searches `LAB`; there is no MQTT broker, and nothing to tell it."""
    none = "mqtt://127.0.0.1:1?auth=none"
    env.set(DISCOVERY_NETWORKS=LAB, DISCOVERY_PORTS=str(LAB_PORT), MQTT_URL=none, **more)


@contextmanager
def service(listed: Callable[[dict[str, str]], Any]) -> Iterator[str]:
    """A discovery service that answers `listed(query)`; an int is a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
            answer = listed(query)
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/devices"
    finally:
        server.shutdown()
        server.server_close()


def entry(number: int, **info: Any) -> dict[str, Any]:
    mac = f"c0:fa:38:00:00:{number:02x}"
    return {"ip": f"192.168.1.{number}", "mac": mac, "type": "bitaxe", "info": info}


def keep(*entries: dict[str, Any], env: Env) -> None:
    """The last results are these."""
    with service(lambda _: list(entries)) as url:
        env.set(DISCOVERY_URL=url, MQTT_URL="mqtt://127.0.0.1:1?auth=none")
        discovery.discover(BENCH, ALL)
        env.set(DISCOVERY_URL="")


def last(filters: Filters = ALL) -> list[str]:
    return [one.mac for one in db.run(lambda tx: discovery.discovered(tx, VIEWER, filters))]


def rows(mac: str) -> list[Device]:
    with db.transaction() as tx:
        return list(tx.session.scalars(select(Device).where(col(Device.mac) == mac)))


def imprinted() -> list[DeviceView]:
    return db.run(lambda tx: discovery.imprinted(tx, VIEWER))


# --- searching ------------------------------------------------------------------------------------


def test_a_search_finds_keeps_and_reports(lab: Fleet) -> None:
    heard: list[Progress] = []

    found = discovery.discover(ENGINEER, ALL, heard.append)

    assert [one.mac for one in found] == [device.mac for device in lab.devices]
    assert [one.ip for one in found] == lab.addresses
    assert last() == [one.mac for one in found]
    assert heard[-1].asked == heard[-1].total == 30
    assert heard[-1].found == 4
    assert searches.current() is None


def test_a_search_replaces_what_the_last_one_found(lab: Fleet) -> None:
    discovery.discover(ENGINEER, ALL)
    moved = lab.devices[1].mac
    lab.devices[1].mac = lab.devices[0].mac
    lab.switch([3], dead=True)

    found = discovery.discover(ENGINEER, ALL)

    assert [one.ip for one in found] == [lab.addresses[0], lab.addresses[2]]
    assert [row.ip for row in db.run(lambda tx: discovery.discovered(tx, VIEWER, ALL))] == [
        lab.addresses[0],
        lab.addresses[2],
    ]
    assert moved not in last()


def test_filters_narrow_the_answer_and_not_what_is_kept(lab: Fleet) -> None:
    wanted = lab.devices[2]

    found = discovery.discover(ENGINEER, Filters(mac=wanted.mac.upper().replace(":", "-")))

    assert [one.mac for one in found] == [wanted.mac]
    assert len(last()) == 4
    assert last(Filters(ips=(lab.servers[1].host,))) == [lab.devices[1].mac]
    assert last(Filters(hostnames=(found[0].hostname or "",))) == [wanted.mac]
    assert last(Filters(mac=wanted.mac[9:], partial_match=True)) == [wanted.mac]
    assert last(Filters(mac=wanted.mac[9:])) == []


def test_results_show_while_the_search_goes_on(lab: Fleet) -> None:
    lab.switch([0], hanging=True)
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(discovery.discover, ENGINEER, ALL)
        wait_until(lambda: len(last()) == 3, 20)

        shown = searches.current()
        assert shown is not None
        assert (shown.found, shown.total) == (3, 30)
        assert not search.done()
        assert len(search.result(20)) == 3
    assert searches.current() is None


def test_who_asks_during_a_search_gets_its_results(lab: Fleet) -> None:
    callers = 6
    with ThreadPoolExecutor(callers) as pool:
        asked = [pool.submit(discovery.discover, ENGINEER, ALL) for _ in range(callers)]
        found = [[one.mac for one in answer.result(60)] for answer in asked]

    assert found == [[device.mac for device in lab.devices]] * callers
    # One more than one, at most: who asked when the first was all but over.
    assert max(device.polls for device in lab.devices) <= 2


def test_a_search_that_is_called_off_keeps_what_it_found(lab: Fleet) -> None:
    discovery.discover(ENGINEER, ALL)
    before = last()
    lab.switch([0], hanging=True)
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(discovery.discover, ENGINEER, ALL)
        wait_until(lambda: searches.current() is not None, 20)
        discovery.call_off(ENGINEER)
        with pytest.raises(Conflict, match="called off"):
            search.result(20)

    assert last() == before
    assert searches.current() is None
    lab.heal()
    assert len(discovery.discover(ENGINEER, ALL)) == 4


def test_without_networks_a_search_says_what_to_set(bench_env: Env) -> None:
    with pytest.raises(BadGateway, match="set DISCOVERY_NETWORKS"):
        discovery.discover(ENGINEER, ALL)

    assert not discovery.place(VIEWER).configured
    configure(bench_env)
    assert discovery.place(VIEWER).configured


@pytest.mark.usefixtures("bench_env")
def test_who_may_not_search_or_imprint_is_refused_by_the_service() -> None:
    verbs: list[Callable[[], object]] = [
        lambda: discovery.discover(VIEWER, ALL),
        lambda: discovery.imprint(VIEWER, [MAC]),
        lambda: discovery.release(VIEWER, MAC),
        lambda: discovery.call_off(VIEWER),
    ]
    for verb in verbs:
        with pytest.raises(Forbidden):
            verb()


def test_what_devices_say_is_text_without_secrets(lab: Fleet) -> None:
    names = ["<script>alert(1)</script>", "x" * 10_000, "a\x00\x1b[2J\u202e\nb", "=1+1"]
    for device, name in zip(lab.devices, names, strict=True):
        device.settings["hostname"] = name

    discovery.discover(ENGINEER, ALL)
    made = discovery.imprint(ENGINEER, last())

    assert made[0].name == names[0]
    assert (len(made[1].hostname or ""), len(made[1].name)) == (200, 150)
    assert made[2].name == "a[2Jb"
    assert made[3].name == "=1+1"
    kept = json.dumps([device.model_dump(mode="json") for device in made])
    assert "lab-wifi-pass" not in kept
    assert "stratumPassword" not in kept


# --- a named service ------------------------------------------------------------------------------


def test_a_named_service_is_asked_with_the_filters(bench_env: Env) -> None:
    asked: list[dict[str, str]] = []

    def listed(query: dict[str, str]) -> list[Any]:
        asked.append(query)
        return [entry(1, hostname="one"), entry(2, hostname="two")]

    with service(listed) as url:
        bench_env.set(DISCOVERY_URL=url)
        filters = Filters(macs=(MAC,), hostnames=("one", "x"), partial_match=True)
        narrowed = discovery.discover(ENGINEER, filters)
        everything = discovery.discover(ENGINEER, ALL)

    assert asked == [{"macs": MAC, "hostnames": "one,x", "partialMatch": "true"}, {}]
    assert [one.mac for one in narrowed] == [MAC]
    assert len(everything) == 2


def test_what_a_service_no_longer_lists_is_gone_but_for_a_filtered_answer(bench_env: Env) -> None:
    keep(entry(1), entry(2), env=bench_env)
    with service(lambda query: [entry(3)] if query else [entry(2)]) as url:
        bench_env.set(DISCOVERY_URL=url)

        discovery.discover(ENGINEER, Filters(ip="192.168.1.3"))
        assert len(last()) == 3
        discovery.discover(ENGINEER, ALL)

    assert last() == [entry(2)["mac"]]


def test_a_service_that_fails_is_a_bad_gateway_and_the_last_results_stay(bench_env: Env) -> None:
    keep(entry(1), env=bench_env)
    with service(lambda _: 503) as url:
        bench_env.set(DISCOVERY_URL=url)
        with pytest.raises(BadGateway):
            discovery.discover(ENGINEER, ALL)
        with pytest.raises(BadGateway):
            discovery.imprint(ENGINEER, [entry(2)["mac"]])
        # What is known already needs no service.
        assert [d.mac for d in discovery.imprint(ENGINEER, [MAC, entry(2)["mac"]])] == [MAC]

    assert last() == [MAC]


# --- imprinting -----------------------------------------------------------------------------------


def test_imprinted_devices_are_named_after_their_host(bench_env: Env) -> None:
    keep(entry(1, hostname="oven"), entry(2, hostname="oven"), entry(3), env=bench_env)

    made = discovery.imprint(ENGINEER, ["C0-FA-38-00-00-02", MAC, "c0fa38000003", MAC])

    assert [(d.name, d.mac, d.kind) for d in made] == [
        ("oven", "c0:fa:38:00:00:02", "axeos"),
        ("oven-0001", MAC, "axeos"),
        ("axeos", "c0:fa:38:00:00:03", "axeos"),
    ]
    assert [d.id for d in imprinted()] == [d.id for d in made]
    assert [(d.ip, d.hostname, d.offline_after_s) for d in made[:2]] == [
        ("192.168.1.2", "oven", 15),
        ("192.168.1.1", "oven", 15),
    ]
    assert not any(row.tracing for row in rows(MAC))


def test_a_known_device_takes_its_new_address_and_keeps_its_name(bench_env: Env) -> None:
    keep(entry(1, hostname="oven"), env=bench_env)
    [first] = discovery.imprint(ENGINEER, [MAC])
    keep({**entry(1, hostname="stove", ASICModel="BM1370"), "ip": "10.0.0.9:81"}, env=bench_env)

    [again] = discovery.imprint(ENGINEER, [MAC])

    assert (again.id, again.name) == (first.id, "oven")
    assert (again.ip, again.hostname) == ("10.0.0.9:81", "stove")
    assert again.info == {"hostname": "stove", "ASICModel": "BM1370"}


def test_a_device_registered_by_hand_becomes_a_polled_one(bench_env: Env) -> None:
    keep(entry(1), env=bench_env)
    by_hand = NewDevice(name="by hand", kind="http", mac=MAC)
    registered = db.run(lambda tx: devices.create(tx, BENCH, by_hand))

    [made] = discovery.imprint(ENGINEER, [MAC])

    assert (made.id, made.kind, made.name) == (registered.id, "axeos", "by hand")
    assert [device.id for device in imprinted()] == [made.id]


def test_a_removed_device_returns_with_its_id(bench_env: Env) -> None:
    keep(entry(1, hostname="oven"), env=bench_env)
    [first] = discovery.imprint(ENGINEER, [MAC], monitored=True)
    discovery.release(ENGINEER, MAC)
    assert imprinted() == []
    db.run(lambda tx: devices.create(tx, BENCH, NewDevice(name="oven", kind="http")))

    [again] = discovery.imprint(ENGINEER, [MAC])

    assert (again.id, again.name) == (first.id, "oven-0001")
    [row] = rows(MAC)
    assert (row.removed_at, row.tracing) == (None, False)


def test_a_device_that_returns_has_lost_its_credential(bench_env: Env) -> None:
    keep(entry(1), env=bench_env)
    by_hand = NewDevice(name="by hand", kind="axeos", mac=MAC)
    made = db.run(lambda tx: devices.create(tx, BENCH, by_hand))
    db.run(lambda tx: devices.remove(tx, BENCH, str(made.id)))
    assert rows(MAC)[0].token_hash is not None

    discovery.imprint(ENGINEER, [MAC])

    assert rows(MAC)[0].token_hash is None


@pytest.mark.parametrize(("auto", "asked"), [("true", False), ("false", True)])
def test_new_devices_are_monitored_at_once_where_it_is_wanted(
    bench_env: Env, auto: str, asked: bool
) -> None:
    keep(entry(1), env=bench_env)
    bench_env.set(AUTO_LISTEN=auto)

    discovery.imprint(ENGINEER, [MAC], monitored=asked)

    assert [row.tracing for row in rows(MAC)] == [True]


def test_what_is_not_known_is_searched_for_once(lab: Fleet) -> None:
    macs = [device.mac for device in lab.devices]

    made = discovery.imprint(ENGINEER, [*macs[:2], "00:00:00:00:00:01"])

    assert [device.mac for device in made] == macs[:2]
    assert len(last()) == 4
    with pytest.raises(NotFound, match="was found"):
        discovery.imprint(ENGINEER, ["00:00:00:00:00:01"])


@pytest.mark.usefixtures("bench_env")
def test_without_networks_nothing_is_found_and_it_says_why() -> None:
    with pytest.raises(NotFound, match="DISCOVERY_NETWORKS"):
        discovery.imprint(ENGINEER, [MAC])


@pytest.mark.usefixtures("bench_env")
@pytest.mark.parametrize("macs", [[], ["nonsense"], [MAC, ""], [MAC, "c0:fa:38"], ["x" * 100_000]])
def test_what_is_no_mac_is_named(macs: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        discovery.imprint(ENGINEER, macs)

    where = f"macs.{len(macs) - 1}" if macs else "macs"
    assert [loc for loc, _ in refused.value.errors] == [where]
    assert rows(MAC) == []


def test_twenty_imprints_at_once_make_one_device_a_mac(bench_env: Env) -> None:
    keep(*(entry(n, hostname="same") for n in range(1, 6)), env=bench_env)
    macs = [entry(n)["mac"] for n in range(1, 6)]
    start = threading.Barrier(20)

    def one(turn: int) -> list[uuid.UUID]:
        start.wait(30)
        mine = discovery.imprint(ENGINEER, macs if turn % 2 else macs[::-1])
        return sorted(device.id for device in mine)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))

    assert len(imprinted()) == 5
    assert answers == [answers[0]] * 20
    assert len({device.name for device in imprinted()}) == 5
    assert [len(rows(mac)) for mac in macs] == [1] * 5


def test_imprinting_and_registering_at_once_make_one_device(bench_env: Env) -> None:
    keep(*(entry(n) for n in range(1, 9)), env=bench_env)
    macs = [entry(n)["mac"] for n in range(1, 9)]

    def register() -> None:
        for mac in macs:
            new = NewDevice(name=f"by hand {mac}", kind="axeos", mac=mac)
            try:
                db.run(lambda tx, new=new: devices.create(tx, BENCH, new))
            except Conflict:
                continue

    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(register), pool.submit(discovery.imprint, ENGINEER, macs)]
        for one in work:
            one.result(60)

    assert [len(rows(mac)) for mac in macs] == [1] * 8


# --- releasing ------------------------------------------------------------------------------------


def test_only_imprinted_devices_are_released(bench_env: Env) -> None:
    keep(entry(1), env=bench_env)
    plain = db.run(lambda tx: devices.create(tx, BENCH, NewDevice(name="p", kind="http")))
    [made] = discovery.imprint(ENGINEER, [MAC], monitored=True)

    for unknown in (str(plain.id), "00:00:00:00:00:01", "nonsense", ""):
        with pytest.raises(NotFound):
            discovery.release(ENGINEER, unknown)
    released = discovery.release(ENGINEER, "C0-FA-38-00-00-01")

    assert (released.id, released.tracing) == (made.id, False)
    [row] = rows(MAC)
    assert row.removed_at is not None
    assert not row.tracing


def test_a_device_in_a_run_is_not_released(bench_env: Env) -> None:
    keep(entry(1), env=bench_env)
    [made] = discovery.imprint(ENGINEER, [MAC], monitored=True)
    made_runs.heard(made.id, ahead_s=300)
    made_runs.started(made_runs.case().id, [made.id])

    with pytest.raises(Conflict, match="in a run"):
        discovery.release(ENGINEER, MAC)

    assert [row.tracing for row in rows(MAC)] == [True]


# --- what the page shows --------------------------------------------------------------------------


def test_candidates_are_a_window_in_the_order_of_addresses(bench_env: Env) -> None:
    listed = [entry(n, hostname=f"h{n}", ASICModel="BM1370", version="2.9") for n in range(1, 31)]
    keep(*listed[::-1], env=bench_env)
    discovery.imprint(ENGINEER, [MAC])

    def shown(**options: Any) -> discovery.Candidates:
        return db.run(lambda tx: discovery.candidates(tx, VIEWER, **options))

    first = shown(limit=10)
    assert [one.ip for one in first.items] == [f"192.168.1.{n}" for n in range(1, 11)]
    assert (first.total, first.new) == (30, 29)
    assert (first.items[0].device_name, first.items[1].device_id) == ("h1", None)
    assert (first.items[0].model, first.items[0].firmware) == ("BM1370", "2.9")
    assert [one.ip for one in shown(q="h30").items] == ["192.168.1.30"]
    assert shown(q="%").items == []
    assert shown(offset=29).items[0].ip == "192.168.1.30"
    assert shown(since=db.run(lambda tx: tx.now)).total == 0
    fresh = db.run(lambda tx: discovery.unimprinted(tx, VIEWER, q="h1"))
    assert len(fresh) == 10
    assert MAC not in fresh


def test_addresses_of_any_form_have_an_order(bench_env: Env) -> None:
    ips = ["10.0.0.2", "10.0.0.2:81", "10.0.0.10", "[fd00::1]:81", "fe80::1"]
    listed = [{**entry(n), "ip": ip} for n, ip in enumerate(ips, start=1)]
    keep(*listed[::-1], env=bench_env)

    shown = db.run(lambda tx: discovery.candidates(tx, VIEWER))

    assert [one.ip for one in shown.items][:3] == ips[:3]
    assert {one.ip for one in shown.items[3:]} == set(ips[3:])
    assert [one.ip for one in db.run(lambda tx: discovery.discovered(tx, VIEWER, ALL))][:3] == (
        ips[:3]
    )
    with db.transaction() as tx:
        assert len(list(tx.session.scalars(select(DiscoveredDevice)))) == 5
