"""Polling real (emulated) devices: what they say is stored, whatever they do and whoever dies."""

import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain import axeos
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.domain.sharing import keeper
from testbench.launcher.emulator import ALL, emulate
from testbench.processes.collector import name_of, recording
from testbench.processes.collector.polling import Poller
from testbench.services import devices, monitoring, telemetry
from testbench.services.devices import DevicePatch
from testbench.services.monitoring import Poll, Polled
from tests.brokers import process
from tests.processes.polling import (
    LAB,
    NO_BROKER,
    gaps,
    is_polled_on,
    polling,
    register,
    shown,
    stored,
)
from tests.services import Env, Servers, wait_until


@pytest.fixture(autouse=True)
def lab(bench_env: Env) -> Env:
    bench_env.set(DISCOVERY_NETWORKS=LAB, POLL_INTERVAL_S="1", MQTT_URL=NO_BROKER)
    monitoring._written.clear()
    return bench_env


def test_every_firmware_gives_readings_with_units_and_takes_its_mac() -> None:
    with emulate(len(ALL)) as fleet, polling():
        fleet_devices = register(fleet)

        for device, emulated in zip(fleet_devices, fleet.devices, strict=True):
            wait_until(lambda d=device: stored(d), 20, lambda d=device: str(shown(d)))
            now = shown(device)
            assert (now.mac, now.online, now.poll_error) == (emulated.mac, True, None)
            assert (now.monitored, now.tracing) == (True, True)
            assert now.hostname == emulated.settings["hostname"]
            assert 1 < now.latest["power"]["value"] < 200
            assert {m: one.get("unit", "") for m, one in now.latest.items()} == {
                m: axeos.UNITS[m] for m in now.latest
            }
            assert 0.5 < now.latest["core_voltage"]["value"] < 2
            assert now.info["version"] == emulated.firmware.shown_version
            assert not [key for key in now.info if axeos.is_secret(key)]


def test_a_device_is_polled_at_its_own_interval() -> None:
    with emulate(2) as fleet, polling():
        often, seldom = register(fleet)
        patch = DevicePatch(poll_interval_s=3)
        db.run(lambda tx: devices.change(tx, BENCH, str(seldom.id), patch))
        is_polled_on(seldom, 2)

        is_polled_on(seldom, 2)

    later = [gap.total_seconds() for gap in gaps(seldom)][-2:]
    assert all(2 < gap < 4.5 for gap in later), later
    assert len(stored(often)) >= 2 * len(later)


def test_polls_are_spread_over_the_interval() -> None:
    with emulate(40) as fleet, polling() as poller:
        fleet_devices = register(fleet)
        wait_until(lambda: all(len(stored(device)) > 4 for device in fleet_devices), 40)
        assert poller.figures.missed == 0

    phases = sorted(stored(device)[-1].microsecond / 1e6 for device in fleet_devices)
    quarters = [sum(1 for p in phases if q <= p * 4 < q + 1) for q in range(4)]
    assert min(quarters) >= 3, quarters


def test_hanging_devices_delay_no_other(lab: Env) -> None:
    with emulate(12) as fleet, polling() as poller:
        fleet.switch(range(4), hanging=True)
        fleet_devices = register(fleet)
        wait_until(lambda: all(len(stored(device)) > 8 for device in fleet_devices[4:]), 40)
        late, polls = poller.figures.late, poller.figures.polls

        wait_until(lambda: all(shown(d).poll_error for d in fleet_devices[:4]), 15)
        assert not any(shown(d).online for d in fleet_devices[:4])
    assert late <= polls / 4, (late, polls)
    # Less than a hanging device is waited for.
    for device in fleet_devices[4:]:
        assert max(gap.total_seconds() for gap in gaps(device)[1:]) < 3.5


def test_a_device_slower_than_its_interval_is_not_asked_twice_at_once() -> None:
    with emulate(1) as fleet, polling() as poller:
        fleet.switch(slow_s=1.5)
        [device] = register(fleet)
        is_polled_on(device, 3)

        assert poller.figures.missed >= 2
        assert shown(device).poll_error is None
    assert fleet.devices[0].polls <= len(stored(device)) + 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"garbage": True}, "not valid JSON"),
        ({"dead": True}, "does not answer"),
        ({"huge": True}, "larger than 1 MiB"),
        ({"redirect": "http://169.254.169.254/latest/meta-data"}, "answered 302"),
    ],
)
def test_a_failed_poll_is_shown_until_one_succeeds(fault: dict[str, Any], said: str) -> None:
    with emulate(1) as fleet, polling():
        [device] = register(fleet, offline_after_s=2)
        is_polled_on(device)
        fleet.switch(**fault)

        wait_until(lambda: shown(device).poll_error, 10)
        failing = shown(device)
        assert said in (failing.poll_error or "")
        assert (failing.monitored, failing.tracing) == (True, False)
        wait_until(lambda: not shown(device).online, 10)

        fleet.heal()
        wait_until(lambda: shown(device).poll_error is None, 10)
        wait_until(lambda: shown(device).online, 5)
        assert shown(device).tracing


