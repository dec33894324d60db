"""Monitoring below its doors: who is monitored, who polls it, what becomes of a poll."""

import time
import uuid
from typing import Any

import pytest

from testbench.adapters import bus, db, live
from testbench.domain import axeos
from testbench.domain.axeos import standing_of
from testbench.domain.errors import Forbidden, Invalid, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.domain.sharing import keeper, phase, wait_s
from testbench.models import Device
from testbench.services import devices, monitoring
from testbench.services.devices import DeviceView, NewDevice
from testbench.services.monitoring import Poll, Polled

VIEWER = Actor(new_id(), "v", "viewer")


@pytest.fixture
def told(bench_env: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was told to the bus."""
    events: list[tuple[str, str]] = []
    publish = bus.publish

    def hear(some: Any) -> None:
        listed = list(some)
        events.extend((event.topic, event.id) for event in listed)
        publish(listed)

    monkeypatch.setattr(bus, "publish", hear)
    monitoring._written.clear()
    return events


def mac(number: int) -> str:
    return f"c0:fa:38:00:00:{number:02x}"


def miner(number: int, **more: Any) -> DeviceView:
    new = NewDevice(
        name=f"m{number}", kind="axeos", **{"ip": f"10.0.0.{number}", "mac": mac(number)} | more
    )
    return db.run(lambda tx: devices.create(tx, BENCH, new))


def listen(macs: list[str] | None = None, **more: Any) -> list[uuid.UUID]:
    return [one.id for one in db.run(lambda tx: monitoring.listen(tx, BENCH, macs, **more))]


def shown(id: uuid.UUID) -> DeviceView:
    return db.run(lambda tx: devices.get(tx, BENCH, id))


def info(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "ASICModel": "BM1370",
        "macAddr": mac(number).upper(),
        "hostname": "bitaxe",
        "version": "v2.12.0",
        "power": 20.5,
        "frequency": 600,
        **more,
    }


def polled(device: DeviceView, **more: Any) -> Polled:
    known = Polled(device.id, device.ip or "", device.mac, 5.0, False, device.poll_error)
    return known._replace(**more)


def record(of: DeviceView, answer: dict[str, Any] | None = None, **more: Any) -> None:
    parsed = axeos.reading_of(answer) if answer else None
    now = time.time_ns() // 1_000_000
    poll = Poll(polled(shown(of.id)), now, parsed)._replace(**more)
    monitoring.record([poll])


# --- which devices


@pytest.mark.usefixtures("bench_env")
def test_the_list_of_monitored_devices_becomes_the_one_given(told: list[tuple[str, str]]) -> None:
    one, two, three = miner(1), miner(2), miner(3)
    told.clear()

    assert listen([mac(1), mac(2).upper().replace(":", "-")]) == [one.id, two.id]

    assert [shown(d.id).monitored for d in (one, two, three)] == [True, True, False]
    assert ("removed", str(three.id)) in told
    assert ("removed", str(one.id)) not in told

    assert listen([]) == []
    assert not shown(one.id).monitored
    assert listen() == [one.id, two.id, three.id]


@pytest.mark.usefixtures("bench_env")
def test_logs_are_traced_where_it_is_said_and_left_where_not() -> None:
    one = miner(1)
    listen(trace_logs=True)
    assert shown(one.id).trace_logs
    listen()
    assert shown(one.id).trace_logs
    listen(trace_logs=False)
    assert not shown(one.id).trace_logs
    listen(trace_logs=True)
    listen([])
    assert not shown(one.id).trace_logs


@pytest.mark.usefixtures("bench_env")
def test_only_imprinted_devices_can_be_listened_to() -> None:
    other = NewDevice(name="oven", kind="http", mac=mac(9))
    db.run(lambda tx: devices.create(tx, BENCH, other))
    miner(1)
    with pytest.raises(NotFound, match=mac(9)):
        listen([mac(1), mac(9)])
    with pytest.raises(NotFound, match=mac(8)):
        listen([mac(8)])
    with pytest.raises(Invalid) as refused:
        listen([mac(1), "c0:fa"])
    assert refused.value.errors == [("macs.1", "must be six pairs of hex digits")]
    with pytest.raises(Forbidden):
        db.run(lambda tx: monitoring.listen(tx, VIEWER))


@pytest.mark.usefixtures("bench_env")
def test_without_a_list_one_that_has_not_yet_told_its_mac_stays_monitored() -> None:
    fresh, known = miner(1, mac=None), miner(2)
    assert fresh.monitored

    assert listen() == [fresh.id, known.id]


# --- by whom


@pytest.mark.usefixtures("bench_env")
def test_each_device_falls_to_one_of_the_living_collectors() -> None:
    fleet = {miner(number).id for number in range(1, 41)}

    def share(name: str) -> set[uuid.UUID]:
        return {one.id for one in db.run(lambda tx: monitoring.shared_out(tx, name))}

    assert share("a") == fleet
    share("b")
    mine, others = share("a"), share("b")
    assert mine | others == fleet
    assert not mine & others
    assert min(len(mine), len(others)) > 8

    with db.transaction() as tx:
        tx.cursor().execute("UPDATE collectors SET lease_until = now() WHERE name = 'a'")
    assert share("b") == fleet
    db.run(lambda tx: monitoring.leave(tx, "b"))
    assert share("a") == fleet


@pytest.mark.usefixtures("bench_env")
def test_removed_dropped_and_other_devices_are_polled_by_nobody() -> None:
    kept, gone, dropped = miner(1), miner(2), miner(3)
    http = NewDevice(name="oven", kind="http", ip="10.0.0.9")
    db.run(lambda tx: devices.create(tx, BENCH, http))
    db.run(lambda tx: devices.remove(tx, BENCH, str(gone.id)))
    listen([mac(1)])

    shared = db.run(lambda tx: monitoring.shared_out(tx, "a"))

    assert [one.id for one in shared] == [kept.id]
    assert shared[0].interval_s == 5.0
    assert not shown(dropped.id).monitored


def test_a_collector_that_goes_takes_only_its_own_devices_with_it() -> None:
    ids = [uuid.uuid4() for _ in range(2000)]
    three = {id: keeper(id, ["a", "b", "c"]) for id in ids}
    two = {id: keeper(id, ["c", "a"]) for id in ids}

    assert all(two[id] == three[id] for id in ids if three[id] != "b")
    counts = [list(three.values()).count(name) for name in "abc"]
    assert min(counts) > 550


def test_turns_are_spread_and_the_same_for_every_collector() -> None:
    ids = [new_id() for _ in range(2000)]
    tenths = [int(phase(id) * 10) for id in ids]
    assert min(tenths.count(tenth) for tenth in range(10)) > 150
    for id in ids[:20]:
        turn = 1_000_000 + wait_s(id, 5.0, 1_000_000)
        assert 0 <= turn - 1_000_000 < 5
        assert abs(turn + 5 - (1_000_003.5 + wait_s(id, 5.0, 1_000_003.5))) in (
            pytest.approx(0, abs=1e-3),
            pytest.approx(5, abs=1e-3),
        )


# --- what becomes of a poll


def test_a_first_failure_is_written_down_told_and_cleared(told: list[tuple[str, str]]) -> None:
    one = miner(1)
    record(one, info())
    told.clear()

    record(one, None, error="The device does not answer.")
    record(one, None, error="The device does not answer.")

    failing = shown(one.id)
    assert failing.poll_error == "The device does not answer."
    assert (failing.monitored, failing.tracing) == (True, False)
    assert [event for event in told if event[0] != "telemetry"] == [
        ("devices", str(one.id)),
        ("poll_errors", str(one.id)),
        ("poll_errors", str(one.id)),
    ]

    told.clear()
    record(one, info())
    assert (shown(one.id).poll_error, shown(one.id).tracing) == (None, True)
    assert ("devices", str(one.id)) in told


def test_a_success_clears_an_error_that_the_collector_did_not_know_of(
    told: list[tuple[str, str]],
) -> None:
    one = miner(1)
    before = polled(shown(one.id))
    record(one, None, error="Away.", device=before)
    record(one, info(), device=before)

    assert shown(one.id).poll_error is None


def test_another_macs_answer_is_kept_out(told: list[tuple[str, str]]) -> None:
    one = miner(1)
    record(one, info(2, hostname="impostor"))

    now = shown(one.id)
    assert now.poll_error == f"The device answers as {mac(2)}, expected {mac(1)}."
    assert (now.online, now.latest, now.info, now.hostname) == (False, {}, {}, None)


def test_a_mac_is_taken_over_once(told: list[tuple[str, str]]) -> None:
    first, second, third = miner(1, mac=None), miner(2, mac=None), miner(3)
    polls = [
        Poll(polled(device), 1_780_000_000_000, axeos.reading_of(info(number)))
        for device, number in ((second, 1), (first, 1), (third, 3))
    ]
    monitoring.record(polls)

    assert [shown(one.id).mac for one in (first, second, third)] == [mac(1), None, mac(3)]
    assert "another device has" in (shown(second.id).poll_error or "")
    assert shown(second.id).latest == {}
    assert shown(first.id).latest["power"]["value"] == 20.5


def test_an_answer_without_any_value_is_a_failed_poll(told: list[tuple[str, str]]) -> None:
    one = miner(1)
    answer = {"ASICModel": "BM1370", "macAddr": mac(1)}
    record(one, answer)

    assert shown(one.id).poll_error == monitoring.NO_VALUES
    assert not shown(one.id).online


def test_info_in_the_database_follows_settings_at_once_and_measured_values_slowly(
    told: list[tuple[str, str]],
) -> None:
    one = miner(1)

    def written() -> dict[str, Any]:
        with db.transaction() as tx:
            return tx.session.get_one(Device, one.id).info

    record(one, info(power=20))
    record(one, info(power=21))
    assert written()["power"] == 20
    assert shown(one.id).info["power"] == 21
    told.clear()

    record(one, info(power=22, frequency=650, hostname="renamed"))
    assert (written()["power"], written()["frequency"]) == (22, 650)
    assert (shown(one.id).hostname, shown(one.id).name) == ("renamed", "m1")
    assert ("devices", str(one.id)) in told

    monitoring._written[one.id] = monitoring._written[one.id]._replace(again=0.0)
    told.clear()
    record(one, info(power=23, frequency=650, hostname="renamed"))
    assert written()["power"] == 23
    assert ("devices", str(one.id)) not in told


def test_what_was_read_back_after_a_change_is_not_hidden_by_an_older_poll(
    told: list[tuple[str, str]],
) -> None:
    one = miner(1)
    record(one, info(frequency=500))
    with db.transaction() as tx:
        tx.session.get_one(Device, one.id).info = info(frequency=600)

    assert shown(one.id).info["frequency"] == 600
    late = Poll(polled(shown(one.id)), 1_780_000_000_000, axeos.reading_of(info(frequency=500)))
    monitoring.record([late])
    assert shown(one.id).info["frequency"] == 600

    record(one, info(frequency=610))
    assert shown(one.id).info["frequency"] == 610


def test_a_removed_devices_poll_changes_nothing(told: list[tuple[str, str]]) -> None:
    one = miner(1)
    known = polled(shown(one.id))
    db.run(lambda tx: devices.remove(tx, BENCH, str(one.id)))

    answer = axeos.reading_of(info())
    monitoring.record([Poll(known, 1_780_000_000_000, answer)])

    with db.transaction() as tx:
        assert tx.session.get_one(Device, one.id).info == {}
        assert tx.cursor().execute("SELECT count(*) FROM readings").fetchone() == (0,)


def test_monitoring_goes_on_while_the_cache_is_away(
    told: list[tuple[str, str]], bench_env: Any
) -> None:
    one = miner(1)
    bench_env.set(REDIS_URL="redis://127.0.0.1:1")
    record(one, info())

    assert live.infos([one.id]) == {}
    assert shown(one.id).info["power"] == 20.5
    assert shown(one.id).online


# --- what stands of an answer


def test_measured_values_do_not_change_what_stands() -> None:
    before = standing_of(info(fanspeed=30, bestDiff="4.29G", sensors=[{"t": 1}]))

    assert standing_of(info(power=9, fanspeed=99, bestDiff="5G", sensors=[{"t": 2}])) == before


@pytest.mark.parametrize(
    "change",
    [
        {"frequency": 601},
        {"hostname": "x"},
        {"version": "v2.13"},
        {"added": 1},
        {"miningPaused": True},
        {"pools": [{"url": "b", "port": 1}]},
        {"pools": [{"url": "a", "port": 2}]},
    ],
)
def test_settings_text_and_flags_do(change: dict[str, Any]) -> None:
    before = info(miningPaused=False, pools=[{"url": "a", "port": 1}])

    assert standing_of(before | change) != standing_of(before)


def test_numbers_of_any_size_stand() -> None:
    assert standing_of({"x": 10**40, "port": 10**40}) == standing_of({"x": 3, "port": 10**40})
