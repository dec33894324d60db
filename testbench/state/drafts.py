"""A test case while it is written: everything is text until it is judged to be a document."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from testbench.domain.criteria import BaseCriterion, Criterion, field_errors
from testbench.domain.test_cases import SetupStep

KINDS: dict[str, type[BaseCriterion]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(Criterion)[0])
}
"""Every kind of criterion there is, by its name; the form of each is its own schema."""
LABELS = {
    "range": ("Range", "Every reading stays within limits"),
    "aggregate": ("Statistic", "A mean, maximum, percentile … is within limits"),
    "increase": ("Increase", "A counter rises by so much, restarts included"),
    "rate_of_change": ("Rate of change", "No jump between two readings is too steep"),
    "settle": ("Settle", "It reaches its band in time and stays there"),
    "coverage": ("Coverage", "There are enough readings, and no silence is too long"),
    "equals": ("Equals", "Every reading is one value"),
    "ratio": ("Ratio", "One metric divided by another stays within limits"),
}
FIRST: dict[str, dict[str, str]] = {
    "range": {"high": "30"},
    "aggregate": {"statistic": "mean", "high": "30"},
    "increase": {"low": "1"},
    "rate_of_change": {"max_per_s": "1"},
    "settle": {"high": "30", "within_s": "60"},
    "coverage": {"min_samples": "10"},
    "equals": {"value": "true"},
    "ratio": {"low": "0.9"},
}
"""What a new criterion of a kind begins with, so that its sentence can be read at once."""
TEXTS = frozenset(
    {"name", "metric", "other_metric", "unit", "severity", "on_missing", "statistic", "kind",
     "preset_id"}
)  # fmt: skip
EMPTY = {
    "name": "",
    "description": "",
    "duration_s": "60",
    "warmup_s": "0",
    "grace_s": "5",
    "sample_interval_s": "",
    "timeout_s": "",
    "required_tags": "",
}
"""A new test case, as far as its parts and criteria are not lists."""
FIGURES = ("duration_s", "warmup_s", "grace_s", "sample_interval_s", "timeout_s")
PLAIN = {
    "Field required": "This is needed.",
    "String should have at least 1 character": "This is needed.",
    "Input should be a valid number": "Must be a number.",
}
"""What the validator says, in a person's words."""
_ONE: TypeAdapter[Criterion] = TypeAdapter(Criterion)


@dataclass(frozen=True)
class Draft:
    """A criterion being written: what was typed, and the sentence it makes."""

    key: int
    kind: str
    label: str
    texts: dict[str, str]
    sentence: str = ""
    severity: str = "required"
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    open: bool = False


PARTS: dict[str, type[BaseModel]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(SetupStep)[0])
}
"""Every kind of part a setup may have; the form of each is its own schema."""
PART_LABELS = {
    "apply_preset": ("Apply a preset", "Sends its settings and waits until they are reported"),
    "restart": ("Restart", "Orders a restart"),
    "wait_online": ("Wait until online", "Goes on once every device is online"),
}


@dataclass(frozen=True)
class PartDraft:
    """A part of the setup being written: what was typed, and the sentence it makes."""

    key: int
    kind: str
    texts: dict[str, str]
    sentence: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    open: bool = False


def label_of(kind: str) -> tuple[str, str]:
    """A kind's name and what it judges, in words."""
    first = (KINDS[kind].__doc__ or "").partition(".")[0]
    return LABELS.get(kind, (kind.replace("_", " ").capitalize(), first))


def fresh(kind: str, key: int, names: set[str]) -> Draft:
    """A new criterion, with a name that no other has."""
    base, number = label_of(kind)[0].lower(), 1
    while (name := f"{base} {number}" if number > 1 else base) in names:
        number += 1
    values = {"name": name, "severity": "required", "on_missing": "error", **FIRST.get(kind, {})}
    return refreshed(Draft(key=key, kind=kind, label=label_of(kind)[0], texts=values, open=True))


def from_document(document: dict[str, Any], key: int) -> Draft:
    """A stored criterion as texts."""
    kind = document["kind"]
    values = {name: text_of(name, value) for name, value in document.items() if name != "kind"}
    return refreshed(Draft(key=key, kind=kind, label=label_of(kind)[0], texts=values))


def refreshed(draft: Draft) -> Draft:
    """With the sentence its values make; while they make none, with as much as can be said."""
    values = draft.texts
    try:
        sentence = _ONE.validate_python(to_document(draft)).sentence()
    except ValidationError:
        metric = values.get("metric")
        sentence = f"{metric} …" if metric else f"{draft.label}: choose a metric"
    return replace(
        draft,
        sentence=sentence,
        severity=values.get("severity", "required"),
        name=values.get("name", ""),
    )


