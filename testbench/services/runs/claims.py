"""Holding a step: claim it, keep it, complete it; the claim is the fencing token.

Claiming sets `claim` and a lease where the step is still the expected one and nobody's lease
holds; completing raises the step where the claim is still ours. Zero rows: somebody else did it.
"""

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from testbench.adapters.db import Tx
from testbench.domain.criteria import Window
from testbench.domain.test_cases import TestCaseSpec
from testbench.domain.times import ms
from testbench.models import Run
from testbench.services.runs.finishing import Ending, conclude_now, finish
from testbench.services.runs.views import find
from testbench.settings import settings

_COLUMNS = """id, phase, step, claim, started_at, window_start, window_end, deadline_at,
ending, attempt, failures, stage, stage_began, message"""
# Losing a claim in a crash loses nothing, the lease would have run out anyway: its commit need not
# reach the disk.
_CLAIM = f"""
WITH hint AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE runs SET claim = gen_random_uuid(), lease_until = now() + make_interval(secs => %(lease)s),
    sent_until = NULL
FROM hint
WHERE id = %(id)s AND step = %(step)s AND status IN ('queued', 'running')
    AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
RETURNING {_COLUMNS}, now() AS now, status
"""
_DOCUMENTS = "SELECT test_case, environment FROM runs WHERE id = %s"
_COMPLETE = """
UPDATE runs SET step = step + 1, claim = NULL, lease_until = NULL, sent_until = NULL,
    failures = 0, phase = %(phase)s, due_at = %(due_at)s, status = 'running',
    started_at = coalesce(started_at, %(started_at)s),
    deadline_at = coalesce(deadline_at, %(deadline_at)s),
    window_start = %(window_start)s, window_end = %(window_end)s, ending = %(ending)s,
    stage = %(stage)s, stage_began = %(stage_began)s, message = %(message)s
WHERE id = %(id)s AND step = %(step)s AND claim = %(claim)s
"""


class Fenced(Exception):
    """The claim is no longer ours; what this step did is thrown away."""


@dataclass
class Step:
    """A claimed step: what the row held, and what completing it will write."""

    id: uuid.UUID
    step: int
    claim: uuid.UUID
    phase: str
    status: str
    now: datetime
    started_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    ending: dict[str, Any] | None
    attempt: int
    failures: int
    stage: int
    stage_began: datetime | None
    message: str | None
    due_at: datetime
    deadline_at: datetime | None
    spec: TestCaseSpec = field(init=False)
    """Read when the step is performed; what is wrong with it is then the step's fault."""

    def window(self) -> Window:
        """The judged window in ms."""
        if self.window_start is None or self.window_end is None:
            raise RuntimeError("the window is not open yet")
        return Window(ms(self.window_start), ms(self.window_end))


_SPEC_FIELDS = tuple(TestCaseSpec.model_fields)
_MAX_SPECS = 4096
_specs: dict[uuid.UUID, TestCaseSpec] = {}


def spec_of(tx: Tx, run_id: uuid.UUID) -> TestCaseSpec:
    """The run's own copy, which never changes, with its variables replaced."""
    if run_id in _specs:
        return _specs[run_id]
    row: Any = tx.cursor().execute(_DOCUMENTS, (run_id,)).fetchone()
    document, environment = row
    kept = {name: document[name] for name in _SPEC_FIELDS if name in document}
    variables = (environment or {}).get("variables", {})
    spec = TestCaseSpec.model_validate_json(json.dumps(kept)).resolve(variables)
    if len(_specs) >= _MAX_SPECS:
        _specs.clear()
    _specs[run_id] = spec
    return spec


def claim(tx: Tx, run_id: uuid.UUID, step: int) -> Step | None:
    """Take the step, or None if it is done, not due, or another worker has it."""
    cursor = tx.cursor()
    cursor.row_factory = dict_row
    values = {"id": run_id, "step": step, "lease": settings().lease_s}
    row: Any = cursor.execute(_CLAIM, values, prepare=True).fetchone()
    return Step(**row, due_at=row["now"]) if row else None


def renew(tx: Tx, step: Step) -> bool:
    """Hold the lease for longer; False if it was lost."""
    cursor = tx.cursor().execute(
        "UPDATE runs SET lease_until = now() + make_interval(secs => %s)"
        " WHERE id = %s AND step = %s AND claim = %s",
        (settings().lease_s, step.id, step.step, step.claim),
    )
    return cursor.rowcount == 1


def complete(tx: Tx, step: Step) -> None:
    """Write what the step found and pass on to the next; raises Fenced if it is not ours."""
    values = {
        "id": step.id,
        "step": step.step,
        "claim": step.claim,
        "phase": step.phase,
        "due_at": step.due_at,
        "started_at": step.now,
        "deadline_at": step.deadline_at,
        "window_start": step.window_start,
        "window_end": step.window_end,
        "ending": Jsonb(step.ending) if step.ending else None,
        "stage": step.stage,
        "stage_began": step.stage_began,
        "message": step.message,
    }
    if tx.cursor().execute(_COMPLETE, values, prepare=True).rowcount != 1:
        raise Fenced
    tx.emit("runs", step.id)
    if step.due_at <= step.now:
        tx.wake_clock()


def locked(tx: Tx, step: Step) -> Run:
    """The run's row, held until the transaction ends; raises Fenced if the step is not ours."""
    run = find(tx, step.id, lock=True)
    if run.claim != step.claim:
        raise Fenced
    return run


def end(tx: Tx, step: Step, ending: Ending) -> None:
    """End the run from within a step that is still ours."""
    run = locked(tx, step)
    if step.phase == "teardown":
        finish(tx, run, ending)
    else:
        run.started_at, run.message = run.started_at or step.now, None
        conclude_now(tx, run, ending)
