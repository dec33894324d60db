"""A preset on its way to many emulated devices: a canary, the rest, stops, and ways back."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.errors import Conflict, Forbidden, Invalid, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.launcher.emulator import Fleet, emulate
from testbench.models import ConfigurationChange, Rollout
from testbench.services import configurations, presets, rollouts
from testbench.services.devices import NewDevice
from testbench.services.presets import PresetBody
from testbench.services.rollouts import RolloutBody, RolloutView, stepping
from tests import fleets, made_runs
from tests.services import Env

ENGINEER = Actor(new_id(), "erin", "engineer")
SECRET = "rollout-secret-55"


@pytest.fixture(scope="module")
def served() -> Iterator[Fleet]:
    with emulate(8, ["2.12.0"], restart_s=0.2) as fleet:
        yield fleet


@pytest.fixture
def fleet(served: Fleet, bench_env: Env, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    monkeypatch.setattr(stepping, "WATCH_S", 0.5)
    yield served
    for device in served.devices:
        device.reset()
        device.patches.clear()


@pytest.fixture
def ids(fleet: Fleet) -> list[uuid.UUID]:
    return fleets.register_all(fleet)


def begun(ids: list[uuid.UUID], configuration: dict[str, Any], **more: Any) -> RolloutView:
    body = PresetBody(name=f"p-{new_id()}", configuration=configuration)
    preset = db.run(lambda tx: presets.create(tx, BENCH, body))
    wanted = RolloutBody(preset_id=str(preset.id), device_ids=[str(id) for id in ids], **more)
    return db.run(lambda tx: rollouts.start(tx, ENGINEER, wanted))


def claimed(rollout: RolloutView) -> rollouts.Step | None:
    with db.transaction() as tx:
        number = tx.session.get_one(Rollout, rollout.id).step
        return rollouts.claim(tx, rollout.id, number)


def step(rollout: RolloutView) -> RolloutView:
    """One step, as a worker does it."""
    mine = claimed(rollout)
    if mine is not None:
        rollouts.perform(mine)
    return shown(rollout)


def shown(rollout: RolloutView) -> RolloutView:
    return db.run(lambda tx: rollouts.get(tx, BENCH, rollout.id))


def ended(rollout: RolloutView) -> RolloutView:
    """As it stands once it no longer runs."""
    for _ in range(20):
        if step(rollout).status != "running":
            break
    return shown(rollout)


def statuses(rollout: RolloutView) -> list[str]:
    return [device.status for device in rollout.devices]


def test_the_canary_goes_alone_then_four_at_a_time(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    rollout = begun(ids, {"frequency": 500, "stratumPassword": SECRET})
    assert (rollout.status, rollout.counts.pending) == ("running", 8)

    after = step(rollout)
    assert statuses(after) == ["applied", *["pending"] * 7]
    assert [len(device.patches) for device in fleet.devices] == [1, *[0] * 7]
    after = step(rollout)
    assert statuses(after) == [*["applied"] * 5, *["pending"] * 3]
    done = step(rollout)

    assert (done.status, done.reason, done.counts.applied) == ("completed", None, 8)
    assert done.ended_at is not None
    assert all(device.settings["frequency"] == 500 for device in fleet.devices)
    assert all(device.settings["stratumPassword"] == SECRET for device in fleet.devices)
    change = db.run(lambda tx: configurations.history(tx, BENCH, ids[3])).items[0]
    assert (change.username, change.preset_name) == ("erin", done.preset_name)
    assert change.id == done.devices[3].change_id


def test_secrets_are_sealed_in_its_rows_and_in_no_answer(ids: list[uuid.UUID]) -> None:
    rollout = begun(ids[:2], {"wifiPass": SECRET})
    done = ended(rollout)

    with db.transaction() as tx:
        tables = ("rollouts", "rollout_devices", "configuration_changes", "devices")
        found = [tx.cursor().execute(f"SELECT t::text FROM {table} t") for table in tables]
        rows = [row[0] for rows in found for row in rows]
        listed = rollouts.list_(tx, BENCH)

    for text in [*rows, rollout.model_dump_json(), done.model_dump_json(), str(listed)]:
        assert SECRET not in text
    assert rollout.secrets == ["wifiPass"]
    assert listed.items[0].counts.applied == 2


@pytest.mark.parametrize(
    ("configuration", "faults", "text"),
    [
        ({"frequency": 500}, {"dead": True}, "does not answer"),
        ({"frequency": 500, "futureKnob": 1}, {}, "does not report futureKnob"),
        ({"overheat_mode": True}, {}, "answered 400: Wrong API input"),
    ],
)
def test_a_canary_that_fails_stops_it_at_once(
    fleet: Fleet,
    ids: list[uuid.UUID],
    configuration: dict[str, Any],
    faults: dict[str, Any],
    text: str,
) -> None:
    fleet.switch([0], **faults)

    done = step(begun(ids, configuration, max_failures=5))

    assert done.status == "stopped"
    assert done.reason is not None
    assert done.reason.startswith(f"The canary failed. {done.devices[0].name}: ")
    assert text in done.reason
    assert statuses(done) == ["failed", *["pending"] * 7]
    assert not any(device.patches for device in fleet.devices[1:])


def test_a_canary_that_reports_another_value_stops_it(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    device = fleet.devices[0]
    take = device._take
    device._take = lambda changes: take({**changes, "frequency": 400})  # type: ignore[method-assign]
    try:
        done = step(begun(ids, {"frequency": 500}))
    finally:
        del device._take

    assert done.status == "stopped"
    assert done.devices[0].detail == "Read back: frequency is 400, not 500."
    assert done.devices[0].revertible


def test_a_canary_that_falls_silent_stops_it(
    fleet: Fleet, ids: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "WATCH_S", 5.0)
    device = fleet.devices[0]
    info = device.info

    def once() -> dict[str, Any]:
        if device.patches:
            fleet.switch([0], dead=True)  # after this answer, what was set is read back
        return info()

    device.info = once  # type: ignore[method-assign]
    try:
        done = step(begun(ids, {"frequency": 500}))
    finally:
        del device.info

    assert done.status == "stopped"
    assert "does not answer any more" in done.devices[0].detail
    assert done.devices[0].revertible


def test_what_firmware_ignores_is_no_failure(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    done = ended(begun(ids[:2], {"frequency": 500, "pools": [{"url": "x"}], "fanspeed": 50}))

    assert done.status == "completed"
    assert [d.detail for d in done.devices] == ["Ignored by its firmware: fanspeed, pools."] * 2


def test_it_stops_by_itself_at_so_many_failures_and_resumes(
    fleet: Fleet, ids: list[uuid.UUID]
) -> None:
    fleet.switch([2, 3], dead=True)
    rollout = begun(ids, {"frequency": 500}, max_failures=2)

    stopped = ended(rollout)
    assert stopped.status == "stopped"
    assert statuses(stopped) == [
        "applied",
        "applied",
        "failed",
        "failed",
        "applied",
        *["pending"] * 3,
    ]
    assert stopped.reason is not None
    assert stopped.reason.startswith(f"2 failed. {stopped.devices[2].name}: The device does not")
    fleet.heal()
    db.run(lambda tx: rollouts.resume(tx, ENGINEER, rollout.id))
    done = ended(rollout)

    assert (done.status, done.counts.applied, done.reason) == ("completed", 8, None)
    # Who had them, got nothing twice.
    assert [len(device.patches) for device in fleet.devices] == [1] * 8


def test_fewer_failures_than_allowed_do_not_stop_it(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    fleet.switch([2], dead=True)

    done = ended(begun(ids, {"frequency": 500}, max_failures=2))

    assert (done.status, done.counts.applied, done.counts.failed) == ("completed", 7, 1)
    fleet.heal()
    db.run(lambda tx: rollouts.resume(tx, ENGINEER, done.id))
    assert ended(done).counts.applied == 8
    with pytest.raises(Conflict, match="No device is left"):
        db.run(lambda tx: rollouts.resume(tx, ENGINEER, done.id))


def test_a_device_in_a_run_fails_with_that_reason_and_is_not_waited_for(
    fleet: Fleet, ids: list[uuid.UUID]
) -> None:
    made_runs.heard(ids[1], ahead_s=300)
    made_runs.started(made_runs.case().id, [ids[1]])

    done = ended(begun(ids[:3], {"frequency": 500}, max_failures=2))

    assert statuses(done) == ["applied", "failed", "applied"]
    assert done.devices[1].detail == "The device is in a run."
    assert fleet.devices[1].patches == []


def test_a_person_stops_and_resumes_it(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    rollout = begun(ids, {"frequency": 500})
    step(rollout)

    stopped = db.run(lambda tx: rollouts.stop(tx, ENGINEER, rollout.id))
    assert (stopped.status, stopped.reason) == ("stopped", "Stopped by erin.")
    assert claimed(rollout) is None
    with pytest.raises(Conflict):
        db.run(lambda tx: rollouts.stop(tx, ENGINEER, rollout.id))
    db.run(lambda tx: rollouts.resume(tx, ENGINEER, rollout.id))
    with pytest.raises(Conflict):
        db.run(lambda tx: rollouts.resume(tx, ENGINEER, rollout.id))

    assert ended(rollout).counts.applied == 8


def test_a_stop_while_devices_are_configured_lets_them_finish(
    fleet: Fleet, ids: list[uuid.UUID]
) -> None:
    rollout = begun(ids, {"frequency": 500})
    mine = claimed(rollout)
    assert mine is not None
    parts = db.run(lambda tx: stepping._next_parts(tx, mine))
    db.run(lambda tx: rollouts.stop(tx, ENGINEER, rollout.id))

    stepping._configure(mine, parts[0])
    db.run(lambda tx: stepping._complete(tx, mine))

    after = shown(rollout)
    assert (after.status, after.reason) == ("stopped", "Stopped by erin.")
    assert statuses(after)[:2] == ["applied", "pending"]


def test_one_device_is_taken_back_to_what_it_was_before_the_first_try(
    fleet: Fleet, ids: list[uuid.UUID]
) -> None:
    before = fleet.devices[0].settings["frequency"]
    rollout = begun(ids[:2], {"frequency": 500, "futureKnob": 1})
    for _ in range(2):
        assert step(rollout).devices[0].status == "failed"  # what it took cannot be told
        db.run(lambda tx: rollouts.resume(tx, ENGINEER, rollout.id))
    assert step(rollout).devices[0].status == "failed"
    assert fleet.devices[0].settings["frequency"] == 500

    after = rollouts.revert_device(ENGINEER, rollout.id, str(ids[0]))

    assert fleet.devices[0].settings["frequency"] == before
    assert (after.devices[0].status, after.devices[0].detail) == ("reverted", "Reverted by erin.")
    for device_id in (ids[0], ids[1], ids[2]):
        with pytest.raises(Conflict, match="nothing of this roll-out"):
            rollouts.revert_device(ENGINEER, rollout.id, str(device_id))


def test_what_was_reverted_is_not_done_again(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    rollout = begun(ids[:3], {"frequency": 500})
    step(rollout)
    rollouts.revert_device(ENGINEER, rollout.id, fleet.devices[0].mac)

    done = ended(rollout)

    assert statuses(done) == ["reverted", "applied", "applied"]
    assert fleet.devices[0].settings["frequency"] != 500


def test_the_preset_may_change_or_go_meanwhile(fleet: Fleet, ids: list[uuid.UUID]) -> None:
    rollout = begun(ids[:2], {"frequency": 500})
    step(rollout)
    db.run(lambda tx: presets.remove(tx, BENCH, str(rollout.preset_id)))

    assert ended(rollout).counts.applied == 2
    assert fleet.devices[1].settings["frequency"] == 500


def test_what_cannot_begin_is_refused(ids: list[uuid.UUID]) -> None:
    with pytest.raises(Invalid, match="no settings"):
        begun(ids, {"stratumUser": "me"})
    with pytest.raises(NotFound):
        begun([*ids, new_id()], {"frequency": 500})
    body = RolloutBody(preset_id=str(new_id()), device_ids=[str(ids[0])])
    with pytest.raises(NotFound, match="preset"):
        db.run(lambda tx: rollouts.start(tx, BENCH, body))
    new = NewDevice(name="other", kind="http")
    other = db.run(lambda tx: fleets.devices.create(tx, BENCH, new))
    with pytest.raises(Invalid) as refused:
        begun([ids[0], other.id], {"frequency": 500})
    assert refused.value.errors[0][0] == str(other.id)
    once = begun([ids[0], ids[1], ids[0]], {"frequency": 500})
    assert [device.device_id for device in once.devices] == ids[:2]
    viewer = Actor(new_id(), "v", "viewer")
    for verb in (
        lambda tx: rollouts.start(tx, viewer, RolloutBody(preset_id="x", device_ids=["x"])),
        lambda tx: rollouts.stop(tx, viewer, once.id),
        lambda tx: rollouts.resume(tx, viewer, once.id),
    ):
        with pytest.raises(Forbidden):
            db.run(verb)
    with pytest.raises(Forbidden):
        rollouts.revert_device(viewer, once.id, str(ids[0]))


# --- killed, and overtaken ----------------------------------------------------------------------


def test_a_step_whose_worker_died_goes_on_and_keeps_what_was_before(
    fleet: Fleet, ids: list[uuid.UUID]
) -> None:
    rollout = begun(ids[:2], {"frequency": 500})
    dead = claimed(rollout)
    assert dead is not None
    (part,) = db.run(lambda tx: stepping._next_parts(tx, dead))
    # It was killed after the device had taken the settings, before anybody wrote so.
    before = fleet.devices[0].settings["frequency"]
    with db.transaction() as tx:
        row = ConfigurationChange(
            id=part.change_id,
            device_id=part.device_id,
            at=tx.now - timedelta(seconds=15),
            username="erin",
            changes={"frequency": 500},
            before={"frequency": before},
        )
        tx.session.add(row)
    fleet.devices[0].settings["frequency"] = 500
    assert claimed(rollout) is None
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE rollouts SET lease_until = now() - interval '1 s'")

    done = ended(rollout)

    assert done.status == "completed"
    assert len(db.run(lambda tx: configurations.history(tx, BENCH, ids[0])).items) == 1
    with pytest.raises(rollouts.Fenced):
        rollouts.perform(dead)
    with pytest.raises(rollouts.Fenced):
        db.run(lambda tx: rollouts.halt(tx, dead, "x"))
    rollouts.revert_device(ENGINEER, rollout.id, str(ids[0]))
    assert fleet.devices[0].settings["frequency"] == before


def test_what_is_due_is_told_once_until_its_mark_runs_out(ids: list[uuid.UUID]) -> None:
    rollout = begun(ids[:1], {"frequency": 500})

    with db.transaction() as tx:
        assert rollouts.take_due(tx) == [(rollout.id, 0)]
        assert rollouts.take_due(tx) == []
        rollouts.unsend(tx, [rollout.id])
        assert rollouts.take_due(tx) == [(rollout.id, 0)]
    mine = claimed(rollout)
    assert mine is not None
    assert claimed(rollout) is None
    with db.transaction() as tx:
        assert rollouts.renew(tx, mine)
        assert rollouts.take_due(tx) == []
        rollouts.halt(tx, mine, "ValueError")
    after = shown(rollout)
    assert (after.status, after.reason) == ("stopped", "The bench failed: ValueError")
