"""Presets: the list with the last roll-outs, and one being written, its secrets never read."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import reflex as rx
from pydantic import ValidationError

from testbench.domain.axeos import SETTINGS, needs_restart
from testbench.domain.axeos.words import (
    GROUPS,
    POOL_ALIASES,
    WORDS,
    apart,
    limits_of,
    together,
    words_of,
)
from testbench.domain.errors import BenchError
from testbench.domain.presets import USERS
from testbench.services import presets, rollouts, uses
from testbench.services.presets import PresetBody, PresetView
from testbench.services.uses import Uses
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.drafts import refusals
from testbench.state.rollouts import RolloutRow
from testbench.state.rollouts import row_of as rollout_row
from testbench.state.settings_views import flat_path, in_words, ordered
from testbench.state.typed_settings import kind_of, typed, value_of
from testbench.state.views import ViewState, first_error

NEW = "new"
FREE = "*"
"""Chosen in place of a known setting: one of another name."""
SHOWN = 50
ROLLOUTS = 5
SENTENCES = 5
UNNAMED = "A preset never says whose shares they are: it is not applied."


@dataclass(frozen=True)
class PresetRow:
    """A preset as the table shows it."""

    id: str
    name: str
    description: str
    sentences: list[str]
    more: int
    used: list[str]


class PresetsState(ViewState, rx.State):
    """What the table shows now."""

    rows: list[PresetRow] = []
    total: int = 0
    shown: str = ""
    first_link: str = ""
    next_link: str = ""
    q: str = ""
    rollouts: list[RolloutRow] = []

    @rx.event
    @guarded()
    async def load(self):
        self.q = self._query().get("q", "")[:200]
        live.watch(self, {"presets": None, "rollouts": None}, every_s=0.5)
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        asked = self._query().get("offset", "")
        offset = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 0
        found, total = await call(presets.search, q=self.q or None, offset=offset, limit=SHOWN)
        used = await call(uses.of_presets, [one.id for one in found])
        last = await call(rollouts.list_, limit=ROLLOUTS)
        end = offset + len(found)
        self._show(
            rows=[_row(one, used[one.id]) for one in found],
            total=total,
            shown=f"{offset + 1}–{end}" if found else "0",
            first_link=self._link(offset=None) if offset else "",
            next_link=self._link(offset=end) if end < total else "",
            rollouts=[rollout_row(one) for one in last.items],
        )

    @rx.event
    @guarded()
    async def search(self, text: str):
        return rx.redirect(self._link(q=text.strip()[:200], offset=None), replace=True)


def _row(one: PresetView, used: Uses) -> PresetRow:
    sentences = in_words(one.configuration, one.secrets)
    return PresetRow(
        id=str(one.id),
        name=one.name,
        description=one.description.partition("\n")[0],
        sentences=sentences[:SENTENCES],
        more=max(0, len(sentences) - SENTENCES),
        used=used_in_words(used),
    )


def used_in_words(used: Uses) -> list[str]:
    """`On 3 devices`, `Test case “burn-in”`."""
    words = [f"Test case “{name}”" for name in used.test_cases]
    if used.devices:
        words.append(f"On {used.devices} device{'s' * (used.devices > 1)}")
    if used.rollouts:
        words.append(f"{used.rollouts} roll-out{'s' * (used.rollouts > 1)}")
    return words


@dataclass(frozen=True)
class SettingRow:
    """A setting of the preset, as typed; `stored`: a secret that is set and not shown."""

    key: int
    name: str
    label: str
    kind: str
    unit: str = ""
    help: str = ""
    text: str = ""
    free: bool = False
    free_name: str = ""
    """Of a free one: its name, where others have a label."""
    stored: bool = False
    replacing: bool = False
    error: str = ""


class PresetState(ViewState, rx.State):
    """One preset being written."""

    id: str = ""
    title: str = "New preset"
    name: str = ""
    description: str = ""
    settings: list[SettingRow] = []
    addable: list[list[str]] = []
    used: list[str] = []
    errors: dict[str, str] = {}
    changed: bool = False
    busy: bool = False
    deleting: bool = False
    _next: int = 1
    _gone: list[str] = []
    """Secrets that were taken away."""

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        name, copied = self._part(1), self._query().get("copy", "")
        self.reset()
        self.id = "" if name == NEW else name
        async with self._loading():
            if self.id or copied:
                self._fill(await call(presets.get, self.id or copied), copy=not self.id)
            if self.id:
                found = await call(uses.of_presets, [UUID(self.id)])
                self.used = used_in_words(found[UUID(self.id)])
            self._offer()

    def _fill(self, found: PresetView, *, copy: bool) -> None:
        self.id = "" if copy else str(found.id)
        self.title = "New preset" if copy else found.name
        self.name = f"{found.name} (copy)"[:200] if copy else found.name
        self.description, self.changed = found.description, copy
        flat = apart(found.configuration) if _is_plain(found.configuration) else found.configuration
        secrets = {flat_path(path): None for path in found.secrets}
        self.settings = []
        for name in ordered(flat | secrets):
            # Nobody can read a secret: a copy asks for it anew.
            self._append(name, flat.get(name), stored=name in secrets and not copy)

    def _append(self, name: str, value: Any = None, *, stored: bool = False) -> None:
        free = name == FREE or (name not in SETTINGS and name not in POOL_ALIASES)
        kind = kind_of("" if name == FREE else name)
        words = words_of(name)
        self.settings = [
            *self.settings,
            SettingRow(
                key=self._next,
                name="" if name == FREE else name,
                label="" if free else words.label,
                kind=kind,
                unit=words.unit,
                help="" if name == FREE else _help(name),
                text=typed(kind, value) or ("true" if kind == "flag" else ""),
                free=free,
                free_name=name if free and name != FREE else "",
                stored=stored,
            ),
        ]
        self._next += 1

    def _offer(self) -> None:
        """Known settings that the preset does not have yet."""
        have = {row.name for row in self.settings}
        known = [key for key in ordered({**SETTINGS, **POOL_ALIASES}) if _may_add(key, have)]
        grouped = sorted(known, key=lambda key: GROUPS.index(words_of(key).group))
        offered = [[key, f"{words_of(key).group}: {_told_apart(key)}"] for key in grouped]
        self.addable = [*offered, [FREE, "Another setting, by its key"]]

    @rx.event
    @guarded()
    async def set_name(self, text: str):
        self.name, self.changed = text[:300], True
        self.errors = {key: value for key, value in self.errors.items() if key != "name"}

    @rx.event
    @guarded()
    async def set_description(self, text: str):
        self.description, self.changed = text[:20_000], True
        self.errors = {key: value for key, value in self.errors.items() if key != "description"}

    @rx.event
    @guarded()
    async def add(self, name: str):
        if name == FREE or (_may_add(name, {row.name for row in self.settings})):
            self._append(name)
            self.changed = True
            self._offer()

    @rx.event
    @guarded()
    async def set_text(self, key: int, text: str):
        self._alter(key, text=text[:20_000], error="")

    @rx.event
    @guarded()
    async def set_key(self, key: int, name: str):
        """A free setting's name; whether it is a secret follows from it."""
        name = name.strip()[:200]
        self._alter(key, name=name, free_name=name, kind=kind_of(name), help=_help(name), error="")

    @rx.event
    @guarded()
    async def replace_secret(self, key: int, on: bool):
        self._alter(key, replacing=on, text="", error="")

    @rx.event
    @guarded()
    async def remove(self, key: int):
        self._gone = [*self._gone, *(r.name for r in self.settings if r.key == key and r.stored)]
        self.settings = [row for row in self.settings if row.key != key]
        self.changed = True
        self._offer()

    def _alter(self, key: int, **changes: Any) -> None:
        self.settings = [
            replace(row, **changes) if row.key == key else row for row in self.settings
        ]
        self.changed = True

    # --- keeping it

    @rx.event
    @guarded("engineer")
    async def save(self):
        self.busy = True
        yield
        self.busy = False
        configuration = self._configuration()
        if configuration is None:
            yield first_error()
            return
        try:
            body = PresetBody(
                name=self.name.strip(), description=self.description, configuration=configuration
            )
            kept = await (
                call(presets.replace, self.id, body) if self.id else call(presets.create, body)
            )
        except ValidationError as error:
            yield self._refuse(refusals(error))
            return
        except BenchError as error:
            if not error.errors:
                raise
            yield self._refuse(error.errors)
            return
        self.changed, self.errors = False, {}
        yield rx.toast.success(f"{kept.name} is saved.")
        yield rx.redirect("/presets")

    def _configuration(self) -> dict[str, Any] | None:
        """What was typed, as it is stored; None if something does not fit, said at its field."""
        names = [row.name for row in self.settings]
        flat: dict[str, Any] = {}
        judged = []
        for row in self.settings:
            value, fault = _judged(row, names)
            judged.append(replace(row, error=fault))
            if not fault and not (row.stored and not row.replacing):
                flat[row.name] = value
        self.settings = judged
        if any(row.error for row in judged):
            return None
        # A secret that is left out stays: what was taken away is said to be empty.
        flat |= {name: "" for name in self._gone if name not in names and _still(name, names)}
        return together(flat, {})

    def _refuse(self, errors: list[tuple[str, str]]) -> Any:
        self.errors, at = {}, {}
        for where, message in errors:
            path = where.removeprefix("body.").removeprefix("configuration.")
            name = flat_path(path) if flat_path(path) in self._names() else path.split(".")[0]
            if name in self._names():
                at.setdefault(name, message)
            else:
                self.errors = {where.partition(".")[0]: message} | self.errors
        self.settings = [replace(row, error=at.get(row.name, "")) for row in self.settings]
        return first_error()

    def _names(self) -> set[str]:
        return {row.name for row in self.settings}

    @rx.event
    @guarded("engineer")
    async def ask_delete(self, is_open: bool):
        self.deleting = is_open and bool(self.id)

    @rx.event
    @guarded("engineer")
    async def delete(self):
        self.deleting = False
        await call(presets.remove, self.id)
        self.changed = False
        return [rx.redirect("/presets"), rx.toast.success(f"{self.title} is deleted.")]


