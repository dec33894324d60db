"""Starting: one transaction, all devices or none, whoever else wants them."""

import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbench.adapters import db
from testbench.domain.errors import BenchError, Conflict, Forbidden, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.services import devices, runs
from testbench.services.devices import DevicePatch
from testbench.services.runs import NewRun
from tests import made_runs
from tests.services import Env
from tests.stepped_runs import held_by, started

pytestmark = pytest.mark.usefixtures("bench_env")


def test_what_fails_after_the_start_undoes_all_of_it() -> None:
    case, device = made_runs.case(), made_runs.online_device()
    new = NewRun(test_case_id=str(case.id), device_ids=[str(device.id)])

    with pytest.raises(ZeroDivisionError):
        _start_and_fail(new)

    assert held_by(device.id) is None
    assert db.run(lambda tx: runs.list_(tx, BENCH)).items == []


def _start_and_fail(new: NewRun) -> None:
    with db.transaction() as tx:
        runs.start(tx, BENCH, new)
        raise ZeroDivisionError


def test_a_viewer_and_a_reading_token_start_nothing() -> None:
    new = NewRun(test_case_id=str(new_id()), device_ids=[str(new_id())])
    for actor in (Actor(new_id(), "v", "viewer"), Actor(new_id(), "a", "admin", scope="read")):
        with pytest.raises(Forbidden):
            db.run(lambda tx, actor=actor: runs.start(tx, actor, new))


def test_no_device_is_ever_in_two_runs_whoever_starts_and_cancels_at_once(bench_env: Env) -> None:
    """I1 and I3, with 12 clients on 6 devices."""
    bench_env.set(DB_POOL_SIZE="12")
    case, ids = made_runs.case(duration_s=600), [made_runs.online_device().id for _ in range(6)]
    outcomes: list[str] = []

    def client(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(8):
            wanted = chance.sample(ids, chance.randint(1, 4))
            try:
                run = made_runs.started(case.id, wanted)
            except Conflict:
                outcomes.append("busy")
                continue
            with db.transaction() as tx:
                rows = tx.cursor().execute(
                    "SELECT device_id FROM reservations WHERE run_id = %s", (run.id,)
                )
                assert {r[0] for r in rows} == set(wanted)
            db.run(lambda tx, run=run: runs.cancel(tx, BENCH, str(run.id)))
            outcomes.append("ran")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))

    assert outcomes.count("ran") + outcomes.count("busy") == 96
    assert outcomes.count("ran") >= 1
    assert [held_by(device) for device in ids] == [None] * 6


@pytest.mark.parametrize("what", ["remove", "maintenance"])
def test_a_start_and_a_persons_change_at_once_never_both_win(what: str) -> None:
    case = made_runs.case()
    for _ in range(8):
        device, barrier, done = made_runs.online_device(), threading.Barrier(2), []

        def start(device: uuid.UUID = device.id, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            made_runs.started(case.id, [device])

        def change(device: uuid.UUID = device.id, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            if what == "remove":
                db.run(lambda tx: devices.remove(tx, BENCH, str(device)))
            else:
                patch = DevicePatch(maintenance=True)
                db.run(lambda tx: devices.change(tx, BENCH, str(device), patch))

        with ThreadPoolExecutor(2) as pool:
            for name, future in [("start", pool.submit(start)), ("change", pool.submit(change))]:
                error = future.exception(10)
                assert error is None or isinstance(error, Conflict | NotFound)
                done += [] if error else [name]

        if what == "remove":
            assert len(done) == 1, done
        else:
            assert "change" in done


def test_a_removed_device_names_no_run() -> None:
    run = started()
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))
    db.run(lambda tx: devices.remove(tx, BENCH, str(run.devices[0].device_id)))

    with pytest.raises(BenchError, match="no such device"):
        made_runs.started(uuid.UUID(run.test_case["id"]), [run.devices[0].device_id])
