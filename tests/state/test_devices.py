"""What the states of the fleet and of a device read, keep and send."""

import asyncio
import json
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from reflex.state import State
from reflex_base.utils.format import json_dumps

from testbench.adapters import db, stores
from testbench.adapters import sessions as store
from testbench.domain.identity import BENCH
from testbench.models import User
from testbench.services import devices, telemetry
from testbench.services.devices import DevicePatch, NewDevice, RegisteredDevice
from testbench.services.telemetry import Message
from testbench.state.device import LIVE_POINTS, DeviceState
from testbench.state.devices import DevicesState, key_metrics, split_tags
from tests.state.tabs import invoke, tab, words

if TYPE_CHECKING:
    from tests.services import Env

T = TypeVar("T")
MAX_UPDATE_BYTES = 8 * 1024


@pytest.fixture
def session(bench_env: "Env") -> str:
    """A live session of an engineer."""
    stores.store().prepare(1)
    user = User(
        id=uuid.uuid4(), username="eva", password_hash="-", role="engineer", created_at=_now()
    )
    with db.transaction() as tx:
        tx.session.add(user)
    return store.create(user.id, "eva", "engineer")[0]


def _now() -> datetime:
    return datetime.now(UTC)


def register(name: str, **more: Any) -> RegisteredDevice:
    new = NewDevice(name=name, kind="http", **more)
    return db.run(lambda tx: devices.create(tx, BENCH, new))


def send(device: RegisteredDevice, **values: Any) -> None:
    telemetry.ingest([Message(device.id, values, "http", _ms())])


def _ms() -> int:
    return int(_now().timestamp() * 1000)


def at(path: str, session: str) -> State:
    return tab(session, path)


async def fleet(root: State) -> DevicesState:
    await invoke(root, DevicesState.event_handlers["load"])
    return await root.get_state(DevicesState)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def sent_bytes(state: Any) -> int:
    """The size of what one update sends of `state`."""
    return len(json_dumps(state.get_delta()))


def test_window_holds_fifty_rows_of_a_large_fleet(session: str) -> None:
    for i in range(60):
        register(f"d{i:02}")

    shown = run(fleet(at("/devices", session)))

    assert (len(shown.rows), shown.total, shown.shown) == (50, 60, "1–50")
    assert "offset=50" in shown.next_link
    assert shown.first_link == ""


def test_address_chooses_what_is_shown(session: str) -> None:
    register("a", tags=["rack"])
    register("b", tags=["rack"])
    register("gate")

    async def names(path: str) -> list[str]:
        return [row.name for row in (await fleet(at(path, session))).rows]

    assert run(names("/devices?tag=rack")) == ["a", "b"]
    assert run(names("/devices?tag=rack&sort=-name")) == ["b", "a"]
    assert run(names("/devices?q=GATE")) == ["gate"]
    assert run(names("/devices?state=available")) == []
    assert run(names("/devices?kind=mqtt")) == []


@pytest.mark.parametrize(
    "query", ["state=broken", "kind=x", "sort=token_hash", "offset=-1", "offset=a", "selected=,,"]
)
def test_nonsense_in_the_address_is_ignored(session: str, query: str) -> None:
    register("a")

    shown = run(fleet(at(f"/devices?{query}", session)))

    assert [row.name for row in shown.rows] == ["a"]
    assert shown.error == ""


def test_refresh_of_figures_sends_little(session: str) -> None:
    made = [register(f"device-with-a-name-{i:02}", tags=["rack a", "spare"]) for i in range(50)]
    for device in made:
        send(device, temp=21.123456789, power=11.987654321)

    async def check() -> tuple[int, DevicesState]:
        root = at("/devices", session)
        shown = await fleet(root)
        root._clean()
        for device in made:
            send(device, temp=25.0, power=12.5)
        await invoke(root, DevicesState.event_handlers["refresh_figures"])
        return sent_bytes(root), shown

    size, shown = run(check())

    assert shown.now[0][:2] == ["available", True]
    assert shown.now[0][3:] == [25.0, 12.5]
    assert size <= MAX_UPDATE_BYTES / 2


def test_state_change_sends_at_most_8_kib(session: str) -> None:
    made = [register(f"device-with-a-name-{i:02}", tags=["rack a", "spare"]) for i in range(50)]
    for device in made:
        send(device, temp=21.123456789, power=11.987654321)

    async def check() -> int:
        root = at("/devices", session)
        await fleet(root)
        root._clean()
        patch = DevicePatch(maintenance=True)
        db.run(lambda tx: devices.change(tx, BENCH, str(made[3].id), patch))
        await invoke(root, DevicesState.event_handlers["refresh"])
        return sent_bytes(root)

    assert run(check()) <= MAX_UPDATE_BYTES


def test_live_charts_send_at_most_8_kib(session: str) -> None:
    device = register("one")
    metrics = ("temp", "power", "humidity", "voltage")
    now = _ms()
    for i in range(400):
        values = {metric: 20 + (i * 7919 % 1000) / 997 for metric in metrics}
        sent = {"ts": now - 400_000 + i * 1000, "values": values}
        telemetry.ingest([Message(device.id, sent, "http", now)])

    async def check() -> tuple[int, DeviceState]:
        root = at(f"/devices/{device.id}", session)
        await invoke(root, DeviceState.event_handlers["load"])
        root._clean()
        await invoke(root, DeviceState.event_handlers["refresh_telemetry"])
        return sent_bytes(root), await root.get_state(DeviceState)

    size, shown = run(check())

    assert [chart.metric for chart in shown.charts] == ["temp", "power", "humidity", "voltage"]
    assert all(len(chart.lines[0]["values"]) <= LIVE_POINTS for chart in shown.charts)
    assert size <= MAX_UPDATE_BYTES