def test_wrong_types_cost_only_what_they_hit() -> None:
    with emulate(1) as fleet, polling():
        [device] = register(fleet)
        is_polled_on(device)
        fleet.switch(wrong_types=True)
        time.sleep(3)
        fleet.heal()

        is_polled_on(device)
        assert shown(device).poll_error is None
        with db.transaction() as tx:
            assert telemetry.validation_errors(tx, BENCH, device.id).items == []


def test_a_device_that_answers_as_another_is_flagged_and_not_merged() -> None:
    with emulate(2) as fleet, polling():
        [device] = register(fleet, [0], offline_after_s=2)
        is_polled_on(device)
        mac, count = shown(device).mac, len(stored(device))
        fleet.switch([0], changing_mac=True)

        wait_until(lambda: shown(device).poll_error, 10)
        assert f"expected {mac}" in (shown(device).poll_error or "")
        assert shown(device).mac == mac
        count = len(stored(device))
        wait_until(lambda: not shown(device).online, 10)
        assert len(stored(device)) == count


def test_two_addresses_of_one_device_are_told_apart() -> None:
    with emulate(1) as fleet, polling():
        [first] = register(fleet)
        is_polled_on(first)
        again = devices.NewDevice(name="again", kind="axeos", ip=fleet.addresses[0])
        second = db.run(lambda tx: devices.create(tx, BENCH, again))

        wait_until(lambda: shown(second).poll_error, 10)
        assert "another device has" in (shown(second).poll_error or "")
        assert shown(second).mac is None
        assert stored(second) == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "8.8.8.8", "[::ffff:169.254.169.254]:80", "[::ffff:10.0.0.1]:80"]
)
def test_an_address_outside_the_allowed_networks_is_never_called(address: str) -> None:
    new = devices.NewDevice(name="elsewhere", kind="axeos", ip="127.0.0.1:1")
    with db.transaction() as tx:  # past the door, which refuses some: a service may have named it
        device = devices.create(tx, BENCH, new)
        tx.cursor().execute("UPDATE devices SET ip = %s WHERE id = %s", (address, device.id))
    with polling():
        wait_until(lambda: shown(device).poll_error, 10)
        assert "in none of the allowed networks" in (shown(device).poll_error or "")


@pytest.mark.parametrize(
    ("hostname", "kept"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * 10_000, "x" * 200),
        ("a\x00b\x1b[31m\u202ec\n", "ab[31mc"),
    ],
)
def test_what_a_device_calls_itself_is_text(hostname: str, kept: str) -> None:
    with emulate(1) as fleet, polling():
        fleet.devices[0].settings["hostname"] = hostname
        [device] = register(fleet)
        is_polled_on(device, 1)

        wait_until(lambda: shown(device).hostname, 10)
        now = shown(device)
        assert (now.hostname, now.name) == (kept, "miner 0")
        assert len(now.info["hostname"]) <= 4096


def test_info_is_fresh_and_written_down_where_more_than_values_changed() -> None:
    with emulate(1, ["2.12.0"]) as fleet, polling():
        [device] = register(fleet)
        is_polled_on(device, 6)  # `blockHeight` comes late
        before = shown(device).info["uptimeSeconds"]
        written = row(device)[1]
        wait_until(lambda: shown(device).info["uptimeSeconds"] > before + 1, 10)
        assert row(device)[1] == written

        fleet.devices[0].settings["frequency"] = 555
        wait_until(lambda: row(device)[0]["frequency"] == 555, 10)
        assert row(device)[1] > written


def row(device: devices.DeviceView) -> Any:
    with db.transaction() as tx:
        return (
            tx.cursor()
            .execute("SELECT info, info_at FROM devices WHERE id = %s", (device.id,))
            .fetchone()
        )


def test_what_changes_acts_within_seconds() -> None:
    with emulate(2) as fleet, polling():
        [device] = register(fleet, [0])
        is_polled_on(device)
        moved = "UPDATE devices SET ip = %s, mac = NULL WHERE id = %s"
        with db.transaction() as tx:
            tx.cursor().execute(moved, (fleet.addresses[1], device.id))
        wait_until(lambda: shown(device).mac == fleet.devices[1].mac, 6)

        db.run(lambda tx: monitoring.listen(tx, BENCH, []))
        time.sleep(3)
        count = len(stored(device))
        time.sleep(2.5)
        assert len(stored(device)) == count
        assert not shown(device).monitored

        db.run(lambda tx: monitoring.listen(tx, BENCH))
        is_polled_on(device, 2, 8)


