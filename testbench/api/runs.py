"""Test runs over REST; callback and heartbeat are the runners' doors."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from testbench.adapters import db
from testbench.api import doors
from testbench.api.doors import Caller, Door, allow
from testbench.domain.errors import Unauthenticated
from testbench.domain.runs import Outcome, Status
from testbench.services import comparisons, reports, runs
from testbench.services.comparisons import Comparison
from testbench.services.lists import Page
from testbench.services.runs import Callback, Heartbeat, NewRun, RunView

router = APIRouter(prefix="/api/test-runs", tags=["test runs"], route_class=Door)


PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A report is a document: it loads nothing and runs nothing."""


class HeartbeatAnswer(BaseModel):
    """Whether the runner should stop."""

    cancel: bool


def by_run_token(request: Request) -> None:
    """A runner proves itself with the run's own token, before its body is looked at."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the run's own token.")
    run_id = request.path_params["run_id"]
    db.run(lambda tx: runs.admit(tx, run_id, token.strip()))
    doors.limit(f"run:{run_id}")
    request.state.run_token = token.strip()


def _run_token(request: Request) -> str:
    return request.state.run_token


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


@router.get("/compare")
@allow("viewer")
def compare_runs(actor: Caller, a: str, b: str) -> Comparison:
    """Criteria of two runs side by side, differences first."""
    return db.run(lambda tx: comparisons.compare(tx, actor, a, b))


@router.get("/{run_id}")
@allow("viewer")
def get_run(actor: Caller, run_id: str) -> RunView:
    """One run with its timeline."""
    return db.run(lambda tx: runs.get(tx, actor, run_id))


@router.get("/{run_id}/report")
@allow("viewer")
def get_report(actor: Caller, run_id: str, format: reports.Format = "json") -> Response:
    """The run as a file: JSON, CSV, JUnit XML, or a page to read and print."""
    media_type, filename, content = db.run(
        lambda tx: reports.report(tx, actor, run_id, format), attempt_s=db.REQUEST_BUDGET_S
    )
    place = "inline" if format == "html" else "attachment"
    headers = {
        "content-disposition": f'{place}; filename="{filename}"',
        "content-security-policy": PAGE_POLICY,
    }
    return Response(content, media_type=media_type, headers=headers)


@router.post("/{run_id}/cancel")
@allow("engineer")
def cancel_run(actor: Caller, run_id: str) -> RunView:
    """Stop a run; 409 if it has ended."""
    return db.run(lambda tx: runs.cancel(tx, actor, run_id))


@router.post("/{run_id}/callback")
@allow(by_run_token)
def callback(run_id: str, token: RunToken, body: Callback) -> RunView:
    """A runner's result, by the run's own token."""
    return db.run(lambda tx: runs.callback(tx, run_id, token, body))


@router.post("/{run_id}/heartbeat")
@allow(by_run_token)
def heartbeat(run_id: str, token: RunToken, body: Heartbeat) -> HeartbeatAnswer:
    """A runner says it lives, and hears whether to stop."""
    return HeartbeatAnswer(cancel=db.run(lambda tx: runs.heartbeat(tx, run_id, token, body)))
