"""What of an answer stands until somebody changes it, apart from what is measured each time."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from testbench.domain.axeos.configuration import SETTINGS
from testbench.domain.axeos.readings import TABLES

# `fanspeed` is set on old firmware, but always reports how fast the fan runs.
_KEPT_NUMBERS = {key for key, one in SETTINGS.items() if one.type == "number"} - {"fanspeed"} | {
    "port"
}
# Some firmware writes what it measured as text (`"4.29G"`).
_MEASURED = {name for table in TABLES.values() for row in table for name in row.fields}


def standing_of(info: Mapping[str, Any]) -> bytes:
    """A short mark of an answer's `info` that is the same while only measured values changed.

    Text, flags, and which fields there are count; of the numbers those that are settings.
    """
    return hashlib.blake2b(msgspec.json.encode(_standing(info)), digest_size=12).digest()


def _standing(value: Any, key: str = "") -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return None if key in _MEASURED else value
    if isinstance(value, int | float):
        return value if key in _KEPT_NUMBERS else None
    if isinstance(value, Mapping):
        return {name: _standing(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_standing(item) for item in value]
    return value
