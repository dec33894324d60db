"""Home: is the lab all right, what is going on? And each person's own arrangement of it."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from testbench.adapters import db
from testbench.adapters.db import Tx
from testbench.domain.errors import Forbidden
from testbench.domain.identity import Actor, require
from testbench.models import DashboardConfig
from testbench.services import devices, health
from testbench.services.health import Health
from testbench.services.runs import summaries
from testbench.services.runs.summaries import RunSummary

DAY = timedelta(hours=24)
RECENT = 10
TILES: tuple[str, ...] = ("fleet", "runs", "outcomes", "alerts", "system")


class Config(BaseModel):
    """What a person wants to see: tiles in their order, and a time range such as `24h`.

    The arrangement is the client's own: what else it writes down comes back as it was.
    """

    model_config = ConfigDict(extra="allow")

    tiles: list[JsonValue] = Field(default_factory=lambda: [*TILES], max_length=100)
    range: JsonValue = "24h"


class RunsTile(BaseModel):
    """`active` counts the runs that go on, `live` shows the newest of them."""

    active: int
    live: list[RunSummary]
    recent: list[RunSummary]
    outcomes_24h: dict[str, int]


class AlertsTile(BaseModel):
    """Firing alerts."""

    active: int = 0
    by_severity: dict[str, int] = Field(
        default_factory=lambda: {"critical": 0, "warning": 0, "info": 0}
    )


class Overview(BaseModel):
    """What the database knows for the home page."""

    config: Config
    devices: devices.Counts
    runs: RunsTile
    alerts: AlertsTile


class Dashboard(Overview):
    """The home page, with the bench's own health."""

    system: Health


def read(tx: Tx, actor: Actor) -> Overview:
    """Counts, live and recent runs, the last day's outcomes and the person's arrangement."""
    require(actor, "viewer")
    return Overview(
        config=config(tx, actor),
        devices=devices.counts(tx),
        runs=RunsTile(
            active=summaries.active_count(tx),
            live=summaries.active(tx, actor),
            recent=summaries.table(tx, actor, limit=RECENT).items,
            outcomes_24h=summaries.outcomes_since(tx, DAY),
        ),
        alerts=AlertsTile(),
    )


def get(actor: Actor) -> Dashboard:
    """`read`, and each part of the bench asked how it is; Unavailable without the database."""
    overview = db.run(lambda tx: read(tx, actor))
    return Dashboard(**dict(overview), system=health.recent())


def config(tx: Tx, actor: Actor) -> Config:
    """The person's arrangement, or the usual one."""
    require(actor, "viewer")
    row = tx.session.get(DashboardConfig, actor.user_id) if actor.user_id else None
    stored: dict[str, Any] = row.config if row else {}
    return Config.model_validate(stored)


def configure(tx: Tx, actor: Actor, new: Config) -> Config:
    """Keep the person's arrangement; Forbidden for who is no person."""
    require(actor, "viewer")
    if actor.user_id is None:
        raise Forbidden("Only a person has a dashboard.")
    tx.session.merge(DashboardConfig(user_id=actor.user_id, config=new.model_dump(mode="json")))
    tx.session.flush()
    tx.emit("dashboard", actor.user_id)
    return new
