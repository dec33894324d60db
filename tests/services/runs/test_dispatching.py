"""What is due is sent, again if it got lost; what waited too long is ended."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.services import environments, runs
from testbench.services.environments import EnvironmentBody
from testbench.services.runs import Heartbeat, NewRun, RunView, tokens
from tests import made_runs
from tests.services import Env
from tests.stepped_runs import age, claim, events, held_by, row, started, step, view

pytestmark = pytest.mark.usefixtures("bench_env")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def due() -> list[tuple[uuid.UUID, int]]:
    with db.transaction() as tx:
        return [(entry.run_id, entry.step) for entry in runs.take_due(tx)]


def sweep(ready_since: datetime = LONG_AGO) -> int:
    with db.transaction() as tx:
        return runs.sweep(tx, ready_since)


def external(env: Env, **fields: object) -> RunView:
    """A run for an external runner, queued."""
    env.set(RABBITMQ_URL="amqp://127.0.0.1:1/")
    body = EnvironmentBody(name="elsewhere", runner="external")
    environment = db.run(lambda tx: environments.create(tx, BENCH, body))
    device = made_runs.online_device()
    case = made_runs.case(**fields)  # type: ignore[arg-type]
    return made_runs.started(case.id, [device.id], environment.id)


def dispatched(run_id: uuid.UUID) -> None:
    with db.transaction() as tx:
        runs.dispatched(tx, run_id)


def beat(run_id: uuid.UUID, attempt: int = 1) -> bool:
    token = tokens.issue(run_id, attempt)
    return db.run(lambda tx: runs.heartbeat(tx, str(run_id), token, Heartbeat(attempt=attempt)))


def test_a_due_step_is_sent_once_and_again_when_it_got_lost() -> None:
    run = started()

    assert due() == [(run.id, 0)]
    assert due() == []
    age(run.id, 31)
    assert due() == [(run.id, 0)]
    with db.transaction() as tx:
        runs.unsend(tx, [run.id])
    assert due() == [(run.id, 0)]


def test_a_claimed_step_is_sent_again_when_its_worker_is_dead() -> None:
    run = started()
    due()
    claim(run.id)

    assert due() == []
    age(run.id, 11)
    assert due() == [(run.id, 0)]


def test_the_clock_knows_when_the_next_step_is_due() -> None:
    with db.transaction() as tx:
        assert runs.next_due_s(tx) is None
    run = started(duration_s=100)
    step(run.id)

    with db.transaction() as tx:
        pause = runs.next_due_s(tx)

    assert pause is not None
    assert 3 < pause <= 5
    assert due() == []
    age(run.id, 6)
    assert due() == [(run.id, 1)]


def test_a_run_nobody_took_is_ended_after_the_queues_timeout(bench_env: Env) -> None:
    bench_env.set(QUEUE_TIMEOUT_S="60")
    run, waiting = started(), started()
    age(run.id, 61)
    age(waiting.id, 59)

    assert sweep() == 1

    ended = view(run.id)
    assert (ended.status, ended.outcome) == ("failed", "timeout")
    assert held_by(run.devices[0].device_id) is None
    assert view(waiting.id).status == "queued"


def test_waiting_counts_from_when_the_bench_was_ready(bench_env: Env) -> None:
    bench_env.set(QUEUE_TIMEOUT_S="60")
    run = started()
    age(run.id, 3600)

    assert sweep(datetime.now(UTC) - timedelta(seconds=30)) == 0
    assert sweep(datetime.now(UTC) - timedelta(seconds=61)) == 1


def test_a_run_past_its_timeout_is_ended() -> None:
    run = started(duration_s=1, timeout_s=5)
    step(run.id)
    age(run.id, 4)
    assert sweep() == 0
    age(run.id, 2)

    assert sweep(datetime.now(UTC) - timedelta(seconds=6.5)) == 1
    assert (view(run.id).status, view(run.id).outcome) == ("failed", "timeout")


def test_a_run_the_bench_held_up_is_given_a_minute() -> None:
    run = started(duration_s=1, timeout_s=5)
    step(run.id)
    age(run.id, 3600)

    assert sweep(datetime.now(UTC) - timedelta(seconds=50)) == 0
    assert sweep(datetime.now(UTC) - timedelta(seconds=61)) == 1


@pytest.mark.parametrize("phase", ["callback", "teardown"])
def test_an_ending_that_does_not_come_is_written_as_it_was_meant(phase: str) -> None:
    teardown = {"teardown": "restore"} if phase == "teardown" else {}
    run = started(duration_s=1, grace_s=0, timeout_s=5, **teardown)
    step(run.id)
    age(run.id, 3)
    step(run.id)
    assert row(run.id).phase == phase
    age(run.id, 100)
    assert sweep() == 0
    age(run.id, 30)

    assert sweep() == 1
    ended = view(run.id)
    assert (ended.status, ended.outcome) == ("failed", "error")
    assert "no readings" in (ended.reason or "")
    assert events(ended)[-2:] == ["fault", "failed"]
    assert held_by(run.devices[0].device_id) is None


def test_a_job_tells_an_external_runner_all_it_needs(bench_env: Env) -> None:
    run = external(bench_env)

    with db.transaction() as tx:
        job = runs.job(tx, run.id)

    assert job is not None
    assert job.keys() == {
        "run_id", "attempt", "callback_url", "token", "test_case", "environment", "devices",
        "deadline",
    }  # fmt: skip
    assert (job["run_id"], job["attempt"]) == (str(run.id), 1)
    assert job["callback_url"].endswith(f"/api/test-runs/{run.id}/callback")
    assert job["token"] == tokens.issue(run.id, 1)
    assert [device["id"] for device in job["devices"]] == [str(run.devices[0].device_id)]
    assert "token_hash" not in job["devices"][0]
    assert datetime.fromisoformat(job["deadline"]) > datetime.now(UTC)


def test_a_run_cancelled_before_its_job_was_sent_has_none(bench_env: Env) -> None:
    run = external(bench_env)
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))

    with db.transaction() as tx:
        assert runs.job(tx, run.id) is None
    dispatched(run.id)
    assert view(run.id).status == "cancelled"


def test_a_heartbeat_that_overtakes_the_dispatch_keeps_its_deadline(bench_env: Env) -> None:
    run = external(bench_env, timeout_s=30)
    beat(run.id)

    dispatched(run.id)

    assert row(run.id).phase == "external"
    assert row(run.id).deadline_at is not None
    assert due() == []


def test_a_lost_heartbeat_fails_the_run_by_default(bench_env: Env) -> None:
    run = external(bench_env, duration_s=3600)
    dispatched(run.id)
    age(run.id, 600)
    assert sweep() == 0  # nobody took it yet
    beat(run.id)
    age(run.id, 59)
    assert sweep() == 0
    assert sweep(datetime.now(UTC)) == 0
    age(run.id, 2)

    assert sweep(datetime.now(UTC) - timedelta(seconds=59)) == 0
    assert sweep() == 1
    assert (view(run.id).status, view(run.id).outcome) == ("failed", "error")


def test_a_lost_heartbeat_begins_another_attempt_where_allowed(bench_env: Env) -> None:
    bench_env.set(MAX_ATTEMPTS="2", QUEUE_TIMEOUT_S="100")
    run = external(bench_env, duration_s=3600)
    dispatched(run.id)
    beat(run.id)
    age(run.id, 200)

    assert sweep() == 1
    again = view(run.id)
    assert sweep() == 0  # the second attempt has its time before it
    with db.transaction() as tx:
        job = runs.job(tx, run.id)
    dispatched(run.id)
    beat(run.id, attempt=2)
    age(run.id, 61)
    sweep()

    assert (again.status, again.attempt, again.phase) == ("queued", 2, "dispatch")
    assert held_by(run.devices[0].device_id) is None
    assert job is not None
    assert (job["attempt"], job["token"]) == (2, tokens.issue(run.id, 2))
    assert (view(run.id).status, view(run.id).outcome, view(run.id).attempt) == (
        "failed",
        "error",
        2,
    )


def test_an_external_run_nobody_starts_waits_for_the_queues_timeout(bench_env: Env) -> None:
    bench_env.set(QUEUE_TIMEOUT_S="60")
    run = external(bench_env, teardown="restore")
    dispatched(run.id)
    age(run.id, 61)

    assert sweep() == 1
    assert view(run.id).outcome == "timeout"


def test_a_job_names_the_last_moment_at_which_a_result_counts(bench_env: Env) -> None:
    bench_env.set(QUEUE_TIMEOUT_S="600")
    run = external(bench_env, timeout_s=30)

    with db.transaction() as tx:
        job = runs.job(tx, run.id)

    assert job is not None
    named = datetime.fromisoformat(job["deadline"])
    assert abs(named - run.queued_at - timedelta(seconds=630)) < timedelta(seconds=1)
    assert job["devices"][0]["device_id"] == str(run.devices[0].device_id)


def test_a_job_may_wait_longer_on_the_queue_than_it_may_run(bench_env: Env) -> None:
    run = external(bench_env, timeout_s=30)
    dispatched(run.id)
    age(run.id, 600)

    assert sweep() == 0


def test_a_job_that_could_not_be_sent_yet_has_no_deadline(bench_env: Env) -> None:
    run = external(bench_env, timeout_s=30)
    with db.transaction() as tx:
        runs.job(tx, run.id)
    age(run.id, 600)

    assert sweep() == sweep(datetime.now(UTC) - timedelta(seconds=120)) == 0


def test_a_run_needs_its_case_and_devices_named_once(bench_env: Env) -> None:
    with pytest.raises(ValueError, match="twice"):
        NewRun(test_case_id="x", device_ids=["a", "a"])
