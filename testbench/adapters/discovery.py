"""Which devices are on the network: what announces itself, and what answers when asked.

mDNS knows only firmware 2.15 and later; all others are found by asking each address of the
configured networks, many at a time. Nothing outside of those networks is called. A named
service (`DISCOVERY_URL`) replaces both.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, NamedTuple

import httpx
import msgspec
from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from testbench.adapters import addresses
from testbench.adapters.addresses import Network
from testbench.adapters.drivers.axeos import HTTP_PORT, Axeos
from testbench.domain import axeos
from testbench.domain.devices import KINDS, Kind, normal_address, normal_mac
from testbench.domain.discovery import Found
from testbench.domain.errors import BadGateway, BenchError, Invalid
from testbench.settings import settings

log = logging.getLogger(__name__)

AT_ONCE = 128
CONNECT_S = 1.0
"""In a lab's network a device that is there takes a connection within milliseconds."""
INFO_S = 3.0
ANNOUNCED_S = 2.0
MAX_TARGETS = 65_536
SERVICE_S = 10.0
MAX_SERVICE_BODY = 32 * 1024 * 1024

SERVICE = "_http._tcp.local."
SUBTYPE = f"_axeos._sub.{SERVICE}"


class Progress(NamedTuple):
    """How far a scan has come."""

    asked: int
    total: int
    """Grows when announced devices add to what is asked."""
    found: int


Report = Callable[[Progress], None]


async def probe(
    report: Report | None = None,
    *,
    on_found: Callable[[Found], None] | None = None,
    is_over: Callable[[], bool] = lambda: False,
    networks: Sequence[Network] | None = None,
    ports: Sequence[int] | None = None,
    announced_s: float = ANNOUNCED_S,
    interfaces: Sequence[str] | None = None,
) -> list[Found]:
    """Every device that answers now, one entry a MAC; `report` hears of each address asked.

    `on_found` hears of each answer as it comes, also of a second one with the same MAC; once
    `is_over` nothing more is asked. Networks and ports default to the settings; `announced_s=0`
    leaves mDNS out. Raises Invalid where there are too many addresses to ask, BadGateway where
    the named service fails.
    """
    if settings().discovery_url and networks is None:
        return await from_service(settings().discovery_url or "")
    networks = settings().discovery_networks if networks is None else networks
    scan = _Scan(networks, report, on_found, is_over)
    scan.add(targets(networks, settings().discovery_ports if ports is None else ports))
    async with asyncio.TaskGroup() as group:
        if announced_s and networks:
            group.create_task(scan.add_announced(announced_s, interfaces))
        group.create_task(scan.run())
    await scan.run()
    return scan.result()


def targets(networks: Iterable[Network], ports: Sequence[int]) -> list[str]:
    """`host` or `host:port` of each address to ask; Invalid for more than 65,536."""
    listed = list(networks)
    count = sum(network.num_addresses for network in listed) * len(ports)
    if count > MAX_TARGETS:
        raise Invalid(f"{count} addresses are too many to ask: narrow the networks or ports.")
    hosts = [host for network in listed for host in network.hosts()]
    return [_target(str(host), port) for host in hosts for port in ports]


class _Scan:
    """One search: what is left to ask, and what has answered."""

    def __init__(
        self,
        networks: Sequence[Network],
        report: Report | None,
        on_found: Callable[[Found], None] | None,
        is_over: Callable[[], bool],
    ) -> None:
        self._networks = networks
        self._report = report
        self._on_found = on_found
        self._is_over = is_over
        self._known: dict[str, int] = {}
        """Address → its place, in which results are listed."""
        self._left: list[str] = []
        self._found: dict[str, Found] = {}
        self._asked = 0

    def add(self, addresses_: Iterable[str]) -> None:
        """Addresses to ask, each once."""
        for address in addresses_:
            if address not in self._known:
                self._known[address] = len(self._known)
                self._left.append(address)

    async def add_announced(self, seconds: float, interfaces: Sequence[str] | None) -> None:
        """What announces itself within `seconds` is asked like all others."""
        self.add(await announced(seconds, interfaces))

    async def run(self) -> None:
        """Ask what is left, many at a time."""
        self._left.reverse()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(self._left))):
                group.create_task(self._worker())

    def result(self) -> list[Found]:
        """One entry a MAC, the first address that answered with it, in the networks' order."""
        by_mac: dict[str, Found] = {}
        for address in sorted(self._found, key=self._known.__getitem__):
            by_mac.setdefault(self._found[address].mac, self._found[address])
        return list(by_mac.values())

    async def _worker(self) -> None:
        while self._left and not self._is_over():
            address = self._left.pop()
            found = await ask(address, self._networks)
            if found is not None:
                self._found[address] = found
                if self._on_found is not None:
                    self._on_found(found)
            self._asked += 1
            if self._report is not None:
                self._report(Progress(self._asked, len(self._known), len(self._found)))


