"""The home page over REST."""

from fastapi import APIRouter

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import dashboard
from testbench.services.dashboard import Config, Dashboard

router = APIRouter(prefix="/api/dashboard", tags=["dashboard"], route_class=Door)


@router.get("")
@allow("viewer")
def get_dashboard(actor: Caller) -> Dashboard:
    """Counts, runs, alerts and the bench's health; 503 while the database is away."""
    return dashboard.get(actor)


@router.put("/config")
@allow("viewer")
def put_config(actor: Caller, body: Config) -> Config:
    """The person's tiles and time range."""
    return db.run(lambda tx: dashboard.configure(tx, actor, body))
