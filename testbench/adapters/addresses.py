"""Which addresses the bench may call: the name is resolved once and that address is pinned.

`ipaddress` alone is not enough: to Python 3.11 `::ffff:169.254.169.254` is not link-local, and
`64:ff9b::/96` and `2002::/16` count as global though an IPv4 address hides in them.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple
from urllib.parse import urlsplit

from testbench.domain.errors import BadGateway, Forbidden, Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVE_S = 3.0

NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # metadata of Amazon
        "fd20:ce::/32",  # metadata of Google
    )
)
"""Called by nobody, whatever is allowlisted: link-local, multicast, metadata services."""

NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "192.88.99.0/24",  # its relays
        "64:ff9b:1::/48",  # a network's own NAT64
        "100.64.0.0/10",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")
COMPATIBLE = IPv6Network("::/96")
TRANSLATED = IPv6Network("::ffff:0:0:0/96")


class Pinned(NamedTuple):
    """A host that may be called, and the address that was found to be allowed."""

    host: str
    """As it was given, without the port: what the `Host` header and TLS are about."""
    ip: Address
    port: int | None

    def netloc(self, default_port: int) -> str:
        """`192.168.1.20:80`, `[fd00::1]:8080`: the pinned address as part of a URL."""
        ip = f"[{self.ip}]" if self.ip.version == 6 else str(self.ip)
        return f"{ip}:{self.port or default_port}"


class PinnedUrl(NamedTuple):
    """A URL whose host is the pinned address; what else httpx needs to reach the named host."""

    url: str
    headers: dict[str, str]
    extensions: dict[str, str]


def split(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `fe80::1`, `[fe80::1]:port`; Invalid for all else (`%`, `@`, `/` …)."""
    parts = _bracketed(text) if text.startswith("[") else _plain(text)
    if parts is None or not parts[0] or set(parts[0]) & set("%@/\\?#[] \t\r\n\x00"):
        raise Invalid("Not an address.", errors=[("ip", "must be a host, with or without a port")])
    host, port = parts
    if port is None:
        return host, None
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise Invalid("Not a port.", errors=[("ip", "its port must be 1 to 65535")])
    return host, int(port)


def _bracketed(text: str) -> tuple[str, str | None] | None:
    host, closed, rest = text[1:].partition("]")
    if not closed or (rest and not rest.startswith(":")):
        return None
    return host, rest[1:] if rest else None


def _plain(text: str) -> tuple[str, str | None]:
    if text.count(":") != 1:
        return text, None
    host, _, port = text.partition(":")
    return host, port


def is_never_called(host: str) -> bool:
    """Whether `host` is an address that nobody calls, however written; names are not resolved."""
    ips = map(_plainly, _literal(split(host)[0]))
    return any(_never(ip) for ip in ips)


def allowed(host: str, networks: Iterable[Network] | None = None) -> Pinned:
    """Resolve `host` (it may carry a port) and pin an address that may be called.

    With `networks` only those (devices: `DISCOVERY_NETWORKS`), without it only public addresses
    (webhooks). Raises Forbidden, Invalid, or BadGateway for a name without any address.
    """
    name, port = split(host)
    return _chosen(name, port, _literal(name) or _resolved(name), networks)


async def allowed_soon(host: str, networks: Iterable[Network] | None = None) -> Pinned:
    """The same without blocking the event loop while the name is resolved."""
    name, port = split(host)
    found = _literal(name)
    if not found:
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await asyncio.to_thread(_resolved, name)
        except TimeoutError as error:
            raise BadGateway(f"The name {name[:200]} was not resolved in time.") from error
    return _chosen(name, port, found, networks)


def allowed_url(url: str, networks: Iterable[Network] | None = None) -> PinnedUrl:
    """Pin the host of an http(s) URL; send it with `follow_redirects=False`.

    Raises Invalid for another scheme or a login inside, else as `allowed`.
    """
    try:
        parts = urlsplit(url)
        default = {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise Invalid("Not a URL.", errors=[("url", "is malformed")]) from error
    if default is None or "@" in parts.netloc:
        raise Invalid(
            "Not a URL.", errors=[("url", "must be http:// or https://, without a login")]
        )
    pinned = allowed(parts.netloc, networks)
    extensions = {"sni_hostname": pinned.host} if parts.scheme == "https" else {}
    target = parts._replace(netloc=pinned.netloc(default), fragment="")
    return PinnedUrl(target.geturl(), {"Host": parts.netloc}, extensions)


def _literal(name: str) -> Sequence[Address]:
    try:
        return [ip_address(name)]
    except ValueError:
        return []


def _resolved(name: str) -> Sequence[Address]:
    # The resolver also knows `0x7f000001`, `2130706433` and `127.1`: they are judged by what
    # they mean.
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadGateway(f"The name {name[:200]} has no address.") from error
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _chosen(
    host: str, port: int | None, found: Sequence[Address], networks: Iterable[Network] | None
) -> Pinned:
    listed = None if networks is None else list(networks)
    for ip in map(_plainly, found):
        if _may(ip, listed):
            return Pinned(host, ip, port)
    reason = "is not public" if listed is None else "is in none of the allowed networks"
    raise Forbidden(f"The address {host[:200]} {reason}.")


def _plainly(ip: Address) -> Address:
    """IPv4 written as IPv6 reaches the IPv4 host: judge it as that."""
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _may(ip: Address, networks: Sequence[Network] | None) -> bool:
    if _never(ip):
        return False
    inner = _inside(ip)
    if networks is not None:
        return _within(ip, networks)
    if inner is not None:
        # Only the well-known NAT64 prefix leads to the host that hides in it.
        return ip in NAT64 and _public(inner)
    return _public(ip)


def _never(ip: Address) -> bool:
    inner = _inside(ip)
    return _within(ip, NEVER) or (inner is not None and _within(inner, NEVER))


def _public(ip: Address) -> bool:
    return ip.is_global and not ip.is_reserved and not _within(ip, NOT_PUBLIC)


def _inside(ip: Address) -> IPv4Address | None:
    """The IPv4 address that a transition address hides."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in SIX_TO_FOUR:
        return ip.sixtofour
    if ip in TEREDO:
        return ip.teredo[1] if ip.teredo else None
    last = IPv4Address(int(ip) & 0xFFFFFFFF)
    isatap = (int(ip) >> 32) & 0xFDFFFFFF == 0x5EFE  # RFC 5214: …:0:5efe:<IPv4>
    if ip in NAT64 or ip in TRANSLATED or isatap or (ip in COMPATIBLE and int(ip) > 0xFFFF):
        return last
    return None


def _within(ip: Address, networks: Iterable[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)