async def ask(address: str, networks: Sequence[Network]) -> Found | None:
    """What is at `address`; None if it is no AxeOS device, or none that may be called."""
    try:
        driver = Axeos(address, networks, info_s=INFO_S, connect_s=CONNECT_S)
        reading = axeos.reading_of(await driver.info())
    except BenchError:
        return None
    if reading.mac is None:
        return None
    return Found(mac=reading.mac, ip=address, hostname=reading.hostname, info=reading.info)


# --- mDNS -----------------------------------------------------------------------------------------


async def announced(seconds: float, interfaces: Sequence[str] | None = None) -> list[str]:
    """Addresses that announce an AxeOS service within `seconds`; none without multicast."""
    try:
        zeroconf = AsyncZeroconf(interfaces=interfaces or InterfaceChoice.All)
    except OSError as error:
        log.warning("mdns_unavailable", extra={"reason": str(error)})
        return []
    names: set[str] = set()

    def heard(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is not ServiceStateChange.Removed and len(names) < MAX_TARGETS:
            names.add(name)

    browser = AsyncServiceBrowser(zeroconf.zeroconf, SUBTYPE, handlers=[heard])
    try:
        await asyncio.sleep(seconds)
        found = await asyncio.gather(*(_resolved(zeroconf, name) for name in sorted(names)))
    finally:
        await browser.async_cancel()
        await zeroconf.async_close()
    return [address for listed in found for address in listed]


async def _resolved(zeroconf: AsyncZeroconf, name: str) -> list[str]:
    with suppress(ZeroconfError, OSError):
        service = AsyncServiceInfo(SERVICE, name)
        if await service.async_request(zeroconf.zeroconf, 1000):
            port = service.port or HTTP_PORT
            return [_target(text, port) for text in service.parsed_addresses()]
    return []


# --- a named service ------------------------------------------------------------------------------


async def from_service(url: str, asked: Mapping[str, str] | None = None) -> list[Found]:
    """`[{ip, mac, type, info}]` of the discovery service at `url`, with `asked` as its query.

    Raises BadGateway where it does not answer in time, or with something else.
    """
    try:
        async with (
            asyncio.timeout(SERVICE_S),
            httpx.AsyncClient(trust_env=False, timeout=SERVICE_S) as client,
            client.stream("GET", url, params=asked or None) as answer,
        ):
            answer.raise_for_status()
            listed = _decoded(await _body(answer))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
        raise BadGateway(f"The discovery service fails ({type(error).__name__}).") from error
    return [found for entry in listed if (found := _entry(entry)) is not None]


async def _body(answer: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) > MAX_SERVICE_BODY:
            raise BadGateway("The discovery service's answer is larger than 32 MiB.")
    return bytes(content)


def _decoded(body: bytes) -> list[Any]:
    try:
        listed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadGateway("The discovery service's answer is not valid JSON.") from error
    if not isinstance(listed, list):
        raise BadGateway("The discovery service's answer is not a list.")
    return listed


def _entry(entry: Any) -> Found | None:
    """One of the service's devices; None without a MAC and an address."""
    if not isinstance(entry, dict):
        return None
    info = entry.get("info")
    info = axeos.without_secrets(info) if isinstance(info, dict) else {}
    mac, ip = _mac(entry.get("mac") or info.get("macAddr")), _ip(entry.get("ip"))
    if mac is None or ip is None:
        return None
    hostname = axeos.name_of(entry.get("hostname")) or axeos.name_of(info.get("hostname"))
    return Found(mac=mac, ip=ip, hostname=hostname, kind=_kind(entry.get("type")), info=info)


def _mac(value: object) -> str | None:
    try:
        return normal_mac(value) if isinstance(value, str) else None
    except Invalid:
        return None


def _ip(value: object) -> str | None:
    try:
        return normal_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _kind(value: object) -> Kind:
    """The service names boards (`bitaxe`), we what they speak."""
    named: dict[object, Kind] = {kind: kind for kind in KINDS}
    return named.get(value if isinstance(value, str) else None, "axeos")


def _target(host: str, port: int) -> str:
    """As addresses are written in the bench: without the usual port."""
    if port == HTTP_PORT:
        return host
    return addresses.Pinned(host, ip_address(host.partition("%")[0]), port).netloc(HTTP_PORT)
