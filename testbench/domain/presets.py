"""Settings of devices as people write them: what may stand there, and how secrets outlive an edit.

Secrets are written and never shown. Leaving one out keeps it; null or "" removes it. In a list
of pools an entry keeps the secrets of the one with its URL: no pool gets another's password.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from testbench.domain.axeos import fault_of, is_secret

MAX_BYTES = 10_239
"""Devices answer 500 `content too long` from 10,240 bytes."""
MAX_KEY = 100
MAX_KEYS = 200
MAX_TEXT = 1000
MAX_DEPTH = 6
SEALED = "$sealed"
"""The mark of an encrypted secret: nobody may write one by hand."""
USERS = frozenset({"stratumUser", "fallbackStratumUser"})
"""Whose shares they are: a preset is for many, so it never says so for a device."""
MEASURED = frozenset({"fanspeed"})
"""Settings whose report is what is measured: while the fan is automatic, another value."""
POOL_FIELDS = {
    "url": "stratumURL",
    "port": "stratumPort",
    "user": "stratumUser",
    "password": "stratumPassword",
}
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]*@")

Fault = tuple[str, str]
Settings = Mapping[str, Any]


def faults(settings: Settings, path: str) -> list[Fault]:
    """What a device or the bench could not take, as (path, why); the first twenty."""
    if len(settings) > MAX_KEYS:
        return [(path, f"must have at most {MAX_KEYS} keys")]
    found = [fault for key, value in settings.items() for fault in _of_setting(path, key, value)]
    if not found and size_of(settings) > MAX_BYTES:
        found = [(path, f"must be at most {MAX_BYTES:,} bytes as JSON")]
    return found[:20]


def size_of(settings: Settings) -> int:
    """Bytes as JSON, as a device gets it."""
    return len(json.dumps(settings, separators=(",", ":"), ensure_ascii=False).encode())


def _of_setting(path: str, key: str, value: Any) -> Iterator[Fault]:
    here = f"{path}.{key[:MAX_KEY]}"
    odd = list(_odd(here, key, value, MAX_DEPTH))
    yield from odd
    if odd or (is_secret(key) and not value):
        return
    if why := fault_of(key, value):
        yield here, why
    elif key == "pools":
        for number, pool in enumerate(cast("list[Any]", value)):
            yield from _of_pool(f"{here}.{number}", pool)


def _of_pool(path: str, pool: Any) -> Iterator[Fault]:
    if not isinstance(pool, Mapping):
        yield path, "must be an object"
        return
    for key, value in cast("Settings", pool).items():
        known = POOL_FIELDS.get(key)
        if known and (value or not is_secret(key)) and (why := fault_of(known, value)):
            yield f"{path}.{key}", why


def _odd(path: str, key: str, value: Any, depth: int) -> Iterator[Fault]:
    """What would not survive storing and showing."""
    if not 0 < len(key) <= MAX_KEY or _UNSTORABLE.search(key) or key == SEALED:
        yield path, f"must have a name of 1 to {MAX_KEY} printable characters"
    elif isinstance(value, str):
        yield from ((path, why) for why in _odd_text(value))
    elif isinstance(value, int | float):
        if abs(value) >= 2**63 or not math.isfinite(value):
            yield path, "must be a number that fits into 64 bits"
    elif isinstance(value, Mapping | list):
        if depth == 0:
            yield path, "is nested too deeply"
            return
        inner: Iterable[tuple[Any, Any]] = (
            cast("Settings", value).items() if isinstance(value, Mapping) else enumerate(value)
        )
        for name, item in inner:
            yield from _odd(f"{path}.{str(name)[:MAX_KEY]}", str(name), item, depth - 1)


def _odd_text(text: str) -> Iterator[str]:
    if len(text) > MAX_TEXT:
        yield f"must have at most {MAX_TEXT} characters"
    elif _UNSTORABLE.search(text):
        yield "must not contain control characters"
    elif _LOGIN.search(text):
        yield "must not contain a login; user and password have fields of their own"


def secrets_of(settings: Settings) -> list[str]:
    """Where secrets stand, as paths: `wifiPass`, `pools.0.password`."""
    return list(_secret_paths("", settings))


def _secret_paths(prefix: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in cast("Settings", value).items():
            if is_secret(key):
                yield f"{prefix}{key}"
            else:
                yield from _secret_paths(f"{prefix}{key}.", item)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield from _secret_paths(f"{prefix}{number}.", item)


def keeping_secrets(new: Settings, stored: Settings) -> dict[str, Any]:
    """`new` with the secrets of `stored` that it does not mention; null removes a setting."""
    result = {
        key: _kept(value, stored.get(key))
        for key, value in new.items()
        if value is not None and not (is_secret(key) and value == "")
    }
    missing = {key: value for key, value in stored.items() if is_secret(key) and key not in new}
    return result | missing


def _kept(value: Any, stored: Any) -> Any:
    if isinstance(value, Mapping):
        return keeping_secrets(cast("Settings", value), stored if _is_object(stored) else {})
    if not isinstance(value, list):
        return value
    known = [entry for entry in stored if _is_object(entry)] if isinstance(stored, list) else []
    return [_kept(item, _same_pool(item, known)) for item in cast("list[Any]", value)]


def _same_pool(pool: Any, known: list[Any]) -> Any:
    """The stored entry with this URL; each is found once."""
    for number, entry in enumerate(known):
        if _is_object(pool) and pool.get("url") is not None and pool["url"] == entry.get("url"):
            return known.pop(number)
    return None


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and SEALED not in cast("Settings", value)


def without_users(settings: Settings) -> dict[str, Any]:
    """What of a preset is merged into a device: all but whose shares they are."""
    kept = {key: value for key, value in settings.items() if key not in USERS}
    if isinstance(kept.get("pools"), list):
        kept["pools"] = [_without_user(pool) for pool in kept["pools"]]
    return kept


def _without_user(pool: Any) -> Any:
    return {k: v for k, v in pool.items() if k != "user"} if _is_object(pool) else pool
