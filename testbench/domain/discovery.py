"""What was found on the network, and how a list of it is narrowed down."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

    def matches(self, found: Found) -> bool:
        """Whether `found` passes."""
        name = (found.hostname or "").lower()
        host = re.sub(r"^\[?(.*?)\]?:[0-9]+$", r"\1", found.ip)
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


def _bare(mac: str) -> str:
    """A MAC, or a part of one, without its separators."""
    return re.sub(r"[:\-.\s]", "", mac).lower()
