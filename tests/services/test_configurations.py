"""Settings sent to emulated devices of every firmware: sent, read back, kept, taken back."""

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from testbench.adapters import db, sealing
from testbench.adapters.drivers import calls
from testbench.domain.errors import BadGateway, BadRequest, Conflict, Forbidden, Invalid, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.launcher.emulator import ALL, Fleet, emulate
from testbench.launcher.emulator.device import Answer
from testbench.models import ConfigurationChange
from testbench.services import configurations, devices, presets
from testbench.services.configurations import ChangeView, SystemBody
from testbench.services.presets import PresetBody
from tests import fleets, made_runs
from tests.services import Env, wait_until

ENGINEER = Actor(new_id(), "erin", "engineer")
SECRET = "pool-secret-8f3a"


@pytest.fixture(scope="module")
def served() -> Iterator[Fleet]:
    with emulate(len(ALL), restart_s=0.3) as fleet:
        yield fleet


@pytest.fixture
def fleet(served: Fleet, bench_env: Env) -> Iterator[Fleet]:
    bench_env.set(DISCOVERY_NETWORKS="127.0.0.0/8")
    yield served
    for device in served.devices:
        device.reset()
        device.patches.clear()


def at(version: str) -> int:
    return ALL.index(version)


def apply(device_id: uuid.UUID, wanted: dict[str, Any], **options: Any) -> ChangeView:
    return configurations.apply(ENGINEER, device_id, wanted, **options)


def standings(change: ChangeView) -> dict[str, str]:
    return {found.key: found.standing for found in change.differences}


def history(device_id: uuid.UUID) -> list[ChangeView]:
    return db.run(lambda tx: configurations.history(tx, BENCH, device_id)).items


@pytest.mark.parametrize("version", ALL)
def test_each_firmware_takes_what_it_knows_and_what_it_ignores_is_said(
    fleet: Fleet, version: str
) -> None:
    device_id = fleets.register(fleet, at(version))
    device = fleet.devices[at(version)]
    wanted = {"frequency": 550, "fanspeed": 80, "manualFanSpeed": 70, "stratumURL": "pool.example"}

    change = apply(device_id, wanted)

    assert change.status == "applied"
    assert (change.username, change.error) == ("erin", None)
    found = standings(change)
    assert found["frequency"] == "same"
    assert device.settings["frequency"] == 550
    ignored = {key for key in wanted if device.firmware.ignores(key)}
    if device.firmware.nerdqaxe:
        ignored -= {"manualFanSpeed", "fanspeed"}  # nothing is known of it: reading back tells
    assert {key for key, standing in found.items() if standing == "ignored"} == ignored
    assert not ignored & set(device.patches[-1])
    assert change.restarted == ("stratumURL" not in ignored)
    notes = {d.key: d.note for d in change.differences if d.note}
    assert notes.keys() == ignored
    assert all("ignored by this firmware" in note for note in notes.values())


def preset_of(configuration: dict[str, Any]) -> uuid.UUID:
    body = PresetBody(name=f"p-{new_id()}", configuration=configuration)
    return db.run(lambda tx: presets.create(tx, BENCH, body)).id


def by_hand(device_id: uuid.UUID | str, **body: Any) -> configurations.ConfiguredDevice:
    request = SystemBody.model_validate(body)
    return configurations.change_system(ENGINEER, str(device_id), request)


def test_a_preset_is_merged_without_its_user_and_explicit_settings_win(fleet: Fleet) -> None:
    device_id, device = fleets.register(fleet, at("2.12.0")), fleet.devices[at("2.12.0")]
    user = device.settings["stratumUser"]
    preset = preset_of(
        {
            "stratumURL": "pool.example",
            "stratumPort": 4000,
            "stratumPassword": SECRET,
            "stratumUser": "preset.user",
            "frequency": 500,
        }
    )

    after = by_hand(device.mac, presetUuid=str(preset), info={"frequency": 510})

    assert device.settings["stratumURL"] == "pool.example"
    assert device.settings["stratumPassword"] == SECRET
    assert device.settings["stratumUser"] == user
    assert device.settings["frequency"] == 510
    assert device.restarts >= 1
    assert after.id == device_id
    assert after.info["stratumPort"] == 4000
    assert after.desired == {"stratumURL": "pool.example", "stratumPort": 4000, "frequency": 510}
    assert standings(after.change)["stratumPassword"] == "write_only"
    assert after.change.restarted
    by_hand(device_id, preset_id=str(preset), info={"stratumUser": "me"})
    assert device.settings["stratumUser"] == "me"


