"""What the states of presets and roll-outs read, keep and send; no secret ever reaches a tab."""

import asyncio
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from reflex_base.utils.format import json_dumps

from testbench.adapters import db, sealing
from testbench.adapters import sessions as store
from testbench.domain.identity import BENCH
from testbench.models import User
from testbench.services import devices, presets, rollouts
from testbench.services.devices import NewDevice, RegisteredDevice
from testbench.services.presets import PresetBody, PresetView
from testbench.state.new_rollout import NewRolloutState
from testbench.state.presets import PresetsState, PresetState
from testbench.state.rollouts import RolloutState
from tests.state.tabs import invoke, tab, words

if TYPE_CHECKING:
    from tests.services import Env

T = TypeVar("T")
SECRET = "hush hush"
POOL = {"stratumURL": "pool.lab.example", "stratumPort": 3334, "stratumPassword": SECRET}


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


def made(name: str, configuration: dict[str, Any]) -> PresetView:
    body = PresetBody(name=name, configuration=configuration)
    return db.run(lambda tx: presets.create(tx, BENCH, body))


def stored(preset_id: Any) -> PresetView:
    return db.run(lambda tx: presets.get(tx, BENCH, preset_id))


def miner(name: str, **more: Any) -> RegisteredDevice:
    new = NewDevice(name=name, kind="axeos", ip="127.0.0.1:9", **more)
    device = db.run(lambda tx: devices.create(tx, BENCH, new))
    with db.transaction() as tx:
        tx.cursor().execute(
            "INSERT INTO presence (device_id, last_seen, online, missing, gaps, clock_off_ms)"
            " VALUES (%s, now(), true, 0, '[]', 0)",
            (device.id,),
        )
    return device


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def opened(session: str, path: str, state: Any) -> tuple[Any, Any]:
    root = tab(session, path)
    await invoke(root, state.event_handlers["load"])
    return root, await root.get_state(state)


def key_of(shown: PresetState, name: str) -> int:
    return next(row.key for row in shown.settings if row.name == name)


def test_list_says_what_a_preset_holds_and_where_it_is_used(session: str) -> None:
    made("night", {"frequency": 490})
    made("pool", POOL)

    _, shown = run(opened(session, "/presets", PresetsState))

    assert [row.name for row in shown.rows] == ["night", "pool"]
    assert shown.rows[0].sentences == ["Frequency 490 MHz"]
    assert "Pool password (secret)" in shown.rows[1].sentences
    assert shown.rows[0].used == []
    assert SECRET not in json_dumps(shown.dict())


@pytest.mark.parametrize("query", ["q=NIGHT", "offset=x", "offset=-1", "offset=99999999999"])
def test_address_chooses_what_is_shown_and_nonsense_is_ignored(session: str, query: str) -> None:
    made("night", {"frequency": 490})

    _, shown = run(opened(session, f"/presets?{query}", PresetsState))

    assert [row.name for row in shown.rows] == ["night"]


def test_a_preset_is_kept_with_its_secrets_where_nobody_touched_them(session: str) -> None:
    preset = made("pool", POOL | {"pools": [{"url": "a", "password": SECRET}], "odd": {"x": [1]}})

    async def check() -> None:
        root, shown = await opened(session, f"/presets/{preset.id}", PresetState)
        assert SECRET not in json_dumps(root.dict())
        await invoke(root, PresetState.event_handlers["set_name"], "renamed")
        await invoke(root, PresetState.event_handlers["save"])
        assert [row.error for row in shown.settings if row.error] == []

    run(check())

    kept = stored(preset.id)
    assert (kept.name, kept.configuration) == ("renamed", preset.configuration)
    assert sorted(kept.secrets) == sorted(preset.secrets)


def test_a_secret_is_replaced_or_removed_when_asked(session: str) -> None:
    preset = made("pool", POOL | {"wifiPass": SECRET})

    async def check() -> None:
        root, shown = await opened(session, f"/presets/{preset.id}", PresetState)
        await invoke(root, PresetState.event_handlers["remove"], key_of(shown, "wifiPass"))
        key = key_of(shown, "stratumPassword")
        await invoke(root, PresetState.event_handlers["replace_secret"], key, True)
        await invoke(root, PresetState.event_handlers["set_text"], key, "another")
        await invoke(root, PresetState.event_handlers["save"])

    run(check())

    assert stored(preset.id).secrets == ["stratumPassword"]
    with db.transaction() as tx:
        row = presets.find(tx, preset.id)
        assert sealing.unseal(row.configuration)["stratumPassword"] == "another"


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("temptarget", "90", "must be 35 to 66"),
        ("frequency", "", "must be a number"),
        ("wifiPass", "", "is required; remove the setting to have none"),
    ],
)
def test_what_is_wrong_is_said_at_its_setting(
    session: str, name: str, text: str, error: str
) -> None:
    async def check() -> PresetState:
        root, shown = await opened(session, "/presets/new", PresetState)
        await invoke(root, PresetState.event_handlers["set_name"], "x")
        await invoke(root, PresetState.event_handlers["add"], name)
        await invoke(root, PresetState.event_handlers["set_text"], key_of(shown, name), text)
        await invoke(root, PresetState.event_handlers["save"])
        return shown

    shown = run(check())

    assert [(row.name, row.error) for row in shown.settings] == [(name, error)]


