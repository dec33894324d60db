"""The listener to the bus: what a tab is told of, how often, and that it comes back."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from testbench.adapters import bus
from testbench.adapters.bus import Event
from testbench.state import live
from testbench.state.live import EVERYTHING, MAX_IDS, Watch
from tests.services import Servers

if TYPE_CHECKING:
    from tests.services import Env


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    live._changed.clear()
    live._watches.clear()
    yield
    live._changed.clear()
    live._watches.clear()


def watch(**topics: set[str] | None) -> Watch:
    wanted = {name: None if ids is None else frozenset(ids) for name, ids in topics.items()}
    return Watch(wanted, None, "someone", every_s=0.25)


@pytest.mark.parametrize(
    ("topics", "changed", "told"),
    [
        ({"devices": None}, {"devices": {"7"}}, True),
        ({"devices": {"7"}}, {"devices": {"7", "8"}}, True),
        ({"devices": {"7"}}, {"devices": {"8"}}, False),
        ({"devices": None}, {"runs": {"7"}}, False),
        ({"devices": {"7"}}, {"devices": {EVERYTHING}}, True),
        ({"runs": {"7"}}, {EVERYTHING: {EVERYTHING}}, True),
        ({}, {"devices": {"7"}}, False),
    ],
)
def test_tab_is_told_of_what_it_shows(
    topics: dict[str, set[str] | None], changed: dict[str, set[str]], told: bool
) -> None:
    assert watch(**topics).shows(changed) is told


def test_tab_is_told_again_only_when_it_has_rested_and_answered() -> None:
    async def check() -> list[bool]:
        one = watch(devices=None)
        one.due, one.told = True, 100.0
        one.answers = asyncio.get_running_loop().create_future()
        ready = [one.is_ready(100.1), one.is_ready(100.3)]
        one.answers.set_result(None)
        return [*ready, one.is_ready(100.1), one.is_ready(100.3)]

    assert asyncio.run(check()) == [False, False, False, True]


def test_more_changes_than_can_be_remembered_are_a_change_of_everything() -> None:
    live.note(Event("telemetry", str(i)) for i in range(MAX_IDS + 10))

    assert EVERYTHING in live._changed["telemetry"]
    assert len(live._changed["telemetry"]) <= MAX_IDS + 2


async def _until(true: object) -> None:
    async with asyncio.timeout(15):
        while not true():  # type: ignore[operator]  # a plain condition
            await asyncio.sleep(0.02)


def test_listener_hears_the_bus_and_overhears_nonsense(bench_env: "Env", redis_url: str) -> None:
    async def check() -> None:
        task = asyncio.create_task(bus.listen(live.note))
        await _until(lambda: EVERYTHING in live._changed)
        live._changed.clear()

        from testbench.adapters import cache

        cache.client().publish(bus.CHANNEL, "not json")
        bus.publish([Event("devices", "7"), Event("runs", "8")])

        await _until(lambda: live._changed == {"devices": {"7"}, "runs": {"8"}})
        task.cancel()

    asyncio.run(check())


def test_listener_comes_back_after_the_bus_was_away(
    bench_env: "Env", redis_url: str, servers: Servers
) -> None:
    async def check() -> None:
        task = asyncio.create_task(bus.listen(live.note))
        await _until(lambda: EVERYTHING in live._changed)
        live._changed.clear()

        await asyncio.to_thread(servers.kill, "redis")
        await asyncio.to_thread(servers.start, "redis")

        # What was missed meanwhile is read anew.
        await _until(lambda: EVERYTHING in live._changed)
        assert not task.done()
        task.cancel()

    asyncio.run(check())
