"""Settings, changes and what came of them, as rows of words for the pages."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import reflex as rx

from testbench.domain.axeos import SETTINGS, is_secret, version_of
from testbench.domain.axeos.configuration import equal
from testbench.domain.axeos.words import (
    GROUPS,
    POOL_ALIASES,
    WORDS,
    apart,
    in_order,
    note_of,
    shown_value,
    words_of,
)
from testbench.domain.presets import without_users
from testbench.services.configurations import ChangeView, Difference
from testbench.services.presets import PresetView

MAX_LINES = 8
LATER = {"same": 1, "ignored": 2}
"""What has no effect stands below what has."""


@dataclass(frozen=True)
class Line:
    """One setting beside what the device reports; `standing` is empty where none is wanted."""

    key: str
    label: str
    reported: str
    desired: str
    standing: str
    note: str


@dataclass(frozen=True)
class LineGroup:
    """Settings that belong together."""

    name: str
    lines: list[Line]


@dataclass(frozen=True)
class Step:
    """What sending one setting would do; `standing`: changes, same, ignored, secret, unknown."""

    key: str
    label: str
    before: str
    after: str
    standing: str
    note: str


@dataclass(frozen=True)
class ChangeRow:
    """A line of the history."""

    id: str
    at: str
    who: str
    what: str
    run_id: str
    status: str
    error: str
    restarted: str
    lines: list[Line]
    can_revert: bool


def line_groups(
    standing: Iterable[Difference], info: Mapping[str, Any], secrets: Iterable[str] = ()
) -> list[LineGroup]:
    """Every setting that is reported or wanted, by group; `secrets`: those set from here."""
    wanted = {one.key: one for one in standing}
    wanted |= {key: Difference(key=key, standing="write_only") for key in secrets}
    version, reported = str(info.get("version") or ""), apart(info)
    pools = wanted.pop("pools", None)
    counts = pools is not None and pools.standing != "ignored"
    desired = apart({"pools": pools.desired}) if pools and counts else {}
    keys = {key: None for key in reported if key in SETTINGS or key in POOL_ALIASES}
    keys = {key: None for key in keys if not _is_double(key, reported, version, wanted)}
    keys = {key: None for key in keys if key in wanted or not is_secret(key)}
    lines = [
        _pool_line(key, desired, reported)
        if key in POOL_ALIASES and key not in wanted
        else _line(key, wanted.get(key), reported, version)
        for key in ordered(keys | dict.fromkeys(wanted) | dict.fromkeys(desired))
    ]
    if pools is not None and not counts:
        lines.append(_line("pools", pools, reported, version))
    groups = [
        LineGroup(name, [line for line in lines if words_of(line.key).group == name])
        for name in GROUPS
    ]
    return [group for group in groups if group.lines]


def ordered(keys: Mapping[str, Any]) -> list[str]:
    known = list(WORDS)
    pools = [key for key in POOL_ALIASES if key in keys]
    rest = in_order({key: None for key in keys if key not in POOL_ALIASES})
    at = next((i for i, key in enumerate(rest) if _rank(known, key) > known.index("pools")), None)
    return [*rest[:at], *pools, *(rest[at:] if at is not None else [])]


def _rank(known: list[str], key: str) -> int:
    return known.index(key) if key in known else len(known)


def _is_double(
    key: str, reported: Mapping[str, Any], version: str, wanted: Mapping[str, Any]
) -> bool:
    """A pool's setting of old beside the one that counts now: the same, said twice."""
    old = SETTINGS[key].instead == "pools" if key in SETTINGS else False
    counts = not old or SETTINGS[key].counts(version_of(version))
    return old and not counts and key not in wanted and "pools-0-url" in reported


def _line(key: str, one: Difference | None, reported: Mapping[str, Any], version: str) -> Line:
    note = note_of(version, key)
    desired = "" if one is None else "set" if is_secret(key) else shown_value(key, one.desired)
    standing = one.standing if one else "ignored" if note else ""
    found = shown_value(key, reported.get(key)) if key in reported else "–"
    return Line(key, words_of(key).label, found, desired, standing, note)


def _pool_line(key: str, desired: Mapping[str, Any], reported: Mapping[str, Any]) -> Line:
    alias, found = POOL_ALIASES[key], reported.get(key)
    shown = "hidden" if is_secret(key) else shown_value(alias, found)
    if key not in desired:
        return Line(key, words_of(key).label, shown, "", "", "")
    standing = "same" if equal(desired[key], found) else "differs"
    return Line(key, words_of(key).label, shown, shown_value(alias, desired[key]), standing, "")


def steps_of(wanted: Mapping[str, Any], info: Mapping[str, Any]) -> list[Step]:
    """What sending `wanted` would do to a device that reports `info`; secrets are not shown."""
    version, reported = str(info.get("version") or ""), apart(info)
    flat = apart(wanted)
    steps = [_step(key, flat[key], reported, version) for key in ordered(flat)]
    shown = [step for step in steps if step.key not in POOL_ALIASES or step.standing != "same"]
    return sorted(shown, key=lambda step: LATER.get(step.standing, 0))


