"""Devices on the network over REST: searched, listed, imprinted. Answers are bare lists."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.domain.discovery import Filters, Found
from testbench.services import discovery
from testbench.services.devices import DeviceView

router = APIRouter(prefix="/api/devices", tags=["discovery"], route_class=Door)

MAX_IMPRINTED = 10_000


Several = Annotated[list[str] | None, Query(description="With commas between, or repeated.")]
Partial = Annotated[
    bool, Query(alias="partialMatch", description="A part of an address, MAC or name is enough.")
]


def _filters(
    ip: str | None = None,
    mac: str | None = None,
    macs: Several = None,
    ips: Several = None,
    hostnames: Several = None,
    partial_match: Partial = False,
) -> Filters:
    """What passes fits all filters that are given; an address without a port means any port."""
    return Filters(ip, mac, _each(macs), _each(ips), _each(hostnames), partial_match)


def _each(values: list[str] | None) -> tuple[str, ...]:
    parts = (part.strip() for value in values or () for part in value.split(","))
    return tuple(part for part in parts if part)


Wanted = Annotated[Filters, Depends(_filters)]


class Imprint(BaseModel):
    """Which devices: `macs`, `mac`, or both."""

    model_config = ConfigDict(extra="forbid")

    macs: list[str] = Field(default_factory=list[str], max_length=MAX_IMPRINTED)
    mac: str | None = None

    def wanted(self) -> list[str]:
        """All of them."""
        return [*self.macs, *([] if self.mac is None else [self.mac])]


@router.get("/discover")
@allow("engineer")
def discover(actor: Caller, filters: Wanted) -> list[Found]:
    """Search the network now: DISCOVERY_NETWORKS are probed, or DISCOVERY_URL is asked.

    Takes seconds; one search at a time, who asks meanwhile gets its results. 502 where the
    discovery service fails, or where neither networks nor a service are configured.
    """
    return discovery.discover(actor, filters)


@router.get("/discovered")
@allow("viewer")
def discovered(actor: Caller, filters: Wanted) -> list[Found]:
    """What the last search found."""
    return db.run(lambda tx: discovery.discovered(tx, actor, filters))


@router.put("/imprint")
@allow("engineer")
def imprint_devices(actor: Caller, body: Imprint) -> list[DeviceView]:
    """Make devices of what was found, secrets removed; known ones are updated.

    Answers the imprinted ones. What the last search did not find is searched for once; 404 if
    none was found.
    """
    return discovery.imprint(actor, body.wanted())


@router.patch("/imprint")
@allow("engineer")
def imprint_device(actor: Caller, body: Imprint) -> list[DeviceView]:
    """Imprint one more; answers all that are imprinted."""
    discovery.imprint(actor, body.wanted())
    return db.run(lambda tx: discovery.imprinted(tx, actor))


@router.get("/imprint")
@allow("viewer")
def imprinted_devices(actor: Caller) -> list[DeviceView]:
    """All imprinted devices."""
    return db.run(lambda tx: discovery.imprinted(tx, actor))


@router.delete("/imprint/{mac}")
@allow("engineer")
def release_device(actor: Caller, mac: str) -> DeviceView:
    """Remove an imprinted device: it is polled no more; 409 while it is in a run.

    With DELETE_DATA_ON_DEVICE_REMOVE=true its readings and its dashboard go, too. Imprinted
    again it returns with its id.
    """
    return discovery.release(actor, mac)
