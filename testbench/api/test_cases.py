"""Test cases over REST."""

from fastapi import APIRouter, Query, Response

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import test_cases
from testbench.services.lists import Page
from testbench.services.test_cases import (
    Evaluation,
    EvaluationResult,
    TestCaseBody,
    TestCaseView,
)

router = APIRouter(prefix="/api/test-cases", tags=["test cases"], route_class=Door)


@router.get("")
@allow("viewer")
def list_test_cases(
    actor: Caller, limit: int = Query(100, ge=1, le=500), cursor: str | None = None
) -> Page[TestCaseView]:
    """Test cases at their current revision."""
    return db.run(lambda tx: test_cases.list_(tx, actor, limit=limit, cursor=cursor))


@router.post("", status_code=201)
@allow("engineer")
def create_test_case(actor: Caller, body: TestCaseBody) -> TestCaseView:
    """A test case at revision 1."""
    return db.run(lambda tx: test_cases.create(tx, actor, body))


@router.get("/{test_case_id}")
@allow("viewer")
def get_test_case(actor: Caller, test_case_id: str) -> TestCaseView:
    """One test case at its current revision."""
    return db.run(lambda tx: test_cases.get(tx, actor, test_case_id))


@router.get("/{test_case_id}/revisions")
@allow("viewer")
def list_revisions(actor: Caller, test_case_id: str) -> list[TestCaseView]:
    """Every revision, newest first."""
    return db.run(lambda tx: test_cases.revisions(tx, actor, test_case_id))


@router.put("/{test_case_id}")
@allow("engineer")
def replace_test_case(actor: Caller, test_case_id: str, body: TestCaseBody) -> TestCaseView:
    """A new revision."""
    return db.run(lambda tx: test_cases.replace(tx, actor, test_case_id, body))


@router.delete("/{test_case_id}", status_code=204)
@allow("engineer")
def delete_test_case(actor: Caller, test_case_id: str) -> Response:
    """409 while an active run uses it."""
    db.run(lambda tx: test_cases.delete(tx, actor, test_case_id))
    return Response(status_code=204)


@router.post("/{test_case_id}/evaluate")
@allow("viewer")
def evaluate(actor: Caller, test_case_id: str, body: Evaluation) -> EvaluationResult:
    """Judge stored readings now, without a run."""
    return db.run(
        lambda tx: test_cases.evaluate(tx, actor, test_case_id, body), attempt_s=db.REQUEST_BUDGET_S
    )
