"""Test cases below HTTP: who may, revisions under contention, what a run keeps."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbench.adapters import db
from testbench.domain.errors import Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.services import test_cases
from testbench.services.test_cases import TestCaseBody
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")


def body(name: str, **fields: object) -> TestCaseBody:
    whole = {"name": name, "duration_s": 1.0, "criteria": [made_runs.LIMITS], **fields}
    return TestCaseBody.model_validate(whole)


def test_the_services_themselves_refuse_who_may_not() -> None:
    made = made_runs.case()
    for actor in (Actor(new_id(), "v", "viewer"), Actor(new_id(), "r", "admin", scope="read")):
        for verb in (
            lambda tx, actor=actor: test_cases.create(tx, actor, body("x")),
            lambda tx, actor=actor: test_cases.replace(tx, actor, str(made.id), body("x")),
            lambda tx, actor=actor: test_cases.delete(tx, actor, str(made.id)),
        ):
            with pytest.raises(Forbidden):
                db.run(verb)
        assert db.run(lambda tx, actor=actor: test_cases.get(tx, actor, made.id)) == made


def test_changes_at_once_each_make_a_revision_of_their_own() -> None:
    made, barrier = made_runs.case(), threading.Barrier(6)

    def change(i: int) -> int:
        barrier.wait()
        new = body(made.name, duration_s=10.0 + i)
        return db.run(lambda tx: test_cases.replace(tx, BENCH, str(made.id), new)).revision

    with ThreadPoolExecutor(6) as pool:
        revisions = sorted(pool.map(change, range(6)))

    assert revisions == [2, 3, 4, 5, 6, 7]
    kept = db.run(lambda tx: test_cases.revisions(tx, BENCH, str(made.id)))
    assert [case.revision for case in kept] == [7, 6, 5, 4, 3, 2, 1]
    assert {case.duration_s for case in kept[:-1]} == {10.0 + i for i in range(6)}


def test_a_run_is_judged_by_the_revision_it_started_with() -> None:
    device, case = made_runs.online_device(), made_runs.case()
    run = made_runs.started(case.id, [device.id])
    harder = {**made_runs.LIMITS, "high": -100.0}
    new = body(case.name, criteria=[harder], duration_s=999.0)
    db.run(lambda tx: test_cases.replace(tx, BENCH, str(case.id), new))

    made_runs.step(run.id)
    with db.transaction() as tx:
        window = tx.cursor().execute("SELECT window_end - window_start FROM runs").fetchone()

    assert window is not None
    assert window[0].total_seconds() == case.duration_s
