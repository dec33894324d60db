"""Finding devices: by asking a network, by mDNS, by a named service."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_network

import pytest
from pydantic import ValidationError

from testbench.adapters import discovery
from testbench.adapters.discovery import Progress
from testbench.domain.discovery import Filters, Found
from testbench.domain.errors import BadGateway, Invalid
from testbench.launcher.emulator import ALL, emulate
from testbench.settings import settings

NETWORK = "127.78.0.0/23"


def probe(*networks: str, ports: list[int], **options: object) -> list[Found]:
    listed = [ip_network(network) for network in networks]
    options = {"announced_s": 0} | options
    return asyncio.run(discovery.probe(networks=listed, ports=ports, **options))  # type: ignore[arg-type]


def free_port(host: str) -> int:
    with socket.socket() as taken:
        taken.bind((host, 0))
        return taken.getsockname()[1]


@contextmanager
def unanswering(hosts: list[str], port: int) -> Iterator[None]:
    """Addresses whose packets vanish, as those of hosts that are switched off."""
    with ExitStack() as stack:
        for host in hosts:
            listener = stack.enter_context(socket.socket())
            listener.bind((host, port))
            listener.listen(0)
            for _ in range(2):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((host, port))
        yield


def test_500_hosts_with_dead_ones_among_them_take_less_than_10_seconds() -> None:
    port = free_port("127.78.0.1")
    gone = [str(ip_address("127.78.1.150") + n) for n in range(60)]
    heard: list[Progress] = []
    with emulate(400, network=NETWORK, port=port) as fleet, unanswering(gone, port):
        fleet.switch(range(0, 400, 10), hanging=True)
        fleet.switch(range(1, 400, 10), dead=True)
        fleet.switch(range(2, 400, 10), garbage=True)

        began = time.monotonic()
        found = probe(NETWORK, ports=[port], report=heard.append)
        took = time.monotonic() - began

        wanted = [(d.mac, a) for n, (d, a) in enumerate(zip(fleet.devices, fleet.addresses,
                  strict=True)) if n % 10 > 2]  # fmt: skip
        assert [(one.mac, one.ip) for one in found] == wanted
    assert took < 10
    assert heard[-1] == Progress(asked=510, total=510, found=280)
    assert [one.asked for one in heard] == list(range(1, 511))


def test_each_firmware_is_found_with_its_secrets_removed() -> None:
    with emulate(len(ALL)) as fleet:
        ports = [server.port for server in fleet.servers]
        found = probe("127.0.0.1/32", ports=ports)

        assert [one.mac for one in found] == [device.mac for device in fleet.devices]
        assert [one.hostname for one in found][-1] == "nerdqaxe_0009"
    assert {one.kind for one in found} == {"axeos"}
    assert "lab-wifi-pass" not in json.dumps([one.model_dump() for one in found])


def test_a_device_with_two_addresses_is_listed_once() -> None:
    with emulate(2, seed=3) as fleet:
        fleet.devices[1].mac = fleet.devices[0].mac
        found = probe("127.0.0.1/32", ports=[server.port for server in fleet.servers])

        assert [one.ip for one in found] == [fleet.addresses[0]]


def test_without_networks_nothing_is_asked() -> None:
    assert probe(ports=[80]) == []


def test_too_many_addresses_are_refused_before_the_first_is_asked() -> None:
    with pytest.raises(Invalid, match="16777216 addresses are too many"):
        probe("127.0.0.0/8", ports=[80])


def test_addresses_are_named_with_their_port_unless_it_is_80() -> None:
    networks = [ip_network("192.168.1.0/30"), ip_network("fd00::2/127")]

    assert discovery.targets(networks, [80, 8080]) == [
        "192.168.1.1", "192.168.1.1:8080", "192.168.1.2", "192.168.1.2:8080",
        "fd00::2", "[fd00::2]:8080", "fd00::3", "[fd00::3]:8080",
    ]  # fmt: skip


def test_what_announces_itself_is_found_and_only_in_the_allowed_networks() -> None:
    with emulate(3, ["2.15.0", "2.12.0", "2.15.0"], seed=40, mdns=True) as fleet:
        options = {"announced_s": 1.5, "interfaces": ["127.0.0.1"]}
        found = probe("127.0.0.1/32", ports=[1], **options)
        elsewhere = probe("127.0.0.2/32", ports=[1], **options)

        announcing = [fleet.devices[0].mac, fleet.devices[2].mac]
        assert sorted(one.mac for one in found) == sorted(announcing)
        assert fleet.devices[1].mac not in announcing
    assert elsewhere == []


# --- a named service ------------------------------------------------------------------------------


@contextmanager
def service(body: bytes, status: int = 200, location: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/devices"
    finally:
        server.shutdown()
        server.server_close()


def from_service(url: str) -> list[Found]:
    return asyncio.run(discovery.from_service(url))


@pytest.fixture
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


def test_networks_and_ports_are_read_from_the_environment(
    fresh_settings: pytest.MonkeyPatch,
) -> None:
    fresh_settings.setenv("DISCOVERY_NETWORKS", "192.168.1.5/24, 10.0.0.0/30")
    fresh_settings.setenv("DISCOVERY_PORTS", "80,8080-8082,8081")
    settings.cache_clear()

    assert [str(network) for network in settings().discovery_networks] == [
        "192.168.1.0/24",
        "10.0.0.0/30",
    ]
    assert settings().discovery_ports == [80, 8080, 8081, 8082]


@pytest.mark.parametrize("ports", ["0", "70000", "90-80", "http", "80-"])
def test_ports_that_are_none_are_refused(fresh_settings: pytest.MonkeyPatch, ports: str) -> None:
    fresh_settings.setenv("DISCOVERY_PORTS", ports)
    settings.cache_clear()

    with pytest.raises(ValidationError):
        settings()


def test_a_named_service_replaces_the_built_in_one(fresh_settings: pytest.MonkeyPatch) -> None:
    listed = [
        {"ip": "192.168.1.7", "mac": "C0-FA-38-00-00-01", "type": "bitaxe",
         "info": {"hostname": "one", "ASICModel": "BM1370", "stratumPassword": "hush"}},
        {"ip": "192.168.1.8:81", "mac": "c0fa38000002", "type": "mqtt"},
        {"ip": "192.168.1.9", "info": {"macAddr": "C0:FA:38:00:00:03"}, "type": {"a": 1}},
        {"ip": "nowhere", "mac": "c0:fa:38:00:00:04"}, {"ip": "192.168.1.10"}, "x", None,
    ]  # fmt: skip
    with service(json.dumps(listed).encode()) as url:
        fresh_settings.setenv("DISCOVERY_URL", url)
        settings.cache_clear()
        found = asyncio.run(discovery.probe())

    assert [(one.mac, one.ip, one.kind, one.hostname) for one in found] == [
        ("c0:fa:38:00:00:01", "192.168.1.7", "axeos", "one"),
        ("c0:fa:38:00:00:02", "192.168.1.8:81", "mqtt", None),
        ("c0:fa:38:00:00:03", "192.168.1.9", "axeos", None),
    ]
    assert found[0].info == {"hostname": "one", "ASICModel": "BM1370"}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[", 200), (b"{}", 200), (b"[]", 500), (b"[]", 302), (b"[" * 100_000, 200), (b"\xff", 200)],
)
def test_a_service_that_fails_is_a_bad_gateway(body: bytes, status: int) -> None:
    with service(body, status, location="/elsewhere") as url, pytest.raises(BadGateway):
        from_service(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "http://[", "ftp://x/"])
def test_a_service_that_is_not_there_is_a_bad_gateway(url: str) -> None:
    with pytest.raises(BadGateway):
        from_service(url)


# --- narrowing down -------------------------------------------------------------------------------

ONE = Found(mac="c0:fa:38:00:12:a1", ip="192.168.1.20:8080", hostname="Bitaxe_12A1")


@pytest.mark.parametrize(
    "filters",
    [
        Filters(), Filters(ip="192.168.1.20"), Filters(ip="192.168.1.20:8080"),
        Filters(mac="C0-FA-38-00-12-A1"), Filters(mac="c0fa380012a1"),
        Filters(macs=("00:00:00:00:00:00", "c0:fa:38:00:12:a1")),
        Filters(hostnames=("bitaxe_12a1",)),
        Filters(ips=("10.0.0.1", "192.168.1.20"), mac="c0:fa:38:00:12:a1"),
        Filters(mac="38:00:12", partial_match=True), Filters(ip="168.1", partial_match=True),
        Filters(hostnames=("TAXE",), partial_match=True), Filters(ip="", macs=("",)),
    ],
)  # fmt: skip
def test_filters_let_pass(filters: Filters) -> None:
    assert filters.matches(ONE)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(ip="192.168.1.2"), Filters(ip="192.168.1.20:81"), Filters(mac="38:00:12"),
        Filters(hostnames=("taxe",)), Filters(macs=("00:00:00:00:00:00",)),
        Filters(ip="192.168.1.20", mac="00:00:00:00:00:00"),
        Filters(hostnames=("other",), partial_match=True),
    ],
)  # fmt: skip
def test_filters_hold_back(filters: Filters) -> None:
    assert not filters.matches(ONE)
