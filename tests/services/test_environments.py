"""Environments below HTTP: who may, and what a run keeps of them."""

import pytest

from testbench.adapters import db
from testbench.domain.errors import Conflict, Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.services import environments, runs
from testbench.services.environments import EnvironmentBody
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")


def test_the_services_themselves_refuse_who_may_not() -> None:
    made = made_runs.environment(x=1.0)
    body = EnvironmentBody(name="other")
    for actor in (Actor(new_id(), "v", "viewer"), Actor(new_id(), "r", "admin", scope="read")):
        for verb in (
            lambda tx, actor=actor: environments.create(tx, actor, body),
            lambda tx, actor=actor: environments.replace(tx, actor, str(made.id), body),
            lambda tx, actor=actor: environments.delete(tx, actor, str(made.id)),
        ):
            with pytest.raises(Forbidden):
                db.run(verb)
        assert db.run(lambda tx, actor=actor: environments.get(tx, actor, str(made.id))) == made


def test_numbers_and_strings_come_back_as_they_were() -> None:
    made = made_runs.environment(a=1.5, b="1.5", c=-0.0, d="", e=1e308)

    kept = db.run(lambda tx: environments.get(tx, BENCH, str(made.id))).variables

    assert kept == {"a": 1.5, "b": "1.5", "c": -0.0, "d": "", "e": 1e308}
    assert [type(kept[name]) for name in "abd"] == [float, str, str]


def test_a_run_is_judged_by_the_variables_it_started_with() -> None:
    made = made_runs.environment(max=30.0)
    case = made_runs.case({**made_runs.LIMITS, "high": "{{max}}"})
    device = made_runs.online_device()
    run = made_runs.started(case.id, [device.id], made.id)
    body = EnvironmentBody(name="x", variables={"max": 1.0})
    db.run(lambda tx: environments.replace(tx, BENCH, str(made.id), body))

    with pytest.raises(Conflict):
        db.run(lambda tx: environments.delete(tx, BENCH, str(made.id)))
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))
    db.run(lambda tx: environments.delete(tx, BENCH, str(made.id)))

    kept = db.run(lambda tx: runs.get(tx, BENCH, run.id)).environment
    assert kept is not None
    assert kept["variables"] == {"max": 30.0}
