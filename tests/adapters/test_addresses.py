"""Which addresses the bench calls: in every form in which one can hide."""

import asyncio
from ipaddress import ip_network

import pytest

from testbench.adapters import addresses
from testbench.domain.errors import BadGateway, BenchError, Forbidden, Invalid

LAB = [ip_network("192.168.1.0/24"), ip_network("127.0.0.0/8"), ip_network("fd00:1ab::/64")]
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]

METADATA = [
    "169.254.169.254",
    "169.254.169.254:80",
    "::ffff:169.254.169.254",
    "[::ffff:169.254.169.254]:80",
    "::ffff:a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::5601:5601",
    "2001:0:1::5601:5601",
    "fe80::5efe:a9fe:a9fe",
    "2a00::200:5efe:169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]
NOBODY = ["0.0.0.0", "0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1", "169.254.7.7"]
INNER = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1",
    "::ffff:127.0.0.1", "::127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.20",
    "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:0a00:0001::1",
    "2002:808:808::1", "2001:0:808:808::1", "::ffff:0:10.0.0.1", "100.64.0.1", "198.18.0.1",
    "192.0.2.1", "203.0.113.9", "240.0.0.1", "192.88.99.1", "fc00::1", "fd12::1",
    "2001:db8::1", "fec0::1",
]  # fmt: skip


@pytest.mark.parametrize("host", METADATA + NOBODY)
def test_metadata_and_link_local_are_refused_even_if_everything_is_allowlisted(host: str) -> None:
    with pytest.raises(Forbidden):
        addresses.allowed(host, EVERYTHING)


@pytest.mark.parametrize("host", METADATA + NOBODY + INNER)
def test_without_an_allowlist_only_public_addresses_are_called(host: str) -> None:
    with pytest.raises(Forbidden, match="not public"):
        addresses.allowed(host)


@pytest.mark.parametrize(
    ("host", "ip"),
    [("8.8.8.8", "8.8.8.8"), ("[2606:4700::1111]:443", "2606:4700::1111"),
     ("::ffff:8.8.8.8", "8.8.8.8"), ("64:ff9b::808:808", "64:ff9b::808:808"),
     ("134744072", "8.8.8.8")],
)  # fmt: skip
def test_public_addresses_are_pinned(host: str, ip: str) -> None:
    assert str(addresses.allowed(host).ip) == ip


@pytest.mark.parametrize(
    ("host", "ip", "port"),
    [("192.168.1.20", "192.168.1.20", None), ("192.168.1.20:8080", "192.168.1.20", 8080),
     ("::ffff:192.168.1.20", "192.168.1.20", None), ("127.3.2.1:9800", "127.3.2.1", 9800),
     ("[fd00:1ab::7]:81", "fd00:1ab::7", 81), ("fd00:1ab::7", "fd00:1ab::7", None),
     ("3232235796", "192.168.1.20", None)],
)  # fmt: skip
def test_devices_are_called_in_allowlisted_networks(host: str, ip: str, port: int | None) -> None:
    pinned = addresses.allowed(host, LAB)

    assert (str(pinned.ip), pinned.port) == (ip, port)


@pytest.mark.parametrize(
    "host",
    ["192.168.2.20", "8.8.8.8", "10.0.0.1", "64:ff9b::192.168.1.20", "2002:c0a8:0114::1",
     "::192.168.1.20", "fd00:1ac::7", "2606:4700::1111"],
)  # fmt: skip
def test_all_others_are_refused_to_devices(host: str) -> None:
    with pytest.raises(Forbidden, match="allowed networks"):
        addresses.allowed(host, LAB)


def test_an_empty_allowlist_allows_nothing() -> None:
    with pytest.raises(Forbidden):
        addresses.allowed("192.168.1.20", [])


def test_a_name_is_resolved_once_and_its_address_is_pinned() -> None:
    pinned = addresses.allowed("localhost:81", [ip_network("127.0.0.1/32")])

    assert pinned.host == "localhost"
    assert pinned.netloc(80) == "127.0.0.1:81"
    assert asyncio.run(addresses.allowed_soon("localhost:81", LAB)) == pinned


@pytest.mark.parametrize(
    "host",
    ["", ":80", "[::1", "[::1]x", "[]:1", "fe80::1%eth0", "a@127.0.0.1", "127.0.0.1/x",
     "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:8²", "127.0.0.1\\@x", "a b",
     "127.0.0.1:", "a\x00b", "127.0.0.1?x", "127.0.0.1#x", "127.0.0.1:" + "9" * 5000],
)  # fmt: skip
def test_what_is_no_address_is_invalid(host: str) -> None:
    with pytest.raises(Invalid):
        addresses.allowed(host, EVERYTHING)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b", "①.invalid"])
def test_a_name_without_an_address_is_a_bad_gateway(host: str) -> None:
    with pytest.raises(BadGateway):
        addresses.allowed(host, EVERYTHING)
    with pytest.raises(BadGateway):
        asyncio.run(addresses.allowed_soon(host, EVERYTHING))


def test_a_url_is_sent_to_the_pinned_address_in_the_name_of_its_host() -> None:
    pinned = addresses.allowed_url("https://localhost:8443/hook?x=1#part", LAB)

    assert pinned.url == "https://127.0.0.1:8443/hook?x=1"
    assert pinned.headers == {"Host": "localhost:8443"}
    assert pinned.extensions == {"sni_hostname": "localhost"}


@pytest.mark.parametrize(
    "url",
    ["ftp://192.168.1.20/", "//192.168.1.20/", "http://", "http://user:pass@192.168.1.20/",
     "http://8.8.8.8\\@192.168.1.20/", "javascript:alert(1)", "http://[::1/", "file:///etc/hosts",
     "http://169.254.169.254/latest", "http://192.168.2.1/"],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises((Invalid, Forbidden)):
        addresses.allowed_url(url, LAB)


def test_no_form_escapes_as_another_error() -> None:
    for host in ("\ud800", "\udcff.example", "ⓛocalhost", "１２７.０.０.１", "xn--", "-", "."):
        with pytest.raises(BenchError):
            addresses.allowed(host)
