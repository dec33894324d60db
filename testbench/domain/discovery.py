"""What was found on the network, and how a list of it is narrowed down."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pydantic import BaseModel, Field

from testbench.domain.devices import Kind


class Found(BaseModel):
    """A device that answered: not yet managed, secrets removed."""

    mac: str
    ip: str
    """With the port where it is not 80: `192.168.1.20:8080`."""
    hostname: str | None = None
    kind: Kind = "axeos"
    info: dict[str, Any] = Field(default_factory=dict[str, Any])

    def place(self) -> tuple[bool, int, int, str, str]:
        """Where it stands among others: IPv4 before IPv6, by number, then by port."""
        host, port = _host_and_port(self.ip)
        try:
            address = ip_address(host)
        except ValueError:
            return True, 0, 0, self.ip, self.mac
        return address.version == 6, int(address), port, "", self.mac


@dataclass(frozen=True)
class Filters:
    """What is looked for; an empty filter lets all pass, several must all hold."""

    ip: str | None = None
    mac: str | None = None
    macs: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    partial_match: bool = False
    """A part of the address, MAC or hostname is enough."""

    def as_query(self) -> dict[str, str]:
        """As a discovery service is asked; without any filter, empty."""
        lists = {"macs": self.macs, "ips": self.ips, "hostnames": self.hostnames}
        query = {"ip": self.ip or "", "mac": self.mac or ""}
        query |= {name: ",".join(one for one in values if one) for name, values in lists.items()}
        asked = {name: text for name, text in query.items() if text}
        return asked | {"partialMatch": "true"} if asked and self.partial_match else asked

    def matches(self, found: Found) -> bool:
        """Whether `found` passes."""
        name = (found.hostname or "").lower()
        host, _ = _host_and_port(found.ip)
        return (
            self._any([self.mac, *self.macs], _bare, [_bare(found.mac)])
            # An address without a port means any port.
            and self._any([self.ip, *self.ips], str, [found.ip, host])
            and self._any(self.hostnames, str.lower, [name])
        )

    def _any(
        self, wanted: Iterable[str | None], plain: Callable[[str], str], values: list[str]
    ) -> bool:
        listed = [plain(one) for one in wanted if one]
        if self.partial_match:
            return not listed or any(one in value for one in listed for value in values)
        return not listed or any(one in values for one in listed)


def _host_and_port(address: str) -> tuple[str, int]:
    """`192.168.1.20:8080`, `[fd00::1]:8080` and both without a port (80)."""
    found = re.fullmatch(r"\[(.*)\]:([0-9]{1,5})|([^:]*):([0-9]{1,5})", address)
    if found is None:
        return address, 80
    return found[1] or found[3] or "", int(found[2] or found[4])


def _bare(mac: str) -> str:
    """A MAC, or a part of one, without its separators."""
    return re.sub(r"[:\-.\s]", "", mac).lower()
