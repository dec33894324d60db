"""Test cases: what is judged, kept as immutable revisions; tried on stored data without a run."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.domain.criteria import Verdict, Window
from testbench.domain.errors import Conflict, Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.judging import DeviceJudgement, judge_device, metrics_needed
from testbench.domain.names import Name
from testbench.domain.runs import ACTIVE
from testbench.domain.telemetry import EARLIEST_MS
from testbench.domain.test_cases import TestCaseSpec
from testbench.domain.times import ms
from testbench.models import Run, TestCase, TestCaseRevision
from testbench.services import devices, environments, lists
from testbench.services.keys import as_id

LATEST_MS = ms(datetime(9000, 1, 1, tzinfo=UTC))
MAX_WINDOW_MS = 10 * 366 * 86_400_000


class TestCaseBody(TestCaseSpec, frozen=True):
    """What a person writes: a name and the document."""

    __test__ = False

    name: Name

    def spec(self) -> dict[str, Any]:
        """The document as a revision keeps it."""
        return self.model_dump(mode="json", exclude={"name"})


class TestCaseView(TestCaseBody, frozen=True):
    """A test case with its current revision."""

    __test__ = False

    id: uuid.UUID
    revision: int
    created_at: datetime


class Evaluation(BaseModel):
    """What to judge, without a run: RFC 3339 times, both ends inclusive."""

    model_config = ConfigDict(extra="forbid")

    device_id: str
    start: AwareDatetime
    end: AwareDatetime
    environment_id: str | None = None


class EvaluationResult(BaseModel):
    """The outcome stored readings would have had."""

    outcome: str
    criteria: list[Verdict]
    window_start: datetime
    window_end: datetime


def _query() -> Any:
    current = (col(TestCaseRevision.test_case_id) == col(TestCase.id)) & (
        col(TestCaseRevision.revision) == col(TestCase.revision)
    )
    return select(TestCase, col(TestCaseRevision.document)).join(TestCaseRevision, current)


def _view(row: Any) -> TestCaseView:
    case, document = row[0], row[1]
    return TestCaseView(
        **document,
        id=case.id,
        name=case.name,
        revision=case.revision,
        created_at=case.created_at,
    )


def get(tx: Tx, actor: Actor, test_case_id: str | uuid.UUID) -> TestCaseView:
    """One test case at its current revision; NotFound if unknown."""
    require(actor, "viewer")
    key = as_id(test_case_id, "test case")
    row = tx.session.execute(_query().where(col(TestCase.id) == key)).one_or_none()
    if row is None:
        raise NotFound(f"There is no test case {str(test_case_id)[:64]!r}.")
    return _view(row)


def list_(
    tx: Tx, actor: Actor, *, limit: int = 100, cursor: str | None = None
) -> lists.Page[TestCaseView]:
    """Test cases in the order of their making."""
    require(actor, "viewer")
    rows, following = lists.page(tx, _query(), col(TestCase.id), limit, cursor, uuid.UUID)
    return lists.Page(items=[_view(row) for row in rows], next_cursor=following)


def revisions(tx: Tx, actor: Actor, test_case_id: str) -> list[TestCaseView]:
    """Every revision, newest first."""
    require(actor, "viewer")
    case = _locked(tx, test_case_id, lock=False)
    rows = tx.session.scalars(
        select(TestCaseRevision)
        .where(col(TestCaseRevision.test_case_id) == case.id)
        .order_by(col(TestCaseRevision.revision).desc())
    )
    return [
        TestCaseView(
            **row.document,
            id=case.id,
            name=case.name,
            revision=row.revision,
            created_at=row.created_at,
        )
        for row in rows
    ]


def _locked(tx: Tx, test_case_id: str | uuid.UUID, *, lock: bool = True) -> TestCase:
    key = as_id(test_case_id, "test case")
    row = tx.session.get(TestCase, key, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"There is no test case {str(test_case_id)[:64]!r}.")
    return row


def _store(tx: Tx, case: TestCase, body: TestCaseBody) -> TestCaseView:
    tx.session.add(case)
    try:
        tx.session.flush()
    except IntegrityError as error:
        raise Conflict("Another test case has this name.", errors=[("name", "is taken")]) from error
    tx.session.add(
        TestCaseRevision(
            test_case_id=case.id, revision=case.revision, document=body.spec(), created_at=tx.now
        )
    )
    tx.session.flush()
    tx.emit("test_cases", case.id)
    return get(tx, _READER, case.id)


_READER = Actor(user_id=None, username="testbench", role="viewer")


def create(tx: Tx, actor: Actor, body: TestCaseBody, *, demo: bool = False) -> TestCaseView:
    """Revision 1; Conflict if the name is taken."""
    require(actor, "engineer")
    return _store(tx, TestCase(name=body.name, demo=demo, created_at=tx.now), body)


def replace(tx: Tx, actor: Actor, test_case_id: str, body: TestCaseBody) -> TestCaseView:
    """A new revision; what runs, and what ran, keeps the one it started with."""
    require(actor, "engineer")
    case = _locked(tx, test_case_id)
    case.name = body.name
    case.revision += 1
    return _store(tx, case, body)


def delete(tx: Tx, actor: Actor, test_case_id: str) -> None:
    """Conflict while an active run uses it."""
    require(actor, "engineer")
    case = _locked(tx, test_case_id)
    uses = (
        select(col(Run.id))
        .where(col(Run.test_case_id) == case.id, col(Run.status).in_(ACTIVE))
        .limit(1)
    )
    if tx.session.scalar(uses):
        raise Conflict("An active run uses this test case.")
    tx.session.delete(case)
    tx.emit("test_cases", case.id)


def evaluate(tx: Tx, actor: Actor, test_case_id: str, body: Evaluation) -> EvaluationResult:
    """Judge stored readings now, by the current revision; clock flags are left out."""
    case = get(tx, actor, test_case_id)
    return try_out(tx, actor, case, body)


def try_out(tx: Tx, actor: Actor, spec: TestCaseSpec, body: Evaluation) -> EvaluationResult:
    """Judge stored readings by a document that need not be saved."""
    require(actor, "viewer")
    device = devices.find(tx, body.device_id)
    named = body.environment_id
    variables = {} if named is None else environments.find(tx, named).variables
    window = _window(body)
    judged = judge(tx, spec.resolve(variables), device.id, window)
    return EvaluationResult(
        outcome=judged.outcome or "error",
        criteria=judged.criteria,
        window_start=body.start,
        window_end=body.end,
    )


def _window(body: Evaluation) -> Window:
    window = Window(ms(body.start), ms(body.end))
    if window.start < EARLIEST_MS:
        raise Invalid("The window is too early.", errors=[("start", "must not be before 2000")])
    if window.end <= window.start:
        raise Invalid("The window is empty.", errors=[("end", "must be after start")])
    if window.end - window.start > MAX_WINDOW_MS:
        raise Invalid("The window is too long.", errors=[("end", "at most ten years after start")])
    if window.end > LATEST_MS:
        raise Invalid("The window is too late.", errors=[("end", "must be before the year 9000")])
    return window


def judge(
    tx: Tx,
    spec: TestCaseSpec,
    device_id: uuid.UUID,
    window: Window,
    clock_off_ms: int | None = None,
) -> DeviceJudgement:
    """One fold over all stored readings of the window."""
    metrics = sorted(metrics_needed(spec))
    series = stores.store().window(tx, device_id, metrics, window.start, window.end)
    return judge_device(spec, series, window, clock_off_ms=clock_off_ms)


def search(
    tx: Tx, actor: Actor, *, q: str | None = None, offset: int = 0, limit: int = 50
) -> tuple[list[TestCaseView], int]:
    """A window of test cases by name, and how many there are; `q` is text in the name."""
    require(actor, "viewer")
    statement = _query()
    if q:
        statement = statement.where(TestCase.name.icontains(q, autoescape=True))  # type: ignore[attr-defined]  # a column
    total = tx.session.scalar(select(func.count()).select_from(statement.subquery())) or 0
    rows = tx.session.execute(
        statement.order_by(func.lower(TestCase.name)).offset(offset).limit(limit)
    )
    return [_view(row) for row in rows], total