def test_a_secret_is_sealed_wherever_it_is_stored_and_in_no_answer(fleet: Fleet) -> None:
    number = at("2.15.0")
    device_id = fleets.register(fleet, number)
    preset = preset_of({"pools": [{"url": "p.example", "port": 1, "password": SECRET}]})

    after = by_hand(device_id, preset_id=str(preset), info={"wifiPass": SECRET})

    assert fleet.devices[number].settings["pools"][0]["password"] == SECRET
    assert fleet.devices[number].settings["wifiPass"] == SECRET
    with db.transaction() as tx:
        query = (
            "SELECT d::text FROM devices d UNION ALL SELECT c::text FROM configuration_changes c"
        )
        rows = [row[0] for row in tx.cursor().execute(query)]
    assert len(rows) == 2
    shown = [after.model_dump_json(), history(device_id)[0].model_dump_json()]
    for text in [*rows, *shown]:
        assert SECRET not in text
    assert sealing.unseal(fleets.row(device_id).desired)["wifiPass"] == SECRET
    assert after.change.secrets == ["pools.0.password", "wifiPass"]


def test_what_a_device_shows_beside_what_was_wanted_is_told_later_too(fleet: Fleet) -> None:
    number = at("2.4.5")
    device_id = fleets.register(fleet, number)
    apply(device_id, {"frequency": 500, "temptarget": 50, "pools": []})
    fleet.devices[number].settings["frequency"] = 300

    apply(device_id, {"coreVoltage": 1100})

    view = db.run(lambda tx: devices.get(tx, BENCH, device_id))
    found = {d.key: (d.standing, d.desired, d.reported) for d in configurations.standing(view)}
    assert found == {
        "frequency": ("differs", 500, 300),
        "temptarget": ("not_reported", 50, None),
        "pools": ("ignored", [], None),
        "coreVoltage": ("same", 1100, 1100),
    }


def test_a_restart_is_made_only_where_it_is_needed_or_asked_for(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    start = device.restarts

    assert not apply(device_id, {"frequency": 500}).restarted
    waiting = apply(device_id, {"stratumPort": 4444}, restart=False)
    assert (waiting.restarted, waiting.awaits_restart) == (False, True)
    assert device.restarts == start
    forced = apply(device_id, {"frequency": 505}, restart=True)

    assert (forced.restarted, forced.awaits_restart) == (True, False)
    assert device.restarts == start + 1


def test_settings_that_are_all_ignored_are_not_sent(fleet: Fleet) -> None:
    number = at("2.15.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]

    change = apply(device_id, {"stratumURL": "pool.example"})

    assert device.patches == []
    assert (change.status, change.restarted, change.not_restorable) == ("applied", False, [])
    assert standings(change) == {"stratumURL": "ignored"}
    assert change.differences[0].note == "ignored by this firmware; pools counts"


def test_a_fault_on_any_value_is_refused_before_the_device_is_asked(fleet: Fleet) -> None:
    device_id, device = fleets.register(fleet, 0), fleet.devices[0]
    polls = device.polls

    with pytest.raises(Invalid) as refused:
        by_hand(device_id, info={"frequency": 500, "temptarget": 90, "pools": [{"port": -1}]})
    assert [loc for loc, _ in refused.value.errors] == ["info.temptarget", "info.pools.0.port"]
    with pytest.raises(Invalid) as refused:
        apply(device_id, {"hostname": "x" * 33})
    assert refused.value.errors == [("hostname", "must be 1 to 32 characters")]
    with pytest.raises(Invalid, match="nothing to change"):
        by_hand(device_id)

    assert device.polls == polls
    assert history(device_id) == []


def test_a_preset_and_settings_that_are_too_long_together_are_refused(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 0)
    preset = preset_of({f"a{i}": "x" * 1000 for i in range(6)})

    with pytest.raises(Invalid, match="10,239 bytes"):
        by_hand(device_id, preset_id=str(preset), info={f"b{i}": "x" * 1000 for i in range(6)})

    assert fleet.devices[0].patches == []
    assert history(device_id)[0].status == "failed"


def test_who_may_not_and_what_there_is_not(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 0)
    viewer = Actor(new_id(), "v", "viewer")
    for verb in (
        lambda: configurations.apply(viewer, device_id, {"frequency": 500}),
        lambda: configurations.change_system(viewer, str(device_id), SystemBody(info={"x": 1})),
        lambda: configurations.revert(viewer, new_id()),
        lambda: configurations.restart(viewer, device_id),
    ):
        with pytest.raises(Forbidden):
            verb()
    with pytest.raises(NotFound):
        apply(new_id(), {"frequency": 500})
    with pytest.raises(NotFound):
        configurations.restart(ENGINEER, new_id())
    with pytest.raises(NotFound):
        configurations.revert(ENGINEER, new_id())
    for unknown in (str(new_id()), "nonsense"):
        with pytest.raises(BadRequest) as refused:
            by_hand(device_id, preset_id=unknown, info={"frequency": 500})
        assert refused.value.errors == [("preset_id", "is unknown")]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ip": None}, "no IP address"),
        ({"ip": "8.8.8.8"}, "in none of the allowed networks"),
        ({"ip": "[::ffff:8.8.8.8]:80"}, "in none of the allowed networks"),
        ({"kind": "http"}, "takes no settings"),
    ],
)
def test_a_device_that_cannot_be_called_is_the_callers_fault(
    fleet: Fleet, fields: dict[str, Any], text: str
) -> None:
    device_id = fleets.register(fleet, 0, **fields)

    with pytest.raises(BadRequest, match=text):
        apply(device_id, {"frequency": 500})
    with pytest.raises(BadRequest, match=text):
        configurations.restart(ENGINEER, device_id)

    assert history(device_id) == []


