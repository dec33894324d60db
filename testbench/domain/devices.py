"""What a device is, and the one function that derives its shown state."""

import ipaddress
import re
from typing import Literal

from testbench.domain.errors import Invalid

Kind = Literal["mqtt", "http", "axeos", "simulated"]
State = Literal["available", "in_test", "offline", "maintenance"]
KINDS: tuple[Kind, ...] = ("mqtt", "http", "axeos", "simulated")
KIND_WORDS: dict[str, str] = {
    "mqtt": "MQTT",
    "http": "HTTP",
    "axeos": "AxeOS",
    "simulated": "Simulated",
}
STATES: tuple[State, ...] = ("available", "in_test", "offline", "maintenance")
POLLED: frozenset[str] = frozenset({"axeos"})


def shown_state(*, reserved: bool, maintenance: bool, online: bool) -> State:
    """Reservation hides maintenance, which hides presence."""
    if reserved:
        return "in_test"
    if maintenance:
        return "maintenance"
    return "available" if online else "offline"


def default_offline_after_s(kind: Kind) -> int:
    """Seconds of silence after which a device counts as offline."""
    return 15 if kind in POLLED else 60


def normal_mac(mac: str) -> str:
    """`C0-FA-38-…`, `c0fa38…` → `c0:fa:38:…`; Invalid if it is no MAC address."""
    digits = re.sub(r"[:\-.\s]", "", mac).lower()
    if not re.fullmatch(r"[0-9a-f]{12}", digits):
        raise Invalid("Not a MAC address.", errors=[("mac", "must be six pairs of hex digits")])
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def mac_or_none(text: str) -> str | None:
    """The MAC that `text` is, or None; a bare row of hex digits may be an id's."""
    if not re.search(r"[:\-.]", text):
        return None
    try:
        return normal_mac(text)
    except Invalid:
        return None


def normal_address(text: str) -> str:
    """`192.168.1.20`, `192.168.1.20:8080`, `fe80::1`, `[fe80::1]:8080`; ValueError if none."""
    host, port = text.strip(), None
    bracketed = re.fullmatch(r"\[(.+)\](?::([0-9]{1,5}))?", host)
    plain = re.fullmatch(r"([0-9.]+):([0-9]{1,5})", host)
    if found := bracketed or plain:
        host, port = found.groups()
    try:
        address = ipaddress.IPv6Address(host) if bracketed else ipaddress.ip_address(host)
    except ValueError as error:
        raise ValueError("must be an IP address, with or without a port") from error
    if port is None:
        return str(address)
    if not 0 < int(port) < 65536:
        raise ValueError("its port must be 1 to 65535")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
