"""Settings of a device while they are typed: fields with unit and limits, and what texts mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from testbench.domain.axeos import SETTINGS, fault_of, is_secret, version_of
from testbench.domain.axeos.configuration import equal
from testbench.domain.axeos.words import (
    GROUPS,
    POOL_ALIASES,
    WORDS,
    apart,
    in_order,
    limits_of,
    setting_of,
    words_of,
)
from testbench.state.drafts import number_of, text_of

PASSWORDS = {
    "stratumPassword": "stratumURL",
    "fallbackStratumPassword": "fallbackStratumURL",
    "wifiPass": "ssid",
    "pools-0-password": "pools-0-url",
    "pools-1-password": "pools-1-url",
}
"""Never reported: offered where the setting beside them is."""
MAX_TEXT = 20_000


@dataclass(frozen=True)
class Field:
    """A setting as a form shows it; `kind`: text, number, flag, secret, list or free."""

    key: str
    label: str
    unit: str
    help: str
    kind: str
    text: str


@dataclass(frozen=True)
class FieldGroup:
    """Fields that belong together; `note` names what this firmware does not take."""

    name: str
    fields: list[Field]
    note: str


def kind_of(key: str) -> str:
    """How a setting is typed."""
    if is_secret(key):
        return "secret"
    setting = setting_of(key)
    return setting.type if setting else "free"


def field_of(key: str, value: Any) -> Field:
    """A setting with the value it has, as text; a secret's is never shown."""
    words, kind = words_of(key), kind_of(key)
    help = " ".join(part for part in (limits_of(key), words.help) if part)
    return Field(key, words.label, words.unit, help, kind, typed(kind, value))


def typed(kind: str, value: Any) -> str:
    """A stored value as a person would type it."""
    if kind == "secret" or value is None:
        return ""
    if kind == "flag":
        return "true" if value in (1, True, "true") else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, indent=1 if kind == "list" else None)
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else text_of("", value)
    if kind == "free" and isinstance(value, str) and _free(value) != value:
        return json.dumps(value, ensure_ascii=False)
    return text_of("", value)


def groups_of(info: Mapping[str, Any]) -> list[FieldGroup]:
    """The form of one device: what it reports and takes, and the secrets that go with that."""
    version = version_of(info.get("version"))
    reported = apart(info)
    keys = {key for key in reported if key in POOL_ALIASES or key in SETTINGS}
    keys |= {key for key, beside in PASSWORDS.items() if beside in keys}
    taken = {key for key in keys if key in POOL_ALIASES or SETTINGS[key].counts(version)}
    groups = []
    for name in GROUPS:
        mine = [key for key in _ordered(taken) if words_of(key).group == name]
        left_out = [key for key in in_order(dict.fromkeys(keys - taken)) if _group(key) == name]
        if mine:
            fields = [field_of(key, reported.get(key)) for key in mine]
            groups.append(FieldGroup(name, fields, _left_out(left_out)))
    return groups


def _ordered(keys: set[str]) -> list[str]:
    known = list(WORDS)
    return sorted(keys, key=lambda key: known.index(POOL_ALIASES.get(key, key)))


def _group(key: str) -> str:
    return words_of(key).group


def _left_out(keys: list[str]) -> str:
    """What this firmware does not take, and what counts in its stead."""
    if not keys:
        return ""
    names = [f"“{words_of(key).label}”" for key in keys]
    named = ", ".join(names[:2] if len(names) > 3 else names)
    named += f" and {len(names) - 2} more" if len(names) > 3 else ""
    instead = sorted({SETTINGS[key].instead or "" for key in keys} - {""})
    words = " and ".join(f"“{words_of(key).label}”" for key in instead)
    counts = f"; {words} counts" if instead else ""
    return f"Ignored by this firmware: {named}{counts}."


def changes_of(
    form: Mapping[str, Any], info: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What differs from what the form showed, and what is wrong with it, by key."""
    reported = apart(info)
    changes: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for group in groups_of(info):
        for field in group.fields:
            text = str(form.get(field.key) or "")
            if text == field.text or (field.kind == "secret" and not text):
                continue
            value, fault = value_of(field.key, text)
            if fault:
                errors[field.key] = fault
            elif not equal(value, reported.get(field.key)):
                changes[field.key] = _as_reported(value, reported.get(field.key))
    return changes, errors


def _as_reported(value: Any, reported: Any) -> Any:
    """Firmware before 2.14 has 0 and 1 for false and true."""
    return int(value) if isinstance(value, bool) and type(reported) is int else value


def value_of(key: str, text: str) -> tuple[Any, str]:
    """What a text means as this setting, and why it cannot be (empty if it can)."""
    if len(text) > MAX_TEXT:
        return None, f"must have at most {MAX_TEXT:,} characters"
    try:
        value = _parsed(kind_of(key), text)
    except ValueError as error:
        return None, str(error)
    return value, fault_of(POOL_ALIASES.get(key, key), value) or ""


def _parsed(kind: str, text: str) -> Any:
    plain = text.strip()
    if kind == "number":
        number = number_of(plain)
        if number is None or not isfinite(number):
            raise ValueError("must be a number")
        return int(number) if number.is_integer() else number
    if kind == "flag":
        return plain == "true"
    if kind == "list":
        return _list(plain)
    return text if kind == "secret" else _free(plain) if kind == "free" else plain


def _list(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("must be a list, as JSON") from error


def _free(text: str) -> Any:
    """A number, true or false, a list or an object, or text; `"5"` in quotes is the text 5."""
    if text[:1] in ('"', "[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if text in ("true", "false"):
        return text == "true"
    number = number_of(text) if "," not in text else None
    if number is None or not isfinite(number):
        return text
    return int(number) if number.is_integer() else number
