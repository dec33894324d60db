"""What a person does to the devices they selected, some at a time, and how far it is."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import reflex as rx

from testbench.domain.errors import Conflict, Invalid, NotFound
from testbench.services import presets, rollouts, selections
from testbench.services.rollouts import RolloutBody
from testbench.services.selections import Result
from testbench.state.auth import actor, call, guarded
from testbench.state.new_run import MAX_IN_ADDRESS, NewRunState
from testbench.state.views import first_error

AT_ONCE = 500
ONE_BY_ONE = 16
MAX_SELECTED = 10_000
SHOWN_REFUSALS = 3


def split_tags(text: str) -> list[str]:
    """`a, b` as a list, each once."""
    return list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def told(result: Result, what: str) -> Any:
    """A toast: how many devices are `what` now, and what was refused."""
    noun = "device is" if result.done == 1 else "devices are"
    text = f"{result.done:,} {noun} {what}."
    if not result.refused:
        return rx.toast.success(text)
    shown = " ".join(result.refused[:SHOWN_REFUSALS])
    more = len(result.refused) - SHOWN_REFUSALS
    others = f" And {more:,} more." if more > 0 else ""
    return rx.toast.error(
        f"{text} Refused {len(result.refused):,}: {shown}{others}", duration=15000
    )


class Selecting(rx.State, mixin=True):
    """The selection of a table of devices, which may be larger than what is shown of it."""

    selected_count: int = 0
    working: str = ""
    """What is being done; "": nothing."""
    done: int = 0
    of: int = 0
    asking: str = ""
    """Which dialog is open."""
    form_errors: dict[str, str] = {}
    presets: list[list[str]] = []
    """Those that can be rolled out: id and name."""

    _selected: set[str] = set()
    _stopped: bool = False

    async def _read(self) -> None:
        """Read what is shown anew."""
        raise NotImplementedError

    @rx.event
    @guarded("engineer")
    async def ask(self, what: str, is_open: bool):
        """Open or close one of the dialogs."""
        self.asking = what if is_open else ""
        self.form_errors = {}

    @rx.event
    @guarded()
    async def start_run(self):
        """On to a new run with these devices; too many for an address are handed over."""
        ids = sorted(self._selected)
        if len(ids) <= MAX_IN_ADDRESS:
            return rx.redirect(f"/runs/new?device={','.join(ids)}")
        (await self.get_state(NewRunState)).chosen = ids
        return rx.redirect("/runs/new")

    @rx.event
    @guarded("engineer")
    async def hold(self, on: bool):
        """Maintenance for the selection, or its end."""
        async for _ in self._in_parts("Maintenance", partial(selections.hold, on=on)):
            yield
        yield told(self._result, "in maintenance" if on else "out of maintenance")

    @rx.event
    @guarded("engineer")
    async def change_tags(self, form: dict[str, Any]):
        """Tags for every device of the selection, beside those it has, and some away."""
        add, away = (split_tags(str(form.get(name, ""))) for name in ("tags", "without"))
        if not add and not away:
            self.form_errors = {"tags": "give at least one tag, here or below"}
            yield first_error()
            return
        faulty = [tag for tag in add if len(tag) > 100]
        if faulty:
            self.form_errors = {"tags": "a tag must have at most 100 characters"}
            yield first_error()
            return
        async for _ in self._in_parts("Tags", partial(selections.tag, add=add, remove=away)):
            yield
        self.asking = ""
        yield told(self._result, "tagged" if add else "without these tags")

    _result: Result = Result()

    async def _in_parts(self, what: str, verb: Callable[..., Result]) -> Any:
        """`verb(tx, actor, ids)` for some hundred at a time; yields before each."""
        ids = self._begin(what)
        yield
        try:
            for some in _parts(ids, AT_ONCE):
                self._result += await call(verb, some)
                self.done += len(some)
                yield
        finally:
            self.working = ""
        await self._read()

    def _begin(self, what: str) -> list[str]:
        ids = sorted(self._selected)
        self.working, self.done, self.of = what, 0, len(ids)
        self._stopped, self._result = False, Result()
        return ids

    @rx.event
    @guarded("engineer")
    async def stop(self):
        """No further device; what was done stays done."""
        self._stopped = True

    @rx.event
    @guarded("engineer")
    async def monitor(self, on: bool):
        """The bench polls the selected devices from now on, or no longer."""
        async for _ in self._in_parts("Monitoring", partial(selections.monitor, on=on)):
            yield
        yield told(self._result, "monitored" if on else "no longer monitored")

    @rx.event
    @guarded("engineer")
    async def open_rollout(self, is_open: bool):
        """The dialog that asks which preset."""
        self.form_errors = {}
        self.asking = "rollout" if is_open else ""
        if is_open:
            found, _ = await call(presets.search, limit=500)
            self.presets = [[str(one.id), one.name] for one in found]

    @rx.event
    @guarded("engineer")
    async def roll_out(self, form: dict[str, Any]):
        """A roll-out of a preset to the selected devices; on to its page."""
        failures = str(form.get("max_failures", "")).strip()
        if not failures.isdecimal() or not 0 < int(failures[:6]) <= MAX_SELECTED:
            self.form_errors = {"max_failures": "must be a whole number, at least 1"}
            return first_error()
        body = RolloutBody(
            preset_id=str(form.get("preset", "")),
            device_ids=sorted(self._selected)[:MAX_SELECTED],
            max_failures=int(failures),
        )
        try:
            started = await call(rollouts.start, body)
        except (Conflict, Invalid, NotFound) as error:
            said = [message for _, message in error.errors][:SHOWN_REFUSALS]
            self.form_errors = {"preset": " ".join([error.detail, *said])}
            return first_error()
        self.asking = ""
        return rx.redirect(f"/rollouts/{started.id}")

    @rx.event(background=True)
    @guarded("engineer")
    async def restart_selected(self):
        """Restart them; those that do not answer are told."""
        yield await self._one_by_one("Restarting", selections.restart, "restarting")

    @rx.event(background=True)
    @guarded("engineer")
    async def remove_selected(self):
        """Out of the bench; it takes a while, and can be stopped."""
        yield await self._one_by_one("Removing", selections.remove, "removed")

    async def _one_by_one(self, what: str, verb: Callable[..., Result], word: str) -> Any:
        """`verb(actor, ids)` for a few at a time, while the tab goes on; returns the toast."""
        me = actor()
        async with self:
            ids, self.asking = self._begin(what), ""
        result = Result()
        try:
            for some in _parts(ids, ONE_BY_ONE):
                result += await asyncio.to_thread(verb, me, some)
                async with self:
                    self.done += len(some)
                    if self._stopped:
                        break
        finally:
            async with self:
                self.working = ""
        async with self:
            await self._read()
        return told(result, word)


def _parts(ids: list[str], size: int) -> Iterator[list[str]]:
    return (ids[i : i + size] for i in range(0, len(ids), size))
