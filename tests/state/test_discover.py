"""What the discover page's state reads, chooses and does."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from reflex.state import State
from reflex_base.utils.format import json_dumps

from testbench.adapters import db, searches
from testbench.adapters.searches import Search
from testbench.domain.identity import BENCH
from testbench.services import discovery
from testbench.state.discover import DiscoverState, _ranges
from tests.services.test_discovery import configure, entry, keep
from tests.state.tabs import invoke, tab, words
from tests.state.test_devices import session

if TYPE_CHECKING:
    from tests.services import Env

T = TypeVar("T")
__all__ = ["session"]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def page(root: State) -> DiscoverState:
    await invoke(root, DiscoverState.event_handlers["load"])
    return await root.get_state(DiscoverState)


async def act(root: State, name: str, *args: object) -> list[Any]:
    return await invoke(root, DiscoverState.event_handlers[name], *args)


@pytest.fixture
def found(session: str, bench_env: "Env") -> None:
    """The last search found 150 devices; three of them are in the bench."""
    listed = [entry(n, hostname=f"host-{n}", ASICModel="BM1370", version="2.9") for n in range(150)]
    keep(*listed, env=bench_env)
    configure(bench_env)
    discovery.imprint(BENCH, [entry(n)["mac"] for n in range(3)])


@pytest.mark.usefixtures("found")
def test_a_window_of_what_was_found_is_shown(session: str) -> None:
    shown = run(page(tab(session, "/discover")))

    assert (len(shown.rows), shown.total, shown.new, shown.shown) == (100, 150, 147, "1–100")
    assert "offset=100" in shown.next_link
    assert [row.device_name for row in shown.rows[:4]] == ["host-0", "host-1", "host-2", ""]
    assert (shown.rows[0].model, shown.rows[0].firmware) == ("BM1370", "2.9")
    assert shown.searched_at != ""
    assert run(page(tab(session, "/discover?offset=100"))).shown == "101–150"


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "q=", "offset=99999999999"])
def test_nonsense_in_the_address_is_ignored(session: str, query: str) -> None:
    assert len(run(page(tab(session, f"/discover?{query}"))).rows) == 100


@pytest.mark.usefixtures("found")
def test_all_new_ones_that_match_are_chosen_on_every_page(session: str) -> None:
    async def check() -> tuple[int, int, int]:
        root = tab(session, "/discover?q=host-1")
        shown = await page(root)
        await act(root, "select_new")
        fresh = shown.chosen
        await act(root, "select_all")
        everything = shown.chosen
        await act(root, "select", entry(1)["mac"])
        assert [row.selected for row in shown.rows if row.mac == entry(1)["mac"]] == [False]
        await act(root, "select_none")
        return fresh, everything, shown.chosen

    # host-1, host-10 … host-19, host-100 … host-149; host-1 is in the bench.
    assert run(check()) == (60, 61, 0)


@pytest.mark.usefixtures("found")
def test_the_chosen_are_imprinted_and_monitored(session: str) -> None:
    macs = [entry(n)["mac"] for n in (10, 11)]

    async def check() -> tuple[list[Any], DiscoverState]:
        root = tab(session, "/discover")
        shown = await page(root)
        for mac in macs:
            await act(root, "select", mac)
        return await act(root, "imprint"), shown

    events, shown = run(check())

    assert "2 devices are imprinted and monitored." in words(events)
    assert (shown.chosen, shown.new, shown.working) == (0, 145, False)
    made = db.run(lambda tx: discovery.imprinted(tx, BENCH))
    assert [device.monitored for device in made if device.mac in macs] == [True, True]
    assert sum(device.monitored for device in made) == 2


@pytest.mark.usefixtures("found")
def test_the_search_of_another_is_shown(session: str) -> None:
    async def check() -> tuple[DiscoverState, list[Any]]:
        root = tab(session, "/discover")
        searches.tell(Search(db.run(lambda tx: tx.now), 30, 120, 2))
        shown = await page(root)
        return shown, await act(root, "call_off")

    shown, said = run(check())

    assert shown.searching
    assert (shown.asked, shown.to_ask, shown.answered, shown.share) == (30, 120, 2, 0.25)
    # What was found before it began is not shown as its result.
    assert shown.rows == []
    assert "The search stops" in words(said)
    assert searches.is_called_off()


def test_without_networks_the_page_teaches(session: str) -> None:
    shown = run(page(tab(session, "/discover")))

    assert (shown.configured, shown.total, shown.error) == (False, 0, "")


@pytest.mark.usefixtures("found")
def test_an_update_of_a_full_page_is_small(session: str) -> None:
    async def check() -> int:
        root = tab(session, "/discover")
        await page(root)
        root._clean()
        searches.tell(Search(db.run(lambda tx: tx.now), 1, 2, 0))
        searches.end(None)
        await act(root, "refresh")
        return len(json_dumps(root.get_delta()))

    assert run(check()) < 1024


def test_ports_are_shown_as_ranges() -> None:
    assert _ranges([80]) == "80"
    assert _ranges([8082, 80, 8080, 8081, 9000]) == "80, 8080–8082, 9000"