def _judged(row: SettingRow, names: list[str]) -> tuple[Any, str]:
    """What was typed into a row, and why it cannot stay."""
    if not row.name:
        return None, "needs a key"
    if names.count(row.name) > 1:
        return None, "is there twice"
    if row.stored and not row.replacing:
        return None, ""
    if row.kind == "secret" and not row.text:
        return None, "is required; remove the setting to have none"
    return value_of(row.name, row.text)


def _still(name: str, names: list[str]) -> bool:
    """Whether the pool that a secret was taken from is there yet; others always are."""
    pool = name.rpartition("-")[0]
    return name not in POOL_ALIASES or any(one.startswith(pool) for one in names)


def _is_plain(configuration: dict[str, Any]) -> bool:
    """Whether its pools can be taken apart and put together again without a loss."""
    return together(apart(configuration), {}) == configuration


def _may_add(key: str, have: set[str]) -> bool:
    """Known, not there yet, not the users of pools, and pools by their fields."""
    user = POOL_ALIASES.get(key, key) in USERS
    known = key in WORDS or key in POOL_ALIASES
    return known and key not in have and key != "pools" and not user


def _told_apart(key: str) -> str:
    """Two settings of one name, by the firmware that takes them."""
    setting = SETTINGS.get(key)
    label = words_of(key).label
    if key in POOL_ALIASES:
        return f"{label} (firmware from 2.15)"
    if setting and setting.until:
        return f"{label} (firmware before {setting.until[0]}.{setting.until[1]})"
    if setting and setting.since:
        return f"{label} (firmware from {setting.since[0]}.{setting.since[1]})"
    return label


def _help(name: str) -> str:
    alias = POOL_ALIASES.get(name, name)
    if alias in USERS:
        return UNNAMED
    label = _told_apart(name)
    firmware = label[label.index("(") + 1 : -1] if label.endswith(")") else ""
    parts = [limits_of(alias), words_of(name).help]
    if firmware:
        parts.append(f"{firmware[:1].upper()}{firmware[1:]}.")
    if needs_restart(alias):
        parts.append("Restarts the device.")
    return " ".join(part for part in parts if part)
