"""Test runs over REST; callback and heartbeat are the runners' doors."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.domain.errors import Unauthenticated
from testbench.domain.runs import Outcome, Status
from testbench.services import runs
from testbench.services.lists import Page
from testbench.services.runs import Callback, Heartbeat, NewRun, RunView

router = APIRouter(prefix="/api/test-runs", tags=["test runs"], route_class=Door)


class HeartbeatAnswer(BaseModel):
    """Whether the runner should stop."""

    cancel: bool


def _run_token(request: Request) -> str:
    """The bearer token, checked against the run before the body is looked at."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the run's own token.")
    run_id = request.path_params["run_id"]
    db.run(lambda tx: runs.admit(tx, run_id, token.strip()))
    return token.strip()


RunToken = Annotated[str, Depends(_run_token)]


@router.post("", status_code=201)
@allow("engineer")
def start_run(
    actor: Caller,
    body: NewRun,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> RunView:
    """Start a run: all its devices are reserved, or none."""
    return db.run(lambda tx: runs.start(tx, actor, body, idempotency_key))


@router.get("")
@allow("viewer")
def list_runs(
    actor: Caller,
    status: Status | Literal["active"] | None = None,
    outcome: Outcome | None = None,
    device_id: str | None = None,
    test_case_id: str | None = None,
    limit: int = Query(100, ge=1, le=500),
    cursor: str | None = None,
) -> Page[RunView]:
    """Runs, newest first."""
    return db.run(
        lambda tx: runs.list_(
            tx,
            actor,
            status=status,
            outcome=outcome,
            device_id=device_id,
            test_case_id=test_case_id,
            limit=limit,
            cursor=cursor,
        )
    )


@router.get("/{run_id}")
@allow("viewer")
def get_run(actor: Caller, run_id: str) -> RunView:
    """One run with its timeline."""
    return db.run(lambda tx: runs.get(tx, actor, run_id))


@router.post("/{run_id}/cancel")
@allow("engineer")
def cancel_run(actor: Caller, run_id: str) -> RunView:
    """Stop a run; 409 if it has ended."""
    return db.run(lambda tx: runs.cancel(tx, actor, run_id))


@router.post("/{run_id}/callback")
@allow("public")
def callback(run_id: str, token: RunToken, body: Callback) -> RunView:
    """A runner's result, by the run's own token."""
    return db.run(lambda tx: runs.callback(tx, run_id, token, body))


@router.post("/{run_id}/heartbeat")
@allow("public")
def heartbeat(run_id: str, token: RunToken, body: Heartbeat) -> HeartbeatAnswer:
    """A runner says it lives, and hears whether to stop."""
    return HeartbeatAnswer(cancel=db.run(lambda tx: runs.heartbeat(tx, run_id, token, body)))