def test_a_device_in_a_run_is_left_alone_but_by_that_run(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id = fleets.register(fleet, number)
    made_runs.heard(device_id, ahead_s=300)
    run = made_runs.started(made_runs.case().id, [device_id])

    with pytest.raises(Conflict, match="in a run"):
        apply(device_id, {"frequency": 500})
    with pytest.raises(Conflict, match="in a run"):
        apply(device_id, {"frequency": 500}, run_id=new_id())
    with pytest.raises(Conflict, match="in a run"):
        configurations.restart(ENGINEER, device_id)
    change = configurations.apply(BENCH, device_id, {"frequency": 500}, run_id=run.id)

    assert (change.status, change.run_id, change.username) == ("applied", run.id, "testbench")
    before = db.run(lambda tx: configurations.before_run(tx, run.id, device_id))
    assert before == change.before


# --- what devices do ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ({"dead": True}, "does not answer"),
        ({"hanging": True}, "did not answer within 4 s"),
        ({"garbage": True}, "not valid JSON"),
        ({"redirect": "http://127.0.0.1:1/"}, "answered 302"),
        ({"huge": True}, "larger than 1 MiB"),
    ],
)
def test_a_device_that_fails_is_told_and_the_history_has_it(
    fleet: Fleet, faults: dict[str, Any], text: str
) -> None:
    device_id = fleets.register(fleet, 3)
    fleet.switch([3], **faults)

    with pytest.raises(BadGateway, match=text):
        apply(device_id, {"frequency": 500})

    (change,) = history(device_id)
    assert change.status == "failed"
    assert change.error is not None
    assert text in change.error
    assert fleet.devices[3].patches == []
    assert fleets.row(device_id).desired == {}


def test_answers_of_wrong_types_are_read_back_as_what_they_are(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 7)
    fleet.switch([7], wrong_types=True)

    change = apply(device_id, {"frequency": 500, "hostname": "bench", "overheat_mode": False})

    assert change.status == "applied"
    assert fleet.devices[7].settings["frequency"] == 500
    assert "differs" in standings(change).values()
    assert fleets.row(device_id).hostname is None


def test_a_device_that_changes_its_mac_is_not_configured(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 7)
    fleet.switch([7], changing_mac=True)

    with pytest.raises(BadGateway, match="answers as"):
        apply(device_id, {"frequency": 500})

    assert fleet.devices[7].patches == []


def test_a_slow_device_is_waited_for(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 3)
    fleet.switch([3], slow_s=1.5)

    assert apply(device_id, {"frequency": 500}).status == "applied"