def changed(draft: Draft, name: str, value: str) -> Draft:
    """With one field changed, and its error taken away."""
    errors = {field: message for field, message in draft.errors.items() if field != name}
    return refreshed(replace(draft, texts=draft.texts | {name: value}, errors=errors))


def to_document(draft: Draft | PartDraft) -> dict[str, Any]:
    """What the texts mean; a field left empty is not given."""
    document = {name: value_of(name, text) for name, text in draft.texts.items() if text != ""}
    return {"kind": draft.kind, **document}


def fresh_part(kind: str, key: int, names: dict[str, str]) -> PartDraft:
    """A new part; one that applies a preset begins with the first there is."""
    texts = {"timeout_s": text_of("timeout_s", PARTS[kind].model_fields["timeout_s"].default)}
    if kind == "apply_preset":
        texts["preset_id"] = next(iter(names), "")
    return told(PartDraft(key=key, kind=kind, texts=texts, open=True), names)


def part_from_document(document: dict[str, Any], key: int, names: dict[str, str]) -> PartDraft:
    """A stored part as texts; `names`: of the presets there are, by id."""
    texts = {name: text_of(name, value) for name, value in document.items() if name != "kind"}
    return told(PartDraft(key=key, kind=document["kind"], texts=texts), names)


def told(part: PartDraft, names: dict[str, str]) -> PartDraft:
    """With the sentence its values make."""
    at_most = f"at most {part.texts.get('timeout_s') or '…'} s"
    if part.kind == "apply_preset":
        chosen = part.texts.get("preset_id", "")
        lacking = "Apply a preset that is gone" if chosen else "Apply a preset: choose one"
        sentence = f"Apply preset {names[chosen]}, {at_most}" if chosen in names else lacking
    elif part.kind == "restart":
        sentence = f"Restart every device, {at_most}"
    else:
        sentence = f"Wait until every device is online, {at_most}"
    return replace(part, sentence=sentence)


def changed_part(part: PartDraft, name: str, value: str, names: dict[str, str]) -> PartDraft:
    """With one field changed, and its error taken away."""
    errors = {field: message for field, message in part.errors.items() if field != name}
    return told(replace(part, texts=part.texts | {name: value}, errors=errors), names)


def value_of(name: str, text: str) -> Any:
    """A number, true or false, a `{{variable}}`, or a text; `"5"` in quotes is the text 5."""
    if name in TEXTS:
        return text
    plain = text.strip()
    if name == "value" and plain in ("true", "false"):
        return plain == "true"
    if name == "value" and len(plain) > 1 and plain[0] == plain[-1] == '"':
        return plain[1:-1]
    number = number_of(plain)
    return (text if name == "value" else plain) if number is None else number


def number_of(text: str) -> float | None:
    """A number as people type it, also with a decimal comma; None if it is none."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def text_of(name: str, value: Any) -> str:
    """A stored value as a person would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
    text = str(value)
    ambiguous = name == "value" and (number_of(text) is not None or text in ("true", "false"))
    return json.dumps(text) if ambiguous else text


def sorted_out(
    errors: list[tuple[str, str]], count: int
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Errors by field of the document, and for each criterion by its own fields."""
    whole: dict[str, str] = {}
    single: list[dict[str, str]] = [{} for _ in range(count)]
    for where, message in errors:
        parts = where.split(".", 2)
        if len(parts) > 1 and parts[0] == "criteria" and parts[1].isdecimal():
            single[int(parts[1])].setdefault(parts[2] if len(parts) > 2 else "name", message)
        else:
            whole.setdefault(parts[0], message)
    return whole, single


def of_parts(errors: list[tuple[str, str]], count: int) -> list[dict[str, str]]:
    """For each part of the setup its errors by field."""
    found: list[dict[str, str]] = [{} for _ in range(count)]
    for where, message in errors:
        parts = where.split(".", 2)
        if len(parts) > 1 and parts[0] == "setup" and parts[1].isdecimal():
            found[int(parts[1])].setdefault(parts[2] if len(parts) > 2 else "timeout_s", message)
    return found


def moved(entries: list[Any], key: int, by: int) -> list[Any]:
    """With the entry of this key one place up (-1) or down (1), where there is one."""
    place = next((i for i, one in enumerate(entries) if one.key == key), None)
    if place is None or by not in (-1, 1) or not 0 <= place + by < len(entries):
        return entries
    changed = list(entries)
    changed[place], changed[place + by] = changed[place + by], changed[place]
    return changed


def refusals(error: ValidationError) -> list[tuple[str, str]]:
    """pydantic's errors as pairs of path and a sentence."""
    return [
        (where, PLAIN.get(message) or message[:1].upper() + message[1:])
        for where, message in field_errors(error.errors(include_url=False))
    ]