def test_removed_device_is_asked_no_more() -> None:
    with emulate(1) as fleet, polling():
        [device] = register(fleet)
        is_polled_on(device)
        db.run(lambda tx: devices.remove(tx, BENCH, str(device.id)))
        time.sleep(3)
        asked = fleet.devices[0].polls
        time.sleep(2.5)

        assert fleet.devices[0].polls == asked


def test_auto_listen_monitors_what_is_imprinted_from_the_start(lab: Env) -> None:
    with emulate(1) as fleet:
        [device] = register(fleet, mac=fleet.devices[0].mac)
        db.run(lambda tx: monitoring.listen(tx, BENCH, []))
        lab.set(AUTO_LISTEN="true")
        with polling():
            is_polled_on(device)
        assert shown(device).monitored


def test_a_database_away_does_not_stop_the_polls(lab: Env, servers: Servers) -> None:
    with emulate(1) as fleet, polling() as poller:
        [device] = register(fleet)
        is_polled_on(device)
        with servers.paused("postgres"):
            asked = fleet.devices[0].polls
            wait_until(lambda: fleet.devices[0].polls > asked + 8, 25)
        is_polled_on(device, 2, 30)

        assert poller.recorder.dropped == 0
        # What was polled meanwhile is there, too.
        assert max(gap.total_seconds() for gap in gaps(device)) < 4


def test_what_waits_for_the_database_is_bounded_and_the_newest_is_kept(
    lab: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_WAITING", 10)
    recorder = recording.Recorder()
    device = Polled(new_id(), "127.0.0.1:1", None, 5.0, False, None)
    for number in range(15):
        recorder.put(Poll(device, number, error="away"))

    assert recorder.dropped == 5
    assert [poll.at for poll in recorder._take()] == list(range(5, 15))


def test_a_follower_that_fails_does_not_end_the_polls() -> None:
    stopping = Event()
    followed: list[int] = []

    def follow(devices: Sequence[Polled]) -> None:
        followed.append(len(devices))
        raise RuntimeError("a log reader's fault")

    with emulate(1) as fleet:
        poller = Poller("one", stopping, [follow])
        poller.start()
        try:
            [device] = register(fleet)
            is_polled_on(device)
        finally:
            stopping.set()
            poller.join()
    assert 1 in followed
    assert not poller.broken


def test_a_killed_collectors_devices_are_polled_by_another_within_fifteen_seconds(
    lab: Env, tmp_path: Path
) -> None:
    lab.set(POLL_INTERVAL_S="5")
    with emulate(12) as fleet, process("collector", tmp_path) as first:
        fleet_devices = register(fleet)
        wait_until(lambda: all(stored(device) for device in fleet_devices), 30)
        with process("collector", tmp_path):
            wait_until(lambda: len(living()) == 2, 20)
            time.sleep(2)
            mine = [d for d in fleet_devices if keeper(d.id, living()) == name_of(0)]
            first.send_signal(signal.SIGKILL)
            killed = datetime.now(UTC)

            assert 0 < len(mine) < 12
            wait_until(lambda: all(stored(d)[-1] > killed for d in mine), 30)
            late = max(min(at for at in stored(d) if at > killed) for d in mine) - killed
            assert late.total_seconds() <= 15
            assert all(shown(d).online for d in fleet_devices)


def test_a_collector_that_stops_leaves_its_devices_to_the_other_at_once(lab: Env) -> None:
    with emulate(8) as fleet, polling("one"):
        fleet_devices = register(fleet)
        with polling("two"):
            wait_until(lambda: living() == ["one", "two"], 10)
            time.sleep(3)
        assert living() == ["one"]
        stopped = datetime.now(UTC)

        wait_until(lambda: all(stored(d)[-1] > stopped for d in fleet_devices), 5)


def test_a_paused_collector_looks_again_before_it_polls(lab: Env, tmp_path: Path) -> None:
    with emulate(1) as fleet, process("collector", tmp_path) as running:
        [device] = register(fleet)
        is_polled_on(device)
        running.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        db.run(lambda tx: devices.remove(tx, BENCH, str(device.id)))
        asked = fleet.devices[0].polls
        time.sleep(monitoring.LEASE_S + 1)
        running.send_signal(signal.SIGCONT)
        time.sleep(3)

        assert fleet.devices[0].polls == asked


def living() -> list[str]:
    """The collectors whose lease runs."""
    with db.transaction() as tx:
        alive = "SELECT name FROM collectors WHERE lease_until > clock_timestamp() ORDER BY name"
        return [name for (name,) in tx.cursor().execute(alive)]