def named(settings: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """Settings with an empty text in the place of each secret, which a path names."""
    found: Any = deepcopy(dict(settings))
    for path in secrets:
        *where, name = path.split(".")
        place: Any = found
        for part in where:
            place = _within(place, part)
        if isinstance(place, dict):
            place[name] = ""
    return found


def _within(place: Any, part: str) -> Any:
    if isinstance(place, list):
        return place[int(part)] if part.isdecimal() and int(part) < len(place) else None
    return place.get(part) if isinstance(place, dict) else None


def as_applied(preset: PresetView) -> dict[str, Any]:
    """What applying a preset sends, an empty text in the place of each secret."""
    return named(without_users(preset.configuration), preset.secrets)


def names_users(preset: PresetView) -> bool:
    """Whether it holds a pool's user, which is not applied."""
    return without_users(preset.configuration) != preset.configuration


def _step(key: str, value: Any, reported: Mapping[str, Any], version: str) -> Step:
    alias = POOL_ALIASES.get(key, key)
    known, note = key in reported, note_of(version, key)
    before = "–" if is_secret(key) or not known else shown_value(alias, reported[key])
    after = "hidden" if is_secret(key) else shown_value(alias, value)
    if note:
        standing = "ignored"
    elif is_secret(key):
        standing = "secret"
    elif not known:
        standing = "unknown"
    else:
        standing = "same" if equal(value, reported[key]) else "changes"
    return Step(key, words_of(key).label, before, after, standing, note)


def steps_back(change: ChangeView, info: Mapping[str, Any]) -> tuple[list[Step], list[str]]:
    """What reverting a change would send, and the names of what cannot be put back."""
    lost = set(change.not_restorable)
    secrets = [path for path in change.secrets if path not in lost]
    before = named(change.before, secrets)
    return steps_of(before, info), [words_of(flat_path(path)).label for path in sorted(lost)]


def flat_path(path: str) -> str:
    """`pools.0.password` → `pools-0-password`; other paths as they are."""
    flat = path.replace(".", "-")
    return flat if flat in POOL_ALIASES else path


def change_row(change: ChangeView) -> ChangeRow:
    """A change in words."""
    sent = apart(named(change.changes, change.secrets))
    lines = [_changed(key, sent[key], change) for key in ordered(sent)]
    lost = {flat_path(path) for path in change.not_restorable}
    back = [line for line in lines if line.key not in lost and line.standing != "ignored"]
    kept = lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        kept.append(Line("", f"and {len(lines) - MAX_LINES} more", "", "", "", ""))
    return ChangeRow(
        id=str(change.id),
        at=change.at.isoformat(),
        who=change.username,
        what=_what(change),
        run_id=str(change.run_id or ""),
        status=change.status,
        error=change.error or "",
        restarted=_restarted(change),
        lines=kept,
        can_revert=change.status != "pending" and bool(back) and bool(change.before),
    )


def _what(change: ChangeView) -> str:
    if change.reverts:
        return "Reverted a change"
    return f"Preset “{change.preset_name}”" if change.preset_name else ""


def _restarted(change: ChangeView) -> str:
    if change.awaits_restart:
        return "Acts after a restart."
    return "The device was restarted." if change.restarted else ""


def _changed(key: str, after: Any, change: ChangeView) -> Line:
    alias, before = POOL_ALIASES.get(key, key), apart(change.before)
    found = {one.key: one for one in change.differences}
    one = found.get("pools" if key in POOL_ALIASES else key)
    standing = one.standing if one and change.status == "applied" else ""
    if is_secret(key) and standing not in ("", "ignored"):
        standing = "write_only"
    return Line(
        key=key,
        label=words_of(key).label,
        reported=shown_value(alias, before[key]) if key in before else "–",
        desired="hidden" if is_secret(key) else shown_value(alias, after),
        standing=standing,
        note=f"{one.note[:1].upper()}{one.note[1:]}." if one and one.note else "",
    )


def outcome_of(change: ChangeView, done: str) -> tuple[str, list[Line], Any]:
    """A headline, each field as it was read back, and the toast."""
    lines = change_row(change).lines
    bad = [line for line in lines if line.standing in ("differs", "ignored", "not_reported")]
    if change.status == "failed":
        return "The change failed.", lines, rx.toast.error(change.error or "The change failed.")
    if bad:
        labels = ", ".join(line.label for line in bad[:3])
        text = f"Sent, but not all of it is in force: {labels}."
        return text, lines, rx.toast.warning(text)
    return done, lines, rx.toast.success(done)


def in_words(settings: Mapping[str, Any], secrets: Iterable[str] = ()) -> list[str]:
    """`Frequency 600 MHz`, …; secrets by their name alone."""
    flat = apart(named(settings, secrets))
    return [
        f"{words_of(key).label} (secret)"
        if is_secret(key)
        else f"{words_of(key).label} {shown_value(POOL_ALIASES.get(key, key), flat[key])}"
        for key in ordered(flat)
    ]