def test_selection_is_kept_in_the_address(session: str) -> None:
    ids = [str(register(name).id) for name in ("a", "b")]

    async def check() -> tuple[str, list[str]]:
        root = at("/devices?q=a", session)
        await fleet(root)
        events = await invoke(root, DevicesState.event_handlers["select"], ids[0])
        again = await fleet(at(f"/devices?selected={ids[1]}", session))
        return words(events), again.selected

    said, selected = run(check())

    assert f"selected={ids[0]}" in said
    assert "q=a" in said
    assert selected == [ids[1]]


def test_bulk_change_does_what_it_can_and_says_what_was_refused(session: str) -> None:
    kept, gone = register("kept"), register("gone")

    async def check() -> list[Any]:
        root = at(f"/devices?selected={kept.id},{gone.id}", session)
        await fleet(root)
        db.run(lambda tx: devices.remove(tx, BENCH, str(gone.id)))
        return await invoke(root, DevicesState.event_handlers["hold"], True)

    said = words(run(check()))

    assert "1 device is in maintenance." in said
    assert str(gone.id) in said
    assert db.run(lambda tx: devices.get(tx, BENCH, kept.id)).state == "maintenance"


def test_registering_shows_the_token_once(session: str, bench_env: "Env", mqtt_url: str) -> None:
    bench_env.set(MQTT_URL=mqtt_url)

    async def check() -> tuple[str, DevicesState]:
        root = at("/devices", session)
        form = {"name": " bench-07 ", "kind": "http", "ip": "", "mac": "", "tags": "a, b,a"}
        await invoke(root, DevicesState.event_handlers["register"], form)
        shown = await root.get_state(DevicesState)
        token = shown.new_token
        await invoke(root, DevicesState.event_handlers["open_register"], False)
        return token, shown

    token, shown = run(check())

    assert token.startswith("tbd_")
    assert token not in json_dumps(shown.dict())
    assert [(row.name, row.tags) for row in shown.rows] == [("bench-07", ["a", "b"])]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "", "kind": "http"}, "name"),
        ({"name": "x", "kind": "carrier pigeon"}, "kind"),
        ({"name": "x", "kind": "http", "mac": "nonsense"}, "mac"),
        ({"name": "taken", "kind": "http"}, "name"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(session: str, form: dict[str, str], field: str) -> None:
    register("taken")

    async def check() -> DevicesState:
        root = at("/devices", session)
        await invoke(root, DevicesState.event_handlers["register"], form)
        return await root.get_state(DevicesState)

    shown = run(check())

    assert list(shown.form_errors) == [field]
    assert shown.new_token == ""
    assert shown.saving is False


def test_unknown_device_is_an_error_to_retry(session: str) -> None:
    async def check() -> DeviceState:
        root = at(f"/devices/{uuid.uuid4()}", session)
        await invoke(root, DeviceState.event_handlers["load"])
        return await root.get_state(DeviceState)

    shown = run(check())

    assert "There is no device" in shown.error
    assert shown.loaded is False


def test_next_device_shows_nothing_of_the_last(session: str) -> None:
    one, two = register("one"), register("two")
    send(one, temp=20.5)

    async def check() -> DeviceState:
        root = at(f"/devices/{one.id}", session)
        await invoke(root, DeviceState.event_handlers["load"])
        path = {"pathname": f"/devices/{two.id}", "asPath": f"/devices/{two.id}"}
        root.router_data = root._update_router_vars({**root.router_data, **path}, root.router_data)
        await invoke(root, DeviceState.event_handlers["load"])
        return await root.get_state(DeviceState)

    shown = run(check())

    assert (shown.name, shown.figures, shown.charts) == ("two", [], [])


def test_database_away_is_an_error_to_retry_and_heals(session: str, bench_env: "Env") -> None:
    register("a")
    good = db.settings().database_url
    assert good is not None

    async def check() -> tuple[str, str, int]:
        root = at("/devices", session)
        bench_env.set(DATABASE_URL="postgresql+psycopg://postgres@127.0.0.1:1/none")
        away = (await fleet(root)).error
        bench_env.set(DATABASE_URL=good)
        back = await fleet(root)
        return away, back.error, len(back.rows)

    away, back, rows = run(check())

    assert "does not answer" in away
    assert (back, rows) == ("", 1)


def test_key_figures_are_the_telling_numbers() -> None:
    latest = {
        name: {"value": value}
        for name, value in {"zz": 1.0, "mode": "eco", "on": True, "power": 3.0, "aa": 2}.items()
    }

    assert key_metrics(latest) == ["power", "aa"]
    assert key_metrics(latest, 9) == ["power", "aa", "zz"]


def test_tags_are_typed_with_commas() -> None:
    assert split_tags(" a, b c ,,a ") == ["a", "b c"]


def test_shown_state_is_plain_json(session: str) -> None:
    device = register("a", tags=["x"])
    send(device, temp=1.5, mode="eco", on=True)

    shown = run(fleet(at("/devices", session)))

    assert json.loads(json_dumps(shown.dict()))
