"""The tab of a device's log: what it shows of the reading, and how little it sends."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from reflex.state import State
from reflex_base.utils.format import json_dumps

from testbench.adapters import db, device_logs
from testbench.adapters import sessions as store
from testbench.adapters.device_logs import Reading
from testbench.domain.identity import BENCH
from testbench.models import Device, User
from testbench.services import devices
from testbench.services.devices import NewDevice, RegisteredDevice
from testbench.state import live
from testbench.state.device_logs import DeviceLogsState
from tests.state.tabs import invoke, tab, words

if TYPE_CHECKING:
    from tests.services import Env

MAX_UPDATE_BYTES = 500


@pytest.fixture
def session(bench_env: "Env") -> str:
    """A live session of an engineer."""
    user = User(
        id=uuid.uuid4(),
        username="eva",
        password_hash="-",
        role="engineer",
        created_at=datetime.now(UTC),
    )
    with db.transaction() as tx:
        tx.session.add(user)
    return store.create(user.id, "eva", "engineer")[0]


def register(kind: str = "axeos", **more: Any) -> RegisteredDevice:
    new = NewDevice.model_validate({"name": "miner", "kind": kind, **more})
    return db.run(lambda tx: devices.create(tx, BENCH, new))


def miner() -> RegisteredDevice:
    return register(ip="127.0.0.1:9", mac="c0:fa:38:00:11:22")


def row(device: RegisteredDevice) -> Device:
    with db.transaction() as tx:
        return tx.session.get_one(Device, device.id)


def logs_of(device: RegisteredDevice, session: str, by: str = "") -> State:
    return tab(session, f"/devices/{by or device.id}?tab=logs")


async def loaded(root: State) -> DeviceLogsState:
    await invoke(root, DeviceLogsState.event_handlers["load"])
    return await root.get_state(DeviceLogsState)


async def sent(root: State, handler: str, *args: object) -> dict[str, Any]:
    """What an event changed, as it goes to the browser."""
    root._clean()
    await invoke(root, DeviceLogsState.event_handlers[handler], *args)
    delta: dict[str, Any] = json.loads(json_dumps(root.get_delta()))
    return delta


def shown(state: DeviceLogsState) -> tuple[bool, str, int, str]:
    return state.traced, state.reading, state.attempt, state.fault


def test_the_tab_shows_how_the_reading_stands(session: str) -> None:
    device = miner()
    root = logs_of(device, session)

    async def check() -> list[tuple[bool, str, int, str]]:
        state = await loaded(root)
        seen = [shown(state)]
        await invoke(root, DeviceLogsState.event_handlers["set_tracing"], True)
        seen.append(shown(state))
        for reading in (
            Reading("connecting"),
            Reading("connected"),
            Reading("reconnecting", 2, "The device's log was cut off."),
            Reading("stopped", 5, "The device answered 429."),
        ):
            device_logs.put_readings({device.id: reading})
            await invoke(root, DeviceLogsState.event_handlers["refresh_logs"])
            seen.append(shown(state))
        await invoke(root, DeviceLogsState.event_handlers["set_tracing"], False)
        return [*seen, shown(state)]

    assert asyncio.run(check()) == [
        (False, "off", 0, ""),
        (True, "waiting", 0, ""),
        (True, "connecting", 0, ""),
        (True, "connected", 0, ""),
        (True, "reconnecting", 2, "The device's log was cut off."),
        (True, "stopped", 5, "The device answered 429."),
        (False, "off", 0, ""),
    ]


def test_tracing_turns_on_what_it_needs_and_off_what_reads_the_log(session: str) -> None:
    device = miner()
    with db.transaction() as tx:
        tx.session.get_one(Device, device.id).tracing = False
    root = logs_of(device, session)

    async def check() -> tuple[Device, Device]:
        await loaded(root)
        await invoke(root, DeviceLogsState.event_handlers["set_tracing"], True)
        on = row(device)
        with db.transaction() as tx:
            tx.session.get_one(Device, device.id).trace_logs = True
        await invoke(root, DeviceLogsState.event_handlers["set_tracing"], False)
        return on, row(device)

    on, off = asyncio.run(check())

    assert (on.tracing, on.log_listening) == (True, True)
    assert (off.tracing, off.trace_logs, off.log_listening) == (True, False, False)


def test_try_again_asks_the_collector(session: str) -> None:
    device = miner()
    root = logs_of(device, session)

    async def check() -> str:
        await loaded(root)
        assert device_logs.taken_retries([device.id]) == []
        return words(await invoke(root, DeviceLogsState.event_handlers["try_again"]))

    said = asyncio.run(check())

    assert "Trying to connect again." in said
    assert device_logs.taken_retries([device.id]) == [device.id]


def test_a_device_without_a_log_says_so(session: str) -> None:
    root = logs_of(register("http"), session)

    async def check() -> tuple[bool, str]:
        state = await loaded(root)
        return state.can_be_read, words(
            await invoke(root, DeviceLogsState.event_handlers["set_tracing"], True)
        )

    can_be_read, said = asyncio.run(check())

    assert can_be_read is False
    assert "can read no log" in said


def test_a_device_found_by_its_mac_is_live_by_its_id(session: str) -> None:
    device = miner()
    root = logs_of(device, session, by="C0-FA-38-00-11-22")

    async def check() -> str:
        return (await loaded(root)).url

    assert asyncio.run(check()) == f"/api/devices/{device.id}/logs"
    watch = live._watches[root.router.session.client_token][-1]
    assert watch.shows({"log_readers": {str(device.id)}})
    assert not watch.shows({"logs": {str(device.id)}})


def test_another_tab_of_the_page_reads_nothing(session: str) -> None:
    device = miner()
    root = tab(session, f"/devices/{device.id}?tab=runs")

    async def check() -> bool:
        return (await loaded(root)).loaded

    assert asyncio.run(check()) is False


def test_a_change_sends_little_and_lines_send_nothing(session: str) -> None:
    device = miner()
    root = logs_of(device, session)

    async def check() -> tuple[dict[str, Any], dict[str, Any]]:
        await loaded(root)
        await invoke(root, DeviceLogsState.event_handlers["set_tracing"], True)
        device_logs.append({device.id: ["first"]})
        await invoke(root, DeviceLogsState.event_handlers["refresh_logs"])
        device_logs.append({device.id: ["I (1) power: " + "x" * 900] * 500})
        lines = await sent(root, "refresh_logs")
        reading = Reading("reconnecting", 3, "The device's log was cut off.")
        device_logs.put_readings({device.id: reading})
        return lines, await sent(root, "refresh_logs")

    lines, change = asyncio.run(check())

    assert len(json_dumps(lines)) < MAX_UPDATE_BYTES
    assert "power" not in json_dumps(lines)
    assert 0 < len(json_dumps(change)) < MAX_UPDATE_BYTES, change


def test_a_line_costs_little_more_than_itself() -> None:
    from testbench.api.device_feed import log_events

    line = device_logs.LogLine("1763685600000-12", "I (123456) power_management: 59.8 °C")

    assert len(log_events([line])) - len(line.text.encode()) < 50
