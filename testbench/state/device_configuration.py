"""A device's settings: what it reports beside what was wanted, changing them, what came of it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import reflex as rx

from testbench.domain.axeos import plan
from testbench.domain.axeos.words import together, words_of
from testbench.domain.devices import POLLED
from testbench.domain.errors import BenchError, NotFound
from testbench.domain.identity import Actor
from testbench.services import configurations, devices, presets
from testbench.services.configurations import ChangeView, SystemBody
from testbench.services.devices import DeviceView
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.settings_views import (
    ChangeRow,
    Line,
    LineGroup,
    Step,
    as_applied,
    change_row,
    flat_path,
    line_groups,
    names_users,
    outcome_of,
    steps_back,
    steps_of,
)
from testbench.state.typed_settings import FieldGroup, changes_of, groups_of
from testbench.state.views import ViewState, first_error

TAB = "configuration"
HISTORY = 20
USERS_STAY = "The pool users stay the device's own: a preset never says whose shares they are."
AWAY = "The device restarts: it is away for about a second, and what it counts begins anew."
STAYS = "The device does not restart."


@dataclass(frozen=True)
class Asked:
    """What waits for a person's yes; `kind`: change, preset, restart or revert."""

    kind: str
    words: str
    done: str
    wanted: dict[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


class DeviceConfigurationState(ViewState, rx.State):
    """The tab `Configuration` of the device in the address."""

    id: str = ""
    name: str = ""
    kind: str = ""
    version: str = ""
    configurable: bool = False
    reported: bool = False
    run_id: str = ""
    blocked: str = ""
    groups: list[LineGroup] = []
    differing: int = 0

    editing: bool = False
    fields: list[FieldGroup] = []
    form_errors: dict[str, str] = {}

    presets: list[list[str]] = []
    preset: str = ""
    preview: list[Step] = []
    preview_note: str = ""

    asking: bool = False
    ask_title: str = ""
    ask_about: str = ""
    ask_action: str = ""
    ask_steps: list[Step] = []
    ask_notes: list[str] = []
    busy: str = ""
    refused: str = ""
    refused_what: str = ""
    outcome: list[Line] = []
    outcome_title: str = ""

    history: list[ChangeRow] = []
    more: bool = False

    _device: DeviceView | None = None
    _changes: dict[str, ChangeView] = {}
    _asked: Asked | None = None
    _shown: int = HISTORY

    @rx.event
    @guarded()
    async def load(self):
        """After DeviceState.load, which says what else of the page is live."""
        id = self._part(1)
        if id != self.id:
            self.reset()
            self.id = id
        if self._query().get("tab") != TAB:
            return
        self.asking, self._asked = False, None
        live.watch_too(
            self, {"devices": {self.id}}, DeviceConfigurationState.refresh_configuration, 1.0
        )
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh_configuration(self):
        async with self._loading():
            await self._read()

    async def _read(self) -> None:
        device = await call(devices.get, self.id)
        self._device = device
        info = device.info
        configurable = device.kind in POLLED
        self._show(
            name=device.name,
            kind=device.kind,
            version=str(info.get("version") or ""),
            configurable=configurable,
            reported=bool(info),
            run_id=str(device.run_id or ""),
            blocked=_blocked(device),
        )
        if not configurable:
            return
        await self._read_history()
        groups = line_groups(configurations.standing(device), info, self._secrets())
        differing = sum(line.standing == "differs" for group in groups for line in group.lines)
        self._show(groups=groups, differing=differing)
        found, _ = await call(presets.search, limit=500)
        self._show(presets=[[str(one.id), one.name] for one in found])

    def _secrets(self) -> list[str]:
        """Secrets that changes of late have set; a device never reports one."""
        applied = [one for one in self._changes.values() if one.status == "applied"]
        return sorted({flat_path(path) for one in applied for path in one.secrets})

    async def _read_history(self) -> None:
        found = await call(configurations.history, self.id, limit=self._shown + 1)
        self._changes = {str(one.id): one for one in found.items[: self._shown]}
        rows = [change_row(one) for one in self._changes.values()]
        self._show(history=rows, more=len(found.items) > self._shown)

    @rx.event
    @guarded()
    async def show_more(self):
        self._shown += HISTORY
        await self._read_history()

    # --- the form

    @rx.event
    @guarded("engineer")
    async def edit(self, on: bool):
        self.fields = groups_of(self._device.info) if on and self._device else []
        self.editing, self.form_errors = on and bool(self._device), {}

    @rx.event
    @guarded("engineer")
    async def review(self, form: dict[str, Any]):
        """What was typed: refused at its fields, or asked for once more in words."""
        if self._device is None:
            return None
        info = self._device.info
        changes, self.form_errors = changes_of(form, info)
        if self.form_errors:
            return first_error()
        if not changes:
            return rx.toast.info("Nothing was changed.")
        wanted = together(changes, info)
        self._ask(
            f"Change the settings of {self.name}?",
            "Send to the device",
            steps_of(changes, info),
            Asked(
                "change",
                f"Sending {_count(len(changes))} to {self.name}",
                f"{self.name} took the change.",
                wanted,
            ),
            restart=self._restarts(wanted),
        )
        return None

    # --- a preset

    @rx.event
    @guarded("engineer")
    async def choose_preset(self, preset_id: str):
        self.preset, self.preview, self.preview_note = preset_id, [], ""
        if preset_id and self._device:
            shown = await self._preset_steps()
            self.preview = shown
            taken = [step for step in shown if step.standing not in ("same", "ignored")]
            self.preview_note = (
                "" if taken else "The device reports all of this already, or would ignore it."
            )

    async def _preset_steps(self) -> list[Step]:
        info = self._device.info if self._device else {}
        return steps_of(as_applied(await call(presets.get, self.preset)), info)

    @rx.event
    @guarded("engineer")
    async def ask_preset(self):
        if self._device is None or not self.preset:
            return
        try:
            found = await call(presets.get, self.preset)
        except NotFound:
            self.preset, self.preview = "", []
            raise
        applied = as_applied(found)
        self._ask(
            f"Apply “{found.name}” to {self.name}?",
            "Apply the preset",
            steps_of(applied, self._device.info),
            Asked(
                "preset",
                f"Applying “{found.name}” to {self.name}",
                f"“{found.name}” is applied.",
                id=str(found.id),
            ),
            restart=self._restarts(applied),
            notes=[USERS_STAY] if names_users(found) else [],
        )

    # --- restart, revert

    @rx.event
    @guarded("engineer")
    async def ask_restart(self):
        self._ask(
            f"Restart {self.name}?",
            "Restart the device",
            [],
            Asked("restart", f"Restarting {self.name}", f"{self.name} restarts."),
            restart=True,
        )

    @rx.event
    @guarded("engineer")
    async def ask_revert(self, change_id: str):
        change = self._changes.get(change_id)
        if change is None or self._device is None:
            return rx.toast.error("That change is not in the history any more.")
        steps, lost = steps_back(change, self._device.info)
        self._ask(
            "Put the former settings back?",
            "Revert the change",
            steps,
            Asked(
                "revert",
                f"Putting the former settings of {self.name} back",
                "The former settings are back.",
                id=change_id,
            ),
            restart=self._restarts(change.before),
            notes=[f"{label} cannot be put back: what it was is not known." for label in lost],
        )
        return None

    # --- asking, and doing it

    def _restarts(self, wanted: dict[str, Any]) -> bool:
        return plan(self.version, wanted).restart

    def _ask(
        self,
        title: str,
        action: str,
        steps: list[Step],
        asked: Asked,
        *,
        restart: bool,
        notes: list[str] | None = None,
    ) -> None:
        self.ask_title, self.ask_action = title, action
        self.ask_steps = steps
        self.ask_about = AWAY if restart else STAYS
        self.ask_notes = notes or []
        self.asking, self._asked = True, asked

    @rx.event
    @guarded()
    async def open_ask(self, is_open: bool):
        self.asking = is_open and self._asked is not None

    @rx.event(background=True)
    @guarded("engineer")
    async def proceed(self):
        """Behind the page, which stays usable: a device may take seconds to come back."""
        async with self:
            asked, id = self._asked, self.id
            if asked is None or self.busy:
                return
            self.asking, self._asked = False, None
            self.busy, self.refused, self.outcome, self.outcome_title = asked.words, "", [], ""
        try:
            change = await asyncio.to_thread(_do, asked, actor(), id)
        except BenchError as error:
            async with self:
                text = await self._say_refused(asked, id, error)
            yield rx.toast.error(text)
        else:
            async with self:
                said = await self._say_done(asked, id, change)
            yield said
        finally:
            async with self:
                self.busy = ""

    async def _say_refused(self, asked: Asked, id: str, error: BenchError) -> str:
        faults = [
            f"{words_of(where.removeprefix('info.')).label} {why}" for where, why in error.errors
        ]
        text = " ".join([error.detail, *(f"{fault}." for fault in faults[:5])])
        if self.id == id:
            self.refused, self.refused_what = text, f"{asked.words} failed."
            await self._read()
        return text

    async def _say_done(self, asked: Asked, id: str, change: ChangeView | None) -> Any:
        if self.id != id:
            return rx.toast.success(asked.done)
        self.editing, self.fields, self.preset, self.preview = False, [], "", []
        await self._read()
        if change is None:
            return rx.toast.success(asked.done)
        self.outcome_title, self.outcome, said = outcome_of(change, asked.done)
        return said

    @rx.event
    @guarded()
    async def dismiss(self):
        self.refused, self.outcome, self.outcome_title = "", [], ""


def _do(asked: Asked, me: Actor, device_id: str) -> ChangeView | None:
    """Sends it, and reads back what became of it; blocks for as long as the device takes."""
    if asked.kind == "restart":
        configurations.restart(me, device_id)
        return None
    if asked.kind == "revert":
        return configurations.revert(me, asked.id)
    preset_id = asked.id if asked.kind == "preset" else None
    body = SystemBody(info=asked.wanted, preset_id=preset_id)
    return configurations.change_system(me, device_id, body).change


def _blocked(device: DeviceView) -> str:
    """Why nothing can be sent now; empty if it can."""
    if device.run_id:
        return "The device is in a run; its settings stay as they are until the run ends."
    return "" if device.ip else "The device has no address; its settings cannot be reached."


def _count(number: int) -> str:
    return "one setting" if number == 1 else f"{number} settings"
