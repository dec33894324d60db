"""What a device says of itself, made safe to keep: text stays text, secrets go."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_TEXT = 4096
MAX_NAME = 200
MAX_DEPTH = 8
MAX_ITEMS = 1000

_SECRET = re.compile(r"pass(word|wd|phrase|code)?[_0-9]*$|secret|token|pwd|psk|api_?key", re.I)
_USERINFO = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")


def is_secret(key: str) -> bool:
    """Whether a field of this name holds a secret (`wifiPass`, `stratumPassword`, …)."""
    return _SECRET.search(key) is not None


def without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy to keep and to show: no secret at any depth, nothing a database could not hold."""
    return _fields(fields, MAX_DEPTH)


def name_of(value: object) -> str | None:
    """A short name in one line of printable text; None if there is none."""
    if not isinstance(value, str):
        return None
    printable = "".join(
        char
        for char in value[:MAX_TEXT]
        if unicodedata.category(char)[0] not in "CZ" or char == " "
    )
    return printable.strip()[:MAX_NAME] or None


def _fields(fields: Mapping[str, Any], depth: int) -> dict[str, Any]:
    kept = list(fields.items())[:MAX_ITEMS]
    return {_text(key)[:MAX_NAME]: _kept(value, depth) for key, value in kept if not is_secret(key)}


def _kept(value: object, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == 0:
        return None
    if isinstance(value, Mapping):
        return _fields(value, depth - 1)
    if isinstance(value, list):
        return [_kept(item, depth - 1) for item in value[:MAX_ITEMS]]
    return value


def _text(text: str) -> str:
    """Without what PostgreSQL refuses (NUL, lone surrogates), nor a login in a URL."""
    shown = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    shown = shown.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return _USERINFO.sub(r"\1:*****@", shown)