def test_a_setting_is_added_once_and_pool_users_are_not_offered(session: str) -> None:
    async def check() -> PresetState:
        root, shown = await opened(session, "/presets/new", PresetState)
        for _ in range(2):
            await invoke(root, PresetState.event_handlers["add"], "frequency")
        await invoke(root, PresetState.event_handlers["add"], "stratumUser")
        return shown

    shown = run(check())
    offered = {pair[0] for pair in shown.addable}

    assert [row.name for row in shown.settings] == ["frequency"]
    assert not offered & {"frequency", "stratumUser", "pools-0-user", "pools"}
    assert {"coreVoltage", "pools-0-url", "*"} <= offered


def test_a_copy_asks_for_its_secrets_anew_and_has_a_name_of_its_own(session: str) -> None:
    preset = made("pool", POOL)

    _, shown = run(opened(session, f"/presets/new?copy={preset.id}", PresetState))

    assert (shown.id, shown.name) == ("", "pool (copy)")
    assert [(row.name, row.stored, row.text) for row in shown.settings] == [
        ("stratumURL", False, "pool.lab.example"),
        ("stratumPort", False, "3334"),
        ("stratumPassword", False, ""),
    ]


def test_an_unknown_preset_is_an_error_to_retry(session: str) -> None:
    _, shown = run(opened(session, f"/presets/{uuid.uuid4()}", PresetState))

    assert "There is no preset" in shown.error
    assert shown.loaded is False


def test_a_rollout_is_started_on_all_that_fit(session: str) -> None:
    preset = made("night", {"frequency": 490})
    inside = [miner(f"m{number}", tags=["rack"]) for number in range(3)]
    miner("elsewhere")

    async def check() -> str:
        path = f"/rollouts/new?preset={preset.id}&tag=rack"
        root, shown = await opened(session, path, NewRolloutState)
        assert shown.missing == "Choose devices to start."
        await invoke(root, NewRolloutState.event_handlers["choose_all"])
        assert shown.summary == "Apply “night” to 3 devices, m0 first."
        return words(await invoke(root, NewRolloutState.event_handlers["start"]))

    said = run(check())
    started = db.run(lambda tx: rollouts.list_(tx, BENCH)).items[0]

    assert f"/rollouts/{started.id}" in said
    parts = db.run(lambda tx: rollouts.devices_of(tx, BENCH, started.id))
    assert [part.device_id for part in parts] == [one.id for one in inside]
    _, page = run(opened(session, f"/rollouts/{started.id}", RolloutState))
    assert (page.total, page.done, page.status) == (3, 0, "running")
    assert [part.is_canary for part in page.parts] == [True, False, False]
    assert page.headline.startswith("One device first")


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "many", "²", "10001"])
def test_how_many_may_fail_is_a_whole_number(session: str, text: str) -> None:
    preset, device = made("night", {"frequency": 490}), miner("m")

    async def check() -> NewRolloutState:
        path = f"/rollouts/new?preset={preset.id}&device={device.id}"
        root, shown = await opened(session, path, NewRolloutState)
        await invoke(root, NewRolloutState.event_handlers["set_max_failures"], text)
        await invoke(root, NewRolloutState.event_handlers["start"])
        return shown

    assert run(check()).fault.startswith("must be a whole number")
    assert db.run(lambda tx: rollouts.list_(tx, BENCH)).items == []


def test_a_device_that_is_gone_is_named_when_it_is_started(session: str) -> None:
    preset = made("night", {"frequency": 490})

    async def check() -> NewRolloutState:
        path = f"/rollouts/new?preset={preset.id}&device={uuid.uuid4()}"
        root, shown = await opened(session, path, NewRolloutState)
        await invoke(root, NewRolloutState.event_handlers["start"])
        return shown

    shown = run(check())

    assert "There is no device" in shown.problems[0]
    assert shown.busy is False
