"""Settings as people read them: a name, a unit, what they are for; pools as fields of their own."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from testbench.domain.axeos.configuration import SETTINGS, Setting, why_ignored
from testbench.domain.axeos.texts import is_secret

MAX_SHOWN = 200
POOLS = 2
"""A device has a pool and a fallback."""


class Words(NamedTuple):
    """How one setting is called."""

    label: str
    unit: str = ""
    group: str = "Other"
    help: str = ""


def _pool(prefix: str, which: str) -> dict[str, Words]:
    return {
        f"{prefix}URL": Words(f"{which} address", group="Pools"),
        f"{prefix}Port": Words(f"{which} port", group="Pools"),
        f"{prefix}User": Words(f"{which} user", group="Pools"),
        f"{prefix}Password": Words(f"{which} password", group="Pools"),
    }


WORDS: dict[str, Words] = {
    "frequency": Words("Frequency", "MHz", "Chip"),
    "coreVoltage": Words("Core voltage", "mV", "Chip"),
    "overclockEnabled": Words("Overclocking", group="Chip"),
    "autofanspeed": Words("Automatic fan", group="Cooling", help="Follows the target temperature."),
    "manualFanSpeed": Words("Manual fan speed", "%", "Cooling", "Where the fan is not automatic."),
    "fanspeed": Words("Fan speed", "%", "Cooling"),
    "minFanSpeed": Words("Lowest fan speed", "%", "Cooling"),
    "temptarget": Words("Target temperature", "°C", "Cooling"),
    "overheat_mode": Words("Overheat mode", group="Cooling", help="Off lets it mine again."),
    **_pool("stratum", "Pool"),
    **_pool("fallbackStratum", "Fallback pool"),
    "pools": Words("Pools", group="Pools"),
    "hostname": Words("Host name", group="Network"),
    "ssid": Words("Wi-Fi name", group="Network"),
    "wifiPass": Words("Wi-Fi password", group="Network"),
    "display": Words("Display", group="Display"),
    "rotation": Words("Rotation", "°", "Display"),
    "invertscreen": Words("Inverted screen", group="Display"),
    "displayTimeout": Words("Display goes dark after", "min", "Display", "-1: never."),
    "statsFrequency": Words("Statistics every", "s", "Display", "0: none are kept."),
}
GROUPS = ("Chip", "Cooling", "Pools", "Network", "Display", "Other")


def words_of(key: str) -> Words:
    """How a setting is called; one that no table knows has its key as its name."""
    if key in POOL_ALIASES:
        number, name = key.split("-")[1:]
        what = "address" if name == "url" else name
        return Words(f"Pool {int(number) + 1} {what}", group="Pools")
    return WORDS.get(key) or Words(key)


def setting_of(key: str) -> Setting | None:
    """What is known of a setting; a pool's field is like the one of old."""
    return SETTINGS.get(POOL_ALIASES.get(key, key))


def limits_of(key: str) -> str:
    """What a value must keep to, in words; empty if nothing is known."""
    setting, unit = setting_of(key), words_of(key).unit
    if setting is None or setting.low is None or setting.high is None or setting.type == "flag":
        return ""
    unit = " characters" if setting.type == "text" else f" {unit}" if unit else ""
    return f"{setting.low:g} to {setting.high:g}{unit}."


def shown_value(key: str, value: object) -> str:
    """A value with its unit, as a person reads it; a secret is never shown."""
    if value is None:
        return "–"
    if is_secret(key):
        return "hidden"
    setting, unit = SETTINGS.get(key), words_of(key).unit
    if (setting and setting.type == "flag" and value in (0, 1)) or isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "; ".join(_pool_text(item) for item in cast("list[object]", value)) or "none"
    if isinstance(value, float) and abs(value) < 1e6:
        value = f"{round(value, 2):g}"
    if key == "displayTimeout" and value == -1:
        return "never"
    text = str(value) if value != "" else "empty"
    text = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return f"{text} {unit}" if unit else text


def _pool_text(pool: object) -> str:
    if not isinstance(pool, Mapping):
        return str(pool)[:MAX_SHOWN]
    fields = cast("Mapping[str, Any]", pool)
    where = f"{fields.get('url', '')}:{fields.get('port', '')}".strip(":")
    text = " as ".join(part for part in (where, str(fields.get("user") or "")) if part)
    return text[:MAX_SHOWN] or "as it is"


def note_of(version: str | None, key: str) -> str:
    """Why this firmware does not take a setting, with the one that counts as it is called."""
    why, setting = why_ignored(version, key), SETTINGS.get(key)
    if why and setting and setting.instead:
        why = why.replace(setting.instead, f"“{words_of(setting.instead).label}”")
    return f"{why[:1].upper()}{why[1:]}." if why else ""


def in_order(keys: Mapping[str, Any]) -> list[str]:
    """Keys by group, in the order of the table; unknown ones last, by name."""
    known = list(WORDS)
    return sorted(keys, key=lambda key: (known.index(key) if key in WORDS else len(known), key))


# --- pools, one field each


def pool_key(number: int, name: str) -> str:
    """The name of a pool's field, where pools are taken apart."""
    return f"pools-{number}-{name}"


_POOL_FIELDS = {"url": "URL", "port": "Port", "user": "User", "password": "Password"}
POOL_ALIASES: dict[str, str] = {
    pool_key(number, name): f"{prefix}{suffix}"
    for number, prefix in enumerate(("stratum", "fallbackStratum"))
    for name, suffix in _POOL_FIELDS.items()
}
"""A pool's field (from firmware 2.15) and the setting of old that it stands for."""


def apart(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with `pools` taken apart: `pools-0-url`, `pools-0-port`, …"""
    flat = {key: value for key, value in settings.items() if key != "pools"}
    for number, pool in enumerate(_pools(settings)):
        for name in _POOL_FIELDS:
            if name in pool:
                flat[pool_key(number, name)] = pool[name]
    return flat


def together(flat: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """The opposite of `apart`: a changed pool's other fields are those reported; no secrets."""
    wanted = {key: value for key, value in flat.items() if key not in POOL_ALIASES}
    if len(wanted) < len(flat):
        known = apart(reported)
        wanted["pools"] = [
            {
                name: value
                for name in _POOL_FIELDS
                if (value := _pool_value(pool_key(number, name), flat, known)) is not None
            }
            for number in range(max(len(_pools(reported)), _named_pools(flat)))
        ]
    return wanted


def _pool_value(key: str, flat: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    return flat[key] if key in flat else None if is_secret(key) else known.get(key)


def _named_pools(flat: Mapping[str, Any]) -> int:
    return max((int(key.split("-")[1]) + 1 for key in flat if key in POOL_ALIASES), default=0)


def _pools(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    pools: object = settings.get("pools")
    found = cast("list[object]", pools)[:POOLS] if isinstance(pools, list) else []
    return [cast("Mapping[str, Any]", pool) if isinstance(pool, Mapping) else {} for pool in found]
