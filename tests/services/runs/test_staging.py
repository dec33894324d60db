"""Runs that set the stage on emulated devices, and put back what was, however they end."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from testbench.adapters import db, sealing
from testbench.domain.errors import Conflict, Invalid
from testbench.domain.identity import BENCH
from testbench.launcher.emulator import Device, Fleet, emulate
from testbench.models import RunDevice
from testbench.services import configurations, devices, environments, presets, runs
from testbench.services.devices import DeviceView, NewDevice
from testbench.services.environments import EnvironmentBody
from testbench.services.presets import PresetBody, PresetPatch, PresetView
from testbench.services.runs import Callback, Fenced, Heartbeat, RunView, Step, tokens
from testbench.services.runs.finishing import DeviceResult
from testbench.services.runs.views import find
from tests import made_runs
from tests.services import Env, wait_until
from tests.stepped_runs import age, claim, deliver, events, held_by, row, view

FAST = {"frequency": 575, "coreVoltage": 1180}


@pytest.fixture
def fleet(bench_env: Env) -> Iterator[Fleet]:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    with emulate(2, ["2.12.0"], restart_s=0.2, speed=10) as fleet:
        yield fleet


def imprinted(fleet: Fleet, number: int = 0) -> uuid.UUID:
    """An emulated device that is online for the rest of the hour."""
    new = NewDevice(
        name=f"miner-{number}",
        kind="axeos",
        ip=fleet.addresses[number],
        mac=fleet.devices[number].mac,
        offline_after_s=3600,
    )
    made = db.run(lambda tx: devices.create(tx, BENCH, new))
    made_runs.heard(made.id)
    return made.id


def preset(name: str = "Fast", **configuration: Any) -> PresetView:
    body = PresetBody(name=name, configuration=configuration or FAST)
    return db.run(lambda tx: presets.create(tx, BENCH, body))


def applies(known: PresetView, timeout_s: float = 30) -> dict[str, Any]:
    return {"kind": "apply_preset", "preset_id": str(known.id), "timeout_s": timeout_s}


def started(*device_ids: uuid.UUID, setup: list[dict[str, Any]], **fields: Any) -> RunView:
    fields = {"teardown": "restore", "duration_s": 60, **fields}
    return made_runs.started(made_runs.case(setup=setup, **fields).id, list(device_ids))


def step(run_id: uuid.UUID) -> RunView:
    """The next step as a worker does it, its errand included."""
    claimed = claim(run_id)
    assert claimed is not None
    do(claimed)
    return view(run_id)


def do(claimed: Step) -> None:
    with db.transaction() as tx:
        errand = runs.perform(tx, claimed)
    if errand is not None:
        errand()


def until(run_id: uuid.UUID, phase: str, steps: int = 8) -> RunView:
    """Step by step until the run is in this phase; pauses are skipped."""
    for _ in range(steps):
        if row(run_id).phase == phase:
            return view(run_id)
        age(run_id, 3)
        step(run_id)
    assert row(run_id).phase == phase, events(view(run_id))
    return view(run_id)


def cancel(run_id: uuid.UUID) -> RunView:
    return db.run(lambda tx: runs.cancel(tx, BENCH, str(run_id)))


def shown(device_id: uuid.UUID) -> DeviceView:
    return db.run(lambda tx: devices.get(tx, BENCH, device_id))


def restore_of(run_id: uuid.UUID, device_id: uuid.UUID) -> dict[str, Any] | None:
    with db.transaction() as tx:
        return tx.session.get_one(RunDevice, (run_id, device_id)).restore


def set_to(device: Device, **settings: Any) -> bool:
    return all(device.settings[key] == value for key, value in settings.items())


def details(run: RunView, event: str) -> list[str]:
    return [line.detail for line in run.timeline if line.event == event]


@contextmanager
def at_once(run_id: uuid.UUID) -> Iterator[None]:
    """A worker holds a claim while something else happens, and goes on afterwards."""
    claimed = claim(run_id)
    assert claimed is not None
    with db.transaction() as tx:
        errand = runs.perform(tx, claimed)
    assert errand is not None
    yield
    errand()


# --- the passing path ------------------------------------------------------------------------


def test_a_preset_is_applied_before_the_window_and_what_was_is_put_back(fleet: Fleet) -> None:
    first, second = imprinted(fleet, 0), imprinted(fleet, 1)
    before = [dict(device.settings) for device in fleet.devices]
    run = started(first, second, setup=[applies(preset())], duration_s=1, grace_s=0)

    opened = until(run.id, "observe")
    assert all(set_to(device, **FAST) for device in fleet.devices)
    assert opened.window_start is not None
    assert shown(first).desired == FAST
    age(run.id, 2)
    until(run.id, "callback")
    ended = deliver(run.id)

    assert [dict(device.settings) for device in fleet.devices] == before
    assert events(ended) == [
        "queued", "started", "setup", "setup", "window", "judged", "teardown", "restored",
        "restored", "callback", "failed",
    ]  # fmt: skip
    assert sorted(details(ended, "setup")) == [
        "miner-0: preset Fast applied",
        "miner-1: preset Fast applied",
    ]
    assert details(ended, "restored")[0].endswith("Frequency, Core voltage put back")
    assert (restore_of(run.id, first), held_by(first)) == (None, None)


def test_what_was_is_written_down_before_anything_is_changed(fleet: Fleet) -> None:
    device = imprinted(fleet)
    fleet.devices[0].settings["frequency"] = 450
    wanted = [applies(preset()), applies(preset("Cool", temptarget=55))]
    run = started(device, setup=wanted)

    step(run.id)

    assert restore_of(run.id, device) == {"frequency": 450, "coreVoltage": 1200, "temptarget": 60}
    until(run.id, "observe")
    assert set_to(fleet.devices[0], **FAST, temptarget=55)
    assert restore_of(run.id, device) == {"frequency": 450, "coreVoltage": 1200, "temptarget": 60}


def test_without_a_teardown_the_settings_stay(fleet: Fleet) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())], teardown=None)
    until(run.id, "observe")

    cancel(run.id)

    assert view(run.id).outcome == "aborted"
    assert set_to(fleet.devices[0], **FAST)
    assert restore_of(run.id, device) is None


def test_pools_need_a_restart_on_the_way_there_and_back(fleet: Fleet) -> None:
    device = imprinted(fleet)
    wanted = {"stratumURL": "other.example", "stratumPassword": "secret-word"}
    run = started(device, setup=[applies(preset(**wanted))])

    opened = until(run.id, "observe")
    during = fleet.devices[0].mining_at
    cancel(run.id)
    ended = until(run.id, "done")

    assert during == "other.example"
    assert fleet.devices[0].mining_at == "test.hydrapool.org"
    assert fleet.devices[0].restarts == 2
    assert "cannot be restored, nobody can read it: stratumPassword" in details(opened, "setup")[0]
    assert "secret-word" not in ended.model_dump_json()


def test_a_restart_is_ordered_once_and_waiting_online_means_heard_of_after_it(
    fleet: Fleet,
) -> None:
    device = imprinted(fleet)
    setup = [{"kind": "restart"}, {"kind": "wait_online", "timeout_s": 20}]
    run = started(device, setup=setup)

    step(run.id)
    still = step(run.id)
    age(run.id, 1)
    again = step(run.id)
    age(run.id, 3)
    made_runs.heard(device)
    heard = step(run.id)

    assert (still.phase, again.phase, heard.phase) == ("setup", "setup", "observe")
    assert again.message == "Setting up: waiting for 1 of 1 device to be online"
    assert heard.message is None
    wait_until(lambda: fleet.devices[0].restarts == 1, 5)
    assert details(heard, "setup") == ["miner-0: restart ordered", "all devices are online"]


def test_a_device_that_does_not_come_back_from_its_restart_is_named(fleet: Fleet) -> None:
    device = imprinted(fleet)
    setup = [{"kind": "restart"}, {"kind": "wait_online", "timeout_s": 20}]
    run = started(device, setup=setup)
    made_runs.heard(device, ahead_s=-30)
    step(run.id)
    step(run.id)

    age(run.id, 21)
    step(run.id)
    ended = until(run.id, "done")

    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.reason == "Setup: miner-0 did not come online."


def test_many_devices_are_set_up_at_once_over_several_steps(bench_env: Env) -> None:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    with emulate(70, ["2.12.0"], speed=10) as many:
        many.switch(slow_s=0.1)
        ids = [imprinted(many, number) for number in range(70)]
        run = started(*ids, setup=[applies(preset())])
        first = step(run.id)
        until(run.id, "observe")
        assert all(set_to(device, **FAST) for device in many.devices)
        cancel(run.id)
        ended = until(run.id, "done")

    assert first.message == "Setting up: applying preset Fast on 6 of 70 devices"
    assert events(ended).count("setup") == events(ended).count("restored") == 70
    assert not any(set_to(device, **FAST) for device in many.devices)
    assert [len(device.patches) for device in many.devices] == [2] * 70


# --- what is refused at the start ------------------------------------------------------------


def test_an_unknown_preset_is_refused_at_its_place(fleet: Fleet) -> None:
    device = imprinted(fleet)
    gone = uuid.uuid4()
    setup = [{"kind": "wait_online"}, {"kind": "apply_preset", "preset_id": str(gone)}]

    with pytest.raises(Invalid) as refusal:
        started(device, setup=setup)

    assert refusal.value.errors == [("setup.1.preset_id", f"there is no preset {gone}")]


@pytest.mark.parametrize("part", ["apply_preset", "restart"])
def test_a_device_that_takes_no_settings_is_refused_by_name(fleet: Fleet, part: str) -> None:
    other = made_runs.online_device("oven 7")
    known = {"preset_id": str(preset().id)} if part == "apply_preset" else {}

    with pytest.raises(Invalid) as refusal:
        started(imprinted(fleet), other.id, setup=[{"kind": part, **known}])

    assert [where for where, _ in refusal.value.errors] == [str(other.id)]
    assert "oven 7" in refusal.value.detail
    assert held_by(other.id) is None


def test_a_run_keeps_the_preset_as_it_was_at_its_start(fleet: Fleet) -> None:
    known = preset(frequency=575, stratumPassword="secret-word")
    run = started(imprinted(fleet), setup=[applies(known)])
    patch = PresetPatch(configuration={"frequency": 1})
    db.run(lambda tx: presets.change(tx, BENCH, known.id, patch))

    until(run.id, "observe")

    assert set_to(fleet.devices[0], frequency=575)
    assert fleet.devices[0].patches[0]["stratumPassword"] == "secret-word"


def test_nobody_reads_a_presets_secret_from_a_run(fleet: Fleet, bench_env: Env) -> None:
    bench_env.set(RABBITMQ_URL="amqp://127.0.0.1:1/")
    setup = [applies(preset(stratumPassword="secret-word"))]
    body = EnvironmentBody(name="elsewhere", runner="external")
    environment = db.run(lambda tx: environments.create(tx, BENCH, body))
    case = made_runs.case(setup=setup)
    run = made_runs.started(case.id, [imprinted(fleet)], environment.id)
    until(run.id, "dispatch")

    with db.transaction() as tx:
        told = str(runs.job(tx, run.id))
        stored = str(find(tx, run.id).presets)

    assert "$sealed" in stored
    assert "secret-word" not in stored
    for text in (told, view(run.id).model_dump_json()):
        assert "secret-word" not in text
        assert "sealed" not in text


def test_by_hand_a_device_in_a_run_is_left_as_it_is(fleet: Fleet) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())])
    until(run.id, "observe")

    with pytest.raises(Conflict):
        configurations.apply(BENCH, device, {"frequency": 1})

    assert set_to(fleet.devices[0], **FAST)


# --- what goes wrong -------------------------------------------------------------------------


def test_a_device_that_refuses_fails_the_run_with_its_words_and_the_others_are_put_back(
    fleet: Fleet,
) -> None:
    first, second = imprinted(fleet, 0), imprinted(fleet, 1)
    before = dict(fleet.devices[0].settings)
    fleet.switch([1], redirect="http://127.0.0.1:1/")
    run = started(first, second, setup=[applies(preset())])

    step(run.id)
    fleet.heal()
    ended = until(run.id, "done")

    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.reason is not None
    assert ended.reason.startswith("Setup: miner-1: The device answered 302")
    assert dict(fleet.devices[0].settings) == before
    assert fleet.devices[1].patches == []
    assert held_by(first) is None


def test_a_device_that_does_not_answer_is_tried_until_its_time_is_over(fleet: Fleet) -> None:
    device = imprinted(fleet)
    fleet.switch(dead=True)
    run = started(device, setup=[applies(preset(), timeout_s=20)])

    waiting = step(run.id)
    age(run.id, 3)
    fleet.heal()
    opened = until(run.id, "observe")

    assert (waiting.status, waiting.phase) == ("running", "setup")
    assert waiting.message == "Setting up: applying preset Fast on 1 of 1 device"
    assert set_to(fleet.devices[0], **FAST)
    assert opened.message is None


def test_a_device_that_stays_away_fails_the_run(fleet: Fleet) -> None:
    device = imprinted(fleet)
    fleet.switch(dead=True)
    run = started(device, setup=[applies(preset(), timeout_s=20)])
    step(run.id)
    age(run.id, 21)

    step(run.id)
    ended = until(run.id, "done")

    assert (ended.status, ended.outcome) == ("failed", "error")
    assert (ended.reason or "").startswith("Setup: miner-0: The device does not answer")
    assert not shown(device).maintenance


def test_a_device_that_takes_the_settings_and_reports_others_is_no_stage(fleet: Fleet) -> None:
    run = started(imprinted(fleet), setup=[applies(preset(boardVersion="9"), timeout_s=20)])

    once = step(run.id)
    age(run.id, 21)
    step(run.id)
    ended = until(run.id, "done")

    assert once.phase == "setup"
    assert (ended.status, ended.outcome) == ("failed", "error")
    assert "reports others: boardVersion is '601' instead of '9'" in (ended.reason or "")


def test_cancelled_while_a_device_is_set_up_the_run_first_finishes_with_it(fleet: Fleet) -> None:
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    run = started(device, setup=[applies(preset())])

    with at_once(run.id):
        asked = cancel(run.id)
        held = held_by(device)
    ended = until(run.id, "done")

    assert (asked.status, asked.phase, held) == ("running", "setup", run.id)
    assert (ended.status, ended.outcome) == ("cancelled", "aborted")
    assert ended.reason == "Cancelled by testbench."
    assert dict(fleet.devices[0].settings) == before


def test_cancelled_while_observed_the_run_puts_back_what_was(fleet: Fleet) -> None:
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    run = started(device, setup=[applies(preset())])
    until(run.id, "observe")

    cancel(run.id)
    ended = until(run.id, "done")

    assert ended.outcome == "aborted"
    assert dict(fleet.devices[0].settings) == before


def test_cancelled_before_anybody_took_it_no_device_is_spoken_to(fleet: Fleet) -> None:
    run = started(imprinted(fleet), setup=[applies(preset())])

    ended = cancel(run.id)

    assert (ended.status, events(ended)) == ("cancelled", ["queued", "cancel", "cancelled"])
    assert (fleet.devices[0].polls, fleet.devices[0].patches) == (0, [])


def test_a_run_past_its_timeout_puts_back_what_was(fleet: Fleet) -> None:
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    run = started(device, setup=[applies(preset())], timeout_s=30)
    until(run.id, "observe")
    age(run.id, 31)

    with db.transaction() as tx:
        runs.sweep(tx, tx.now.replace(year=2020))
    ended = until(run.id, "done")

    assert (ended.status, ended.outcome) == ("failed", "timeout")
    assert dict(fleet.devices[0].settings) == before


def test_a_worker_that_lost_its_step_sends_nothing_more(fleet: Fleet) -> None:
    run = started(imprinted(fleet), setup=[applies(preset())])
    claimed = claim(run.id)
    assert claimed is not None
    with db.transaction() as tx:
        errand = runs.perform(tx, claimed)
    assert errand is not None
    age(run.id, 11)
    until(run.id, "observe")
    sent = len(fleet.devices[0].patches)

    with pytest.raises(Fenced):
        errand()

    assert len(fleet.devices[0].patches) == sent == 1


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_step_done_again_keeps_what_was_at_first(fleet: Fleet, lost: str) -> None:
    """The first worker dies before it changes the device, or after that."""
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    run = started(device, setup=[applies(preset())])
    claimed = claim(run.id)
    assert claimed is not None
    with db.transaction() as tx:
        runs.perform(tx, claimed)
    if lost == "after":
        restore = {"frequency": before["frequency"], "coreVoltage": before["coreVoltage"]}
        with db.transaction() as tx:
            tx.session.get_one(RunDevice, (run.id, device)).restore = sealing.seal(restore)
        configurations.apply(BENCH, device, FAST, run_id=run.id)

    age(run.id, 11)
    until(run.id, "observe")
    cancel(run.id)
    ended = until(run.id, "done")

    assert dict(fleet.devices[0].settings) == before
    assert events(ended).count("started") == 1


# --- teardown --------------------------------------------------------------------------------


def test_a_device_that_stays_away_from_its_teardown_goes_into_maintenance(fleet: Fleet) -> None:
    first, second = imprinted(fleet, 0), imprinted(fleet, 1)
    before = dict(fleet.devices[0].settings)
    run = started(first, second, setup=[applies(preset())])
    until(run.id, "observe")
    fleet.switch([1], dead=True)
    cancel(run.id)

    waiting = step(run.id)
    held = held_by(second)
    age(run.id, 61)
    ended = until(run.id, "done")

    assert (waiting.phase, held) == ("teardown", run.id)
    assert waiting.message == "Restoring the settings on 1 of 2 devices"
    assert (ended.outcome, ended.reason) == ("aborted", "Cancelled by testbench.")
    assert dict(fleet.devices[0].settings) == before
    assert (shown(first).state, shown(second).state) == ("available", "maintenance")
    reason = shown(second).maintenance_reason or ""
    assert reason.startswith(f"Run #{run.number} could not restore its settings: The device")
    assert details(ended, "maintenance")[0].startswith("miner-1: The device does not answer")


def test_a_device_that_refuses_to_be_put_back_goes_into_maintenance_at_once(fleet: Fleet) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())])
    until(run.id, "observe")
    fleet.switch(redirect="http://127.0.0.1:1/")
    cancel(run.id)

    ended = step(run.id)

    assert (ended.status, ended.outcome) == ("cancelled", "aborted")
    assert shown(device).state == "maintenance"


def test_the_verdict_stands_whatever_the_teardown_meets(fleet: Fleet) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())], duration_s=1, grace_s=0)
    until(run.id, "observe")
    age(run.id, 2)
    now = view(run.id)
    assert now.window_start is not None
    assert now.window_end is not None
    made_runs.store({device: {"temp": [20.0]}}, now.window_start, now.window_end)
    fleet.switch(dead=True)
    step(run.id)
    step(run.id)
    age(run.id, 61)
    until(run.id, "callback")

    ended = deliver(run.id)

    assert (ended.status, ended.outcome) == ("completed", "pass")
    assert shown(device).state == "maintenance"


def test_a_teardown_that_nobody_ends_leaves_its_devices_in_maintenance(fleet: Fleet) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())], timeout_s=60)
    until(run.id, "observe")
    cancel(run.id)
    age(run.id, 300)

    with db.transaction() as tx:
        assert runs.sweep(tx, tx.now.replace(year=2020)) == 1

    assert view(run.id).outcome == "aborted"
    assert held_by(device) is None
    assert shown(device).state == "maintenance"


def test_a_fault_of_the_bench_in_the_teardown_leaves_its_devices_in_maintenance(
    fleet: Fleet,
) -> None:
    device = imprinted(fleet)
    run = started(device, setup=[applies(preset())])
    until(run.id, "observe")
    cancel(run.id)
    for _ in range(5):
        age(run.id, 60)
        claimed = claim(run.id)
        assert claimed is not None
        with db.transaction() as tx:
            runs.retry(tx, claimed, "ZeroDivisionError")

    assert view(run.id).outcome == "aborted"
    assert "the bench failed: ZeroDivisionError" in (shown(device).maintenance_reason or "")


def test_cancelled_while_it_puts_back_the_run_is_aborted_and_all_is_put_back(fleet: Fleet) -> None:
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    run = started(device, setup=[applies(preset())], duration_s=1, grace_s=0)
    until(run.id, "observe")
    age(run.id, 2)
    until(run.id, "teardown")

    with at_once(run.id):
        cancel(run.id)
    ended = view(run.id)

    assert (ended.status, ended.outcome) == ("cancelled", "aborted")
    assert dict(fleet.devices[0].settings) == before
    assert len(fleet.devices[0].patches) == 2


# --- external runners ------------------------------------------------------------------------


def test_an_external_runner_gets_its_job_on_the_stage_that_was_set(
    fleet: Fleet, bench_env: Env
) -> None:
    bench_env.set(RABBITMQ_URL="amqp://127.0.0.1:1/")
    body = EnvironmentBody(name="elsewhere", runner="external")
    environment = db.run(lambda tx: environments.create(tx, BENCH, body))
    device = imprinted(fleet)
    before = dict(fleet.devices[0].settings)
    case = made_runs.case(setup=[applies(preset())], teardown="restore")
    run = made_runs.started(case.id, [device], environment.id)

    ready = until(run.id, "dispatch")
    assert (ready.status, set_to(fleet.devices[0], **FAST)) == ("queued", True)
    with db.transaction() as tx:
        assert runs.job(tx, run.id) is not None
    with db.transaction() as tx:
        runs.dispatched(tx, run.id)
    answered = deliver_external(run.id)
    held = held_by(device)
    ended = until(run.id, "done")

    assert (answered.status, answered.phase, held) == ("running", "teardown", run.id)
    assert (ended.status, ended.outcome) == ("completed", "pass")
    assert dict(fleet.devices[0].settings) == before


def deliver_external(run_id: uuid.UUID) -> RunView:
    token = tokens.issue(run_id, 1)
    db.run(lambda tx: runs.heartbeat(tx, str(run_id), token, Heartbeat(attempt=1)))
    results = [
        DeviceResult(device_id=part.device_id, outcome="pass") for part in view(run_id).devices
    ]
    body = Callback(attempt=1, outcome="pass", devices=results)
    return db.run(lambda tx: runs.callback(tx, str(run_id), token, body))
