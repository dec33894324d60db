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
from testbench.state.devices import DevicesState, key_metrics
from testbench.state.selections import split_tags
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

    assert (len(shown.rows), shown.total, shown.offset) == (50, 60, 0)
    assert shown.rows[49].name == "d49"


def test_window_follows_the_scrollbar_and_ends_where_the_fleet_ends(session: str) -> None:
    for i in range(60):
        register(f"d{i:02}")

    async def check() -> list[tuple[int, list[str]]]:
        root = at("/devices", session)
        shown = await fleet(root)
        seen = []
        for first in (7, 9_999, -3):
            await invoke(root, DevicesState.event_handlers["move"], first, 50)
            seen.append((shown.offset, [row.name for row in shown.rows]))
        return seen

    seen = run(check())

    every = [f"d{i:02}" for i in range(60)]
    assert seen == [(7, every[7:57]), (10, every[10:]), (0, every[:50])]


def test_address_names_the_row_to_begin_at(session: str) -> None:
    for i in range(60):
        register(f"d{i:02}")

    shown = run(fleet(at("/devices?offset=30", session)))

    assert (shown.top, shown.offset, shown.rows[0].name) == (30, 15, "d15")


def test_another_view_begins_at_its_top_and_says_its_address(session: str) -> None:
    for i in range(60):
        register(f"d{i:02}", tags=["odd"] if i % 2 else [])

    async def check() -> tuple[str, DevicesState, int]:
        root = at("/devices?offset=30&tag=odd", session)
        turn = (await fleet(root)).turn
        events = await invoke(root, DevicesState.event_handlers["sort_by"], "name")
        return words(events), await root.get_state(DevicesState), turn

    said, shown, turn = run(check())

    assert "/devices?tag=odd&sort=-name" in said
    assert (shown.top, shown.offset, shown.rows[0].name) == (0, 0, "d59")
    assert shown.turn == turn + 1


def test_columns_are_remembered_for_the_person(session: str) -> None:
    register("a", ip="10.0.0.7")

    async def check() -> tuple[DevicesState, DevicesState]:
        root = at("/devices", session)
        before = await fleet(root)
        assert before.rows[0].ip == ""
        await invoke(root, DevicesState.event_handlers["show_column"], "ip", True)
        await invoke(root, DevicesState.event_handlers["show_column"], "tags", False)
        return before, await fleet(at("/devices", session))

    changed, again = run(check())

    for shown in (changed, again):
        assert shown.rows[0].ip == "10.0.0.7"
        assert (shown.columns["ip"], shown.columns["tags"]) == (True, False)


def test_figures_have_the_shape_of_their_last_minutes_and_say_when_they_are_old(
    session: str,
) -> None:
    device, silent = register("a"), register("b", offline_after_s=1)
    now = _ms()
    for ago_s in range(600, -1, -60):
        values = {"ts": now - ago_s * 1000, "values": {"temp": 20 + ago_s / 60}}
        telemetry.ingest([Message(device.id, values, "http", now)])
    telemetry.ingest([Message(silent.id, {"ts": now - 60_000, "values": {"temp": 1}}, "http", now)])

    async def check() -> DevicesState:
        root = at("/devices", session)
        shown = await fleet(root)
        await invoke(root, DevicesState.event_handlers["draw"])
        return shown

    shown = run(check())

    assert shown.sparks[0][0].startswith("M")
    assert shown.sparks[0][0].count("l") == 1
    assert shown.sparks[1] == [""]
    assert shown.now[0][5] == 0
    assert shown.now[1][5] == now - 60_000


def test_selection_of_all_that_match_goes_beyond_the_window_and_is_kept(session: str) -> None:
    for i in range(60):
        register(f"d{i:02}", tags=["rack"] if i < 55 else [])

    async def check() -> tuple[int, int, str, DevicesState]:
        root = at("/devices?tag=rack", session)
        shown = await fleet(root)
        told = await invoke(root, DevicesState.event_handlers["select_all"], True)
        chosen = shown.selected_count
        path = {"pathname": "/devices", "asPath": "/devices?tag=rack&selected=many"}
        root.router_data = root._update_router_vars({**root.router_data, **path}, root.router_data)
        await fleet(root)
        form = {"tags": "night, rack", "without": ""}
        await invoke(root, DevicesState.event_handlers["change_tags"], form)
        return chosen, shown.selected_count, words(told), shown

    chosen, kept, said, shown = run(check())

    assert (chosen, kept) == (55, 55)
    assert "selected=many" in said
    assert all(row.tags == ["rack", "night"] for row in shown.rows)
    tagged = db.run(lambda tx: devices.list_(tx, BENCH, tag="night", limit=100)).items
    assert len(tagged) == 55


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
    assert shown.now[0][4:] == [25.0, 0, 12.5, 0]
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

    assert [chart.lines[0]["metric"] for chart in shown.charts] == [
        "temp",
        "power",
        "humidity",
        "voltage",
    ]
    assert all(len(chart.lines[0]["values"]) <= LIVE_POINTS for chart in shown.charts)
    assert size <= MAX_UPDATE_BYTES


def test_selection_is_kept_in_the_address(session: str) -> None:
    ids = [str(register(name).id) for name in ("a", "b")]

    async def check() -> tuple[str, list[str]]:
        root = at("/devices?q=a", session)
        await fleet(root)
        events = await invoke(root, DevicesState.event_handlers["select"], ids[0])
        again = await fleet(at(f"/devices?selected={ids[1]}", session))
        return words(events), sorted(again._selected)

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
    assert "A device is no longer there." in said
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


def test_many_metrics_are_six_figures_and_a_list_of_all_in_words(session: str) -> None:
    one = register("one")
    names = ("uptime", "free_heap", "zz", "hashrate_1h", "efficiency", "power", "hashrate", "temp")
    send(one, **dict.fromkeys(names, 7.5), mode="eco")

    async def check() -> DeviceState:
        root = at(f"/devices/{one.id}", session)
        await invoke(root, DeviceState.event_handlers["load"])
        return await root.get_state(DeviceState)

    shown = run(check())

    key = ["Temperature", "Hashrate", "Power", "Efficiency"]
    assert [figure.label for figure in shown.figures][:4] == key
    assert (len(shown.figures), shown.listed) == (6, True)
    assert [one.metric for one in shown.toggles] == [
        *("hashrate", "temp", "power", "efficiency", "hashrate_1h", "free_heap", "uptime"),
        *("mode", "zz"),
    ]
    assert [value for value, _ in shown.now] == [7.5] * 7 + ["eco", 7.5]
    assert [one.metric for one in shown.toggles if not one.href] == ["mode"]
    assert [chart.lines[0]["name"] for chart in shown.charts] == key


def test_few_metrics_need_no_list(session: str) -> None:
    one = register("one")
    send(one, temp=20.5, power=3.0)

    async def check() -> DeviceState:
        root = at(f"/devices/{one.id}", session)
        await invoke(root, DeviceState.event_handlers["load"])
        return await root.get_state(DeviceState)

    shown = run(check())

    assert (len(shown.figures), shown.listed, shown.now) == (2, False, [])


def test_a_dialog_is_closed_by_a_reload(session: str) -> None:
    async def check() -> tuple[str, str]:
        root = at("/devices", session)
        shown = await fleet(root)
        await invoke(root, DevicesState.event_handlers["ask"], "rollout", True)
        asked = shown.asking
        return asked, (await fleet(root)).asking

    assert run(check()) == ("rollout", "")


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
