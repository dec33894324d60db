"""What is done to many devices at once: each by itself, refusals told."""

import pytest

from testbench.adapters import db
from testbench.domain.errors import Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.launcher.emulator import emulate
from testbench.services import devices, selections
from testbench.services.devices import NewDevice
from tests import made_runs
from tests.fleets import register_all
from tests.services import Env

VIEWER = Actor(user_id=None, username="v", role="viewer")


@pytest.fixture(autouse=True)
def _lab(bench_env: Env) -> None:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")


def made(name: str, **more: object) -> str:
    new = NewDevice.model_validate({"name": name, "kind": "http", **more})
    return str(db.run(lambda tx: devices.create(tx, BENCH, new)).id)


def test_maintenance_is_held_and_ended_for_all_that_are_there() -> None:
    ids = [made("a"), made("b")]
    absent = str(new_id())

    held = db.run(lambda tx: selections.hold(tx, BENCH, [*ids, absent], on=True))

    assert (held.done, held.refused) == (2, [selections.GONE])
    assert db.run(devices.counts).maintenance == 2
    assert db.run(lambda tx: selections.hold(tx, BENCH, ids, on=False)).done == 2
    assert db.run(devices.counts).maintenance == 0


def test_tags_are_added_and_taken_away_and_the_full_are_told() -> None:
    some, full = made("a", tags=["old", "kept"]), made("b", tags=[f"t{i}" for i in range(50)])

    told = db.run(lambda tx: selections.tag(tx, BENCH, [some, full], add=["new"], remove=["old"]))

    assert told.done == 1
    assert told.refused == ["b would have more than 50 tags."]
    assert db.run(lambda tx: devices.get(tx, BENCH, some)).tags == ["kept", "new"]
    assert len(db.run(lambda tx: devices.get(tx, BENCH, full)).tags) == 50


def test_only_polled_kinds_are_monitored_and_others_stay_as_they_are() -> None:
    talks = made("talks")
    asked = [made(f"axe-{i}", kind="axeos", mac=f"c0:fa:38:00:00:0{i}") for i in range(2)]

    told = db.run(lambda tx: selections.monitor(tx, BENCH, [talks, asked[0]], on=True))

    assert told.done == 1
    assert told.refused == ["talks reports by itself; there is nothing to poll."]
    seen = [db.run(lambda tx, id=id: devices.get(tx, BENCH, id)).monitored for id in asked]
    assert seen == [True, False]
    assert db.run(lambda tx: selections.monitor(tx, BENCH, asked, on=False)).done == 2
    assert not db.run(lambda tx: devices.get(tx, BENCH, asked[0])).monitored


def test_each_is_restarted_that_can_be_and_the_others_are_told() -> None:
    with emulate(3, restart_s=0.2) as fleet:
        ids = [str(id) for id in register_all(fleet)]
        fleet.switch([1], dead=True)

        told = selections.restart(BENCH, [*ids, made("talks")])

        assert told.done == 2
        assert len(told.refused) == 2
        assert [device.restarts for device in fleet.devices][1] == 0


def test_removal_leaves_those_that_are_in_a_run() -> None:
    busy = made_runs.online_device()
    made_runs.started(made_runs.case().id, [busy.id])
    idle = made("idle")

    told = selections.remove(BENCH, [str(busy.id), idle])

    assert told.done == 1
    assert told.refused == ["The device is in a run; cancel that first."]


def test_a_viewer_may_do_nothing_of_it() -> None:
    ids = [made("a")]

    with db.transaction() as tx, pytest.raises(Forbidden):
        selections.hold(tx, VIEWER, ids, on=True)
    with db.transaction() as tx, pytest.raises(Forbidden):
        selections.tag(tx, VIEWER, ids, add=["x"])
    with db.transaction() as tx, pytest.raises(Forbidden):
        selections.monitor(tx, VIEWER, ids, on=True)
    assert selections.remove(VIEWER, ids).done == 0
