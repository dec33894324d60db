"""Environments over REST."""

from fastapi import APIRouter, Query, Response

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import environments
from testbench.services.environments import EnvironmentBody, EnvironmentView
from testbench.services.lists import Page

router = APIRouter(prefix="/api/environments", tags=["environments"], route_class=Door)


@router.get("")
@allow("viewer")
def list_environments(
    actor: Caller, limit: int = Query(100, ge=1, le=500), cursor: str | None = None
) -> Page[EnvironmentView]:
    """Environments in the order of their making."""
    return db.run(lambda tx: environments.list_(tx, actor, limit=limit, cursor=cursor))


@router.post("", status_code=201)
@allow("engineer")
def create_environment(actor: Caller, body: EnvironmentBody) -> EnvironmentView:
    """Conditions and variables by name."""
    return db.run(lambda tx: environments.create(tx, actor, body))


@router.get("/{environment_id}")
@allow("viewer")
def get_environment(actor: Caller, environment_id: str) -> EnvironmentView:
    """One environment."""
    return db.run(lambda tx: environments.get(tx, actor, environment_id))


@router.put("/{environment_id}")
@allow("engineer")
def replace_environment(
    actor: Caller, environment_id: str, body: EnvironmentBody
) -> EnvironmentView:
    """Runs keep the copy they started with."""
    return db.run(lambda tx: environments.replace(tx, actor, environment_id, body))


@router.delete("/{environment_id}", status_code=204)
@allow("engineer")
def delete_environment(actor: Caller, environment_id: str) -> Response:
    """409 while an active run uses it."""
    db.run(lambda tx: environments.delete(tx, actor, environment_id))
    return Response(status_code=204)
