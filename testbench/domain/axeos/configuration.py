"""Which settings a firmware takes, ignores or needs a restart for, and what became of them.

`PATCH /api/system` answers 200 with an empty body also to what it ignores: only reading back
tells. Since 2.11 one bad value refuses all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from testbench.domain.axeos.readings import flag_of, number_of
from testbench.domain.axeos.texts import is_secret, without_secrets
from testbench.domain.axeos.versions import Version, version_of

Type = Literal["text", "number", "flag", "list"]
Standing = Literal["same", "differs", "ignored", "not_reported", "write_only"]


@dataclass(frozen=True)
class Setting:
    """One configuration key: in which firmware it counts, what it may hold, when it acts."""

    key: str
    type: Type
    low: float | None = None
    """Smallest number, or fewest characters."""
    high: float | None = None
    since: Version | None = None
    until: Version | None = None
    """The first firmware that ignores it."""
    restart: bool = False
    """It acts only after a restart."""
    instead: str | None = None
    """The key that counts where this one is ignored."""

    def counts(self, version: Version | None) -> bool:
        """Whether this firmware takes it; of an unknown one nothing is known."""
        if version is None or version < (2, 0, 0):
            return True
        return (self.since is None or version >= self.since) and (
            self.until is None or version < self.until
        )


def _pool_settings(prefix: str) -> tuple[Setting, ...]:
    end: Version = (2, 15, 0)
    return (
        Setting(f"{prefix}URL", "text", until=end, restart=True, instead="pools"),
        Setting(f"{prefix}Port", "number", 0, 65535, until=end, restart=True, instead="pools"),
        Setting(f"{prefix}User", "text", until=end, restart=True, instead="pools"),
        Setting(f"{prefix}Password", "text", until=end, restart=True, instead="pools"),
    )


SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting("hostname", "text", 1, 32),
        Setting("frequency", "number", 1, 65535),
        Setting("coreVoltage", "number", 1, 65535),
        Setting("overclockEnabled", "flag"),
        Setting("autofanspeed", "flag"),
        Setting("fanspeed", "number", 0, 100, until=(2, 11, 0), instead="manualFanSpeed"),
        Setting("manualFanSpeed", "number", 0, 100, since=(2, 11, 0), instead="fanspeed"),
        Setting("minFanSpeed", "number", 0, 99),
        Setting("temptarget", "number", 35, 66),
        Setting("overheat_mode", "flag"),
        *_pool_settings("stratum"),
        *_pool_settings("fallbackStratum"),
        Setting("pools", "list", since=(2, 15, 0), restart=True, instead="stratumURL"),
        Setting("ssid", "text", 1, 32, restart=True),
        Setting("wifiPass", "text", 0, 63, restart=True),
        Setting("display", "text", restart=True),
        Setting("rotation", "number", 0, 270),
        Setting("invertscreen", "flag"),
        Setting("displayTimeout", "number", -1, 65535),
        Setting("statsFrequency", "number", 0, 65535),
    )
}


@dataclass(frozen=True)
class Plan:
    """What to send to a device, what it would ignore, and whether it must restart after."""

    send: dict[str, Any] = field(default_factory=dict[str, Any])
    ignored: list[str] = field(default_factory=list[str])
    restart: bool = False


def plan(version: str | None, wanted: Mapping[str, Any]) -> Plan:
    """Sort `wanted` for this firmware; keys that no table knows are sent, reading back tells."""
    known = version_of(version)
    ignored = [key for key in wanted if key in SETTINGS and not SETTINGS[key].counts(known)]
    send = {key: value for key, value in wanted.items() if key not in ignored}
    return Plan(send, ignored, restart=any(needs_restart(key) for key in send))


def needs_restart(key: str) -> bool:
    """Whether a change of this key acts only after a restart (pools and Wi-Fi do)."""
    setting = SETTINGS.get(key)
    return setting.restart if setting else key.startswith(("stratum", "fallbackStratum"))


def why_ignored(version: str | None, key: str) -> str | None:
    """A sentence for people; None where this firmware takes the key, as far as is known."""
    setting = SETTINGS.get(key)
    if setting is None or setting.counts(version_of(version)):
        return None
    hint = f"; {setting.instead} counts" if setting.instead else ""
    return f"ignored by this firmware{hint}"


def fault_of(key: str, value: object) -> str | None:
    """Why a device would refuse this value (and since 2.11 all that came with it); None if not."""
    setting = SETTINGS.get(key)
    if setting is None:
        return None
    fault = _type_fault(setting.type, value)
    if fault is not None or setting.low is None or setting.high is None:
        return fault
    text = isinstance(value, str)
    size = len(value.encode("utf-8", "replace")) if text else number_of(value)
    if size is None or setting.low <= size <= setting.high:
        return None
    of = " characters" if setting.type == "text" else ""
    return f"must be {setting.low:g} to {setting.high:g}{of}"


def _type_fault(kind: Type, value: object) -> str | None:
    if kind == "text":
        return None if isinstance(value, str) else "must be a string"
    if kind == "list":
        return None if isinstance(value, list) else "must be a list"
    if kind == "flag":
        return None if flag_of(value) is not None else "must be true or false"
    if isinstance(value, str) or number_of(value) is None:
        return "must be a number"
    return None


class Difference(NamedTuple):
    """One configured field beside what the device reports."""

    key: str
    desired: Any
    """None for a secret: it is never shown."""
    reported: Any
    standing: Standing
    """`write_only`: a device never reports a secret, so nobody can tell."""


def differences(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> list[Difference]:
    """Each desired field against `reported` (an answer's `info`, which names its version)."""
    version = version_of(reported.get("version"))
    shown, reported = without_secrets(desired), without_secrets(reported)
    return [_difference(key, shown.get(key), reported, version) for key in desired]


def _difference(
    key: str, desired: Any, reported: Mapping[str, Any], version: Version | None
) -> Difference:
    setting = SETTINGS.get(key)
    found = reported.get(key)
    if setting is not None and not setting.counts(version):
        return Difference(key, desired, found, "ignored")
    if is_secret(key):
        return Difference(key, None, None, "write_only")
    if key not in reported:
        return Difference(key, desired, None, "not_reported")
    return Difference(key, desired, found, "same" if equal(desired, found) else "differs")


def equal(desired: object, found: object) -> bool:
    """The same to a person: 1 is true, "600" is 600, and 600.1 survives single precision."""
    if isinstance(desired, bool) or isinstance(found, bool):
        return flag_of(desired) is not None and flag_of(desired) == flag_of(found)
    if isinstance(desired, Mapping) and isinstance(found, Mapping):
        return all(equal(value, found.get(key)) for key, value in desired.items())
    if isinstance(desired, list) and isinstance(found, list):
        return _equal_lists(desired, found)
    if isinstance(desired, str) and isinstance(found, str):
        return desired == found
    left, right = number_of(desired), number_of(found)
    if left is None or right is None:
        return desired == found
    return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6)


def _equal_lists(desired: Sequence[object], found: Sequence[object]) -> bool:
    return len(desired) <= len(found) and all(
        equal(left, right) for left, right in zip(desired, found, strict=False)
    )