def test_a_refusal_is_told_with_the_devices_status_and_text(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id = fleets.register(fleet, number)

    # The bench knows of no such bound; the device does.
    with pytest.raises(BadGateway, match="answered 400: Wrong API input"):
        apply(device_id, {"frequency": 500, "overheat_mode": True})

    change = history(device_id)[0]
    assert (change.status, change.error) == ("failed", "The device answered 400: Wrong API input")
    assert fleets.row(device_id).desired == {}


def test_a_secret_that_a_device_repeats_goes_no_further(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    device.patch = lambda body: Answer(400, b"bad: " + body)  # type: ignore[method-assign]
    try:
        with pytest.raises(BadGateway) as failed:
            apply(device_id, {"stratumPassword": SECRET, "stratumPort": 1})
    finally:
        del device.patch

    change = history(device_id)[0]
    for text in (failed.value.detail, str(failed.value), change.error):
        assert SECRET not in str(text)
        assert "*****" in str(text)


def test_another_device_at_the_address_is_left_alone(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 4, mac="02:00:00:00:00:01")

    with pytest.raises(BadGateway, match=r"answers as c0:fa:38:.*, expected 02:00:00:00:00:01"):
        apply(device_id, {"frequency": 500})

    assert fleet.devices[4].patches == []


def test_a_device_that_does_not_come_back_took_the_settings_all_the_same(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RETURN_S", 1.5)
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    answer = device.restart_answer

    def dies() -> Any:
        fleet.switch([number], dead=True)
        return answer()

    device.restart_answer = dies  # type: ignore[method-assign]
    try:
        with pytest.raises(BadGateway, match="did not come back"):
            apply(device_id, {"stratumPort": 4444})
    finally:
        del device.restart_answer

    change = history(device_id)[0]
    assert (change.status, change.restarted) == ("failed", True)
    assert fleets.row(device_id).desired == {"stratumPort": 4444}
    assert change.before == {"stratumPort": 3333}


def test_a_device_is_restarted_by_hand(fleet: Fleet) -> None:
    device_id, device = fleets.register(fleet, 5), fleet.devices[5]
    start = device.restarts

    configurations.restart(ENGINEER, device_id)

    wait_until(lambda: device.restarts == start + 1, 10)
    wait_until(lambda: configurations.answers(device_id), 10)
    fleet.switch([5], dead=True)
    with pytest.raises(BadGateway):
        configurations.restart(ENGINEER, device_id)


# --- taken back ---------------------------------------------------------------------------------


def test_a_revert_puts_back_what_was_there_whatever_came_after(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    frequency, port = device.settings["frequency"], device.settings["stratumPort"]
    first = apply(device_id, {"frequency": 500, "stratumPort": 4444})
    apply(device_id, {"frequency": 510})

    back = configurations.revert(ENGINEER, first.id)

    assert (back.reverts, back.username, back.status) == (first.id, "erin", "applied")
    assert first.before == {"frequency": frequency, "stratumPort": port}
    assert (device.settings["frequency"], device.settings["stratumPort"]) == (frequency, port)
    assert back.restarted
    assert history(device_id)[0].id == back.id
    again = configurations.revert(ENGINEER, back.id)
    assert device.settings["frequency"] == 510
    assert again.changes == {"frequency": 510, "stratumPort": 4444}


def test_secrets_come_back_where_the_bench_knew_them_and_else_it_is_said(fleet: Fleet) -> None:
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    first = apply(device_id, {"stratumPassword": "first-secret", "stratumPort": 1}, restart=False)
    second = apply(device_id, {"stratumPassword": "second-secret"}, restart=False)

    assert first.not_restorable == ["stratumPassword"]
    assert second.not_restorable == []
    configurations.revert(ENGINEER, second.id)
    assert device.settings["stratumPassword"] == "first-secret"
    configurations.revert(ENGINEER, first.id)
    assert device.settings["stratumPassword"] == "first-secret"


def test_a_pools_password_comes_back_with_its_pool(fleet: Fleet) -> None:
    number = at("2.15.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    mine = {"url": "mine.example", "port": 1, "password": "mine-secret"}
    first = apply(device_id, {"pools": [mine]}, restart=False)
    other = {"url": "other.example", "password": "other-secret"}
    second = apply(device_id, {"pools": [other]}, restart=False)

    assert first.not_restorable == ["pools.0.password"]
    assert second.not_restorable == []
    configurations.revert(ENGINEER, second.id)

    assert device.settings["pools"][0]["url"] == "mine.example"
    assert device.settings["pools"][0]["password"] == "mine-secret"


def test_a_password_that_old_firmware_tells_can_be_put_back(fleet: Fleet) -> None:
    device_id, device = fleets.register(fleet, at("2.0.4")), fleet.devices[at("2.0.4")]
    password = device.settings["wifiPass"]
    change = apply(device_id, {"wifiPass": "another-one"}, restart=False)

    assert change.not_restorable == []
    assert password not in change.model_dump_json()
    configurations.revert(ENGINEER, change.id)
    assert device.settings["wifiPass"] == password


def test_what_left_nothing_to_put_back_cannot_be_reverted(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, at("2.12.0"))
    change = apply(device_id, {"futureKnob": 5})

    assert change.not_restorable == ["futureKnob"]
    with pytest.raises(Conflict, match="Nothing of this change"):
        configurations.revert(ENGINEER, change.id)


# --- interrupted, and two at once ---------------------------------------------------------------


def left_pending(device_id: uuid.UUID, age_s: float, **fields: Any) -> uuid.UUID:
    """A change whose maker died."""
    row = ConfigurationChange(
        **{"device_id": device_id, "username": "ghost", "changes": {"frequency": 1}} | fields
    )
    with db.transaction() as tx:
        row.at = tx.now - timedelta(seconds=age_s)
        tx.session.add(row)
    return row.id


def test_two_changes_at_once_are_one_and_a_conflict(fleet: Fleet) -> None:
    device_id, device = fleets.register(fleet, 6), fleet.devices[6]
    fleet.switch([6], slow_s=0.5)
    ended: list[Any] = []

    def change(frequency: int) -> None:
        try:
            ended.append(apply(device_id, {"frequency": frequency}))
        except Conflict as error:
            ended.append(error)

    threads = [threading.Thread(target=change, args=(500 + i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    done = [entry for entry in ended if isinstance(entry, ChangeView)]
    assert len(done) == 1
    assert len(ended) == 4
    assert len(device.patches) == 1
    assert device.settings["frequency"] == done[0].changes["frequency"]
    assert len(history(device_id)) == 1


def test_while_a_change_is_under_way_restarts_and_reverts_wait(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 6)
    pending = left_pending(device_id, age_s=1)

    for verb in (
        lambda: configurations.restart(ENGINEER, device_id),
        lambda: configurations.revert(ENGINEER, pending),
        lambda: apply(device_id, {"frequency": 500}),
    ):
        with pytest.raises(Conflict, match="under way"):
            verb()


def test_a_change_whose_maker_died_is_told_and_holds_up_nobody(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, 6)
    old, young = left_pending(device_id, age_s=130), left_pending(fleets.register(fleet, 7), 60)

    assert configurations.end_interrupted() == 1

    with db.transaction() as tx:
        dead = configurations.get(tx, BENCH, old)
        assert configurations.get(tx, BENCH, young).status == "pending"
    assert (dead.status, dead.error) == ("failed", configurations.INTERRUPTED)
    assert apply(device_id, {"frequency": 500}).status == "applied"


def test_an_interrupted_change_goes_on_under_its_number_with_what_it_had_found(
    fleet: Fleet,
) -> None:
    number = at("2.12.0")
    device_id, device = fleets.register(fleet, number), fleet.devices[number]
    # Its worker was killed after the device had taken the settings.
    change_id = left_pending(
        device_id, 20, changes={"frequency": 500}, before={"frequency": 490}, username="erin"
    )
    device.settings["frequency"] = 500

    change = apply(device_id, {"frequency": 500}, change_id=change_id)
    again = apply(device_id, {"frequency": 500}, change_id=change_id)

    assert (change.id, change.status, change.before) == (change_id, "applied", {"frequency": 490})
    assert again == change
    assert len(device.patches) == 1


def test_a_run_goes_on_with_what_it_had_left_pending(fleet: Fleet) -> None:
    device_id = fleets.register(fleet, at("2.12.0"))
    run_id = new_id()
    change_id = left_pending(
        device_id, 20, changes={"frequency": 500}, before={"frequency": 490}, run_id=run_id
    )

    change = configurations.apply(BENCH, device_id, {"frequency": 500}, run_id=run_id)

    assert (change.id, change.before) == (change_id, {"frequency": 490})
