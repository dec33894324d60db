"""What the page shows: a window of what was found, which of it the bench has, and the search."""

import uuid
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import INET
from sqlmodel import col

from testbench.adapters import searches
from testbench.adapters.db import Tx
from testbench.adapters.searches import Search
from testbench.domain.identity import Actor, require
from testbench.models import Device, DiscoveredDevice
from testbench.settings import settings


class Candidate(BaseModel):
    """A device that answered, and what the bench calls it if it has it."""

    mac: str
    ip: str
    hostname: str | None
    model: str | None
    firmware: str | None
    device_id: uuid.UUID | None
    device_name: str | None


class Candidates(BaseModel):
    """A window of them; how many match, and how many of those the bench does not have."""

    items: list[Candidate]
    total: int
    new: int


class Place(BaseModel):
    """Where is searched, and how far a search is that is under way."""

    networks: list[str]
    ports: list[int]
    service: bool
    """A named service is asked instead."""
    search: Search | None
    completed_at: datetime | None
    """When the last search ended that asked all there is to ask."""

    @property
    def configured(self) -> bool:
        """Whether there is anything to ask."""
        return self.service or bool(self.networks)


_INFO = col(DiscoveredDevice.info)
_MODEL = func.coalesce(_INFO["deviceModel"].astext, _INFO["ASICModel"].astext)
_FIRMWARE = _INFO["version"].astext
_HOST = func.substring(col(DiscoveredDevice.ip), r"^([0-9.]+)(?::[0-9]+)?$")


def place(actor: Actor) -> Place:
    """What the settings say, and the cache."""
    require(actor, "viewer")
    named = settings()
    return Place(
        networks=[str(network) for network in named.discovery_networks],
        ports=named.discovery_ports,
        service=bool(named.discovery_url),
        search=searches.current(),
        completed_at=searches.last_completed(),
    )


def call_off(actor: Actor) -> None:
    """Whoever's search is under way stops; what it found stays."""
    require(actor, "engineer")
    searches.call_off()


def candidates(
    tx: Tx,
    actor: Actor,
    *,
    q: str = "",
    since: datetime | None = None,
    offset: int = 0,
    limit: int = 100,
) -> Candidates:
    """In the order of their addresses; `since` leaves out what was found before."""
    require(actor, "viewer")
    columns: tuple[Any, ...] = (
        col(DiscoveredDevice.mac),
        col(DiscoveredDevice.ip),
        col(DiscoveredDevice.hostname),
        _MODEL.label("model"),
        _FIRMWARE.label("firmware"),
        col(Device.id).label("device_id"),
        col(Device.name).label("device_name"),
    )
    order = (_HOST.cast(INET), func.length(col(DiscoveredDevice.ip)), col(DiscoveredDevice.ip))
    listed = _matching(select(*columns), q, since).order_by(*order).offset(offset).limit(limit)
    counts = select(
        func.count(),
        func.count().filter(col(Device.id).is_(None)),
    )
    total, new = tx.session.execute(_matching(counts, q, since)).one()
    items = [Candidate(**row) for row in tx.session.execute(listed).mappings()]
    return Candidates(items=items, total=total, new=new)


def unimprinted(tx: Tx, actor: Actor, *, q: str = "", known: bool = False) -> list[str]:
    """The MACs of those that match and that the bench does not have; with `known`, of all."""
    require(actor, "viewer")
    query = _matching(select(col(DiscoveredDevice.mac)), q, None)
    if not known:
        query = query.where(col(Device.id).is_(None))
    return list(tx.session.scalars(query.order_by(col(DiscoveredDevice.mac))))


def _matching(query: Any, q: str, since: datetime | None) -> Any:
    there = (col(Device.mac) == col(DiscoveredDevice.mac)) & col(Device.removed_at).is_(None)
    query = query.select_from(DiscoveredDevice).outerjoin(Device, there)
    if since is not None:
        query = query.where(col(DiscoveredDevice.found_at) >= since)
    if q:
        like = "%" + q.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        texts = (col(DiscoveredDevice.mac), col(DiscoveredDevice.ip), _MODEL, _FIRMWARE)
        named = (col(DiscoveredDevice.hostname), col(Device.name))
        query = query.where(or_(*(text.ilike(like) for text in (*texts, *named))))
    return query
