"""Starting a roll-out in three choices; what is chosen is in the address, so a reload keeps it."""

from dataclasses import dataclass, replace
from typing import Any

import reflex as rx

from testbench.domain.errors import BenchError, NotFound
from testbench.services import choices, presets, rollouts
from testbench.services.choices import DeviceChoice
from testbench.services.rollouts import RolloutBody
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.settings_views import as_applied, in_words
from testbench.state.views import ViewState, first_error

SHOWN = 100
MAX_IN_ADDRESS = 40
"""More ids than that make an address no server takes; they are then kept by the tab alone."""
MAX_DEVICES = 10_000


@dataclass(frozen=True)
class Candidate:
    """A device to choose; `why` says what forbids it."""

    id: str
    name: str
    tags: str
    state: str
    why: str
    chosen: bool


class NewRolloutState(ViewState, rx.State):
    """The preset, the devices, and how many may fail; what is chosen is in the address."""

    presets: list[list[str]] = []
    preset: str = ""
    sentences: list[str] = []
    candidates: list[Candidate] = []
    total: int = 0
    available: int = 0
    q: str = ""
    tag: str = ""
    chosen: list[str] = []
    max_failures: str = "1"
    fault: str = ""
    summary: str = ""
    missing: str = ""
    problems: list[str] = []
    busy: bool = False
    _names: dict[str, str] = {}

    @rx.event
    @guarded()
    async def load(self):
        query = self._query()
        self.preset, self.tag = query.get("preset", ""), query.get("tag", "")[:100]
        self.q = query.get("q", "")[:200]
        asked = [one for one in query.get("device", "").split(",") if one]
        if asked or len(self.chosen) <= MAX_IN_ADDRESS:
            self.chosen = list(dict.fromkeys(asked))
        self.busy, self.problems = False, []
        live.watch(self, {"devices": None, "presets": None}, every_s=1.0)
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        found, _ = await call(presets.search, limit=500)
        self._show(presets=[[str(one.id), one.name] for one in found])
        await self._read_preset()
        page = await call(
            choices.configurable_devices, q=self.q or None, tag=self.tag or None, limit=SHOWN
        )
        self._names |= {str(one.id): one.name for one in page.items}
        self._show(
            total=page.total,
            available=page.available,
            candidates=[self._candidate(one) for one in page.items],
        )
        self._sum_up()

    async def _read_preset(self) -> None:
        sentences: list[str] = []
        if self.preset:
            try:
                one = await call(presets.get, self.preset)
            except NotFound:
                self.preset = ""
            else:
                sentences = in_words(as_applied(one), one.secrets)
        self._show(sentences=sentences)

    def _candidate(self, one: DeviceChoice) -> Candidate:
        return Candidate(
            id=str(one.id),
            name=one.name,
            tags=", ".join(one.tags),
            state=one.state,
            why=one.why,
            chosen=str(one.id) in self.chosen,
        )

    def _sum_up(self) -> None:
        lacking = [
            word
            for word, there in (("a preset", self.preset), ("devices", self.chosen))
            if not there
        ]
        name = next((label for id, label in self.presets if id == self.preset), "…")
        count = len(self.chosen)
        self._show(
            missing=f"Choose {' and '.join(lacking)} to start." if lacking else "",
            summary=f"Apply “{name}” to {count} device{'s' * (count != 1)}, "
            + (f"{self._first()} first." if count else "one first."),
        )

    def _first(self) -> str:
        return self._names.get(self.chosen[0], "one of them") if self.chosen else ""

    @rx.event
    @guarded()
    async def choose_preset(self, preset_id: str):
        self.preset = preset_id
        return self._changed()

    @rx.event
    @guarded()
    async def choose_device(self, device_id: str):
        if device_id in self.chosen:
            self.chosen = [one for one in self.chosen if one != device_id]
        elif any(one.id == device_id and not one.why for one in self.candidates):
            self.chosen = [*self.chosen, device_id]
        return self._changed()

    @rx.event
    @guarded()
    async def choose_all(self):
        """Every device that fits the search and can be reached, shown or not."""
        found = await call(
            choices.configurable_ids, q=self.q or None, tag=self.tag or None, limit=MAX_DEVICES
        )
        self.chosen = list(dict.fromkeys([*self.chosen, *map(str, found)]))
        return self._changed()

    @rx.event
    @guarded()
    async def choose_none(self):
        self.chosen = []
        return self._changed()

    @rx.event
    @guarded()
    async def search(self, text: str):
        self.q = text.strip()[:200]
        return self._changed()

    @rx.event
    @guarded()
    async def choose_tag(self, text: str):
        self.tag = text.strip()[:100]
        return self._changed()

    @rx.event
    @guarded()
    async def set_max_failures(self, text: str):
        self.max_failures, self.fault = text[:10], ""

    def _changed(self) -> Any:
        self.candidates = [replace(row, chosen=row.id in self.chosen) for row in self.candidates]
        self._sum_up()
        kept = self.chosen if len(self.chosen) <= MAX_IN_ADDRESS else []
        link = self._link(device=",".join(kept), preset=self.preset, q=self.q, tag=self.tag)
        return rx.redirect(link, replace=True)

    @rx.event
    @guarded("engineer")
    async def start(self):
        failures = self.max_failures.strip()
        if not (failures.isascii() and failures.isdecimal() and 0 < int(failures) <= MAX_DEVICES):
            self.fault = f"must be a whole number from 1 to {MAX_DEVICES:,}"
            yield first_error()
            return
        self.busy, self.problems = True, []
        yield
        try:
            body = RolloutBody(
                preset_id=self.preset, device_ids=self.chosen, max_failures=int(failures)
            )
            made = await call(rollouts.start, body, attempt_s=4)
        except BenchError as error:
            self.busy = False
            self.problems = [error.detail, *(self._named(*one) for one in error.errors[:10])]
            yield rx.toast.error(error.detail)
            return
        except BaseException:
            self.busy = False
            raise
        self.busy, self.chosen = False, []
        yield rx.toast.success("The roll-out has begun.")
        yield rx.redirect(f"/rollouts/{made.id}")

    def _named(self, where: str, message: str) -> str:
        return f"{self._names.get(where, where)}: {message}"
