"""`GET /api/system/info` by description tables: which field is which metric, in which unit."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from testbench.domain.axeos.texts import name_of, without_secrets
from testbench.domain.axeos.versions import Family, family_of
from testbench.domain.devices import normal_mac
from testbench.domain.errors import BadGateway, Invalid

Value = float | bool
Metrics = dict[str, tuple[Value, str]]

MAX_DIGITS = 64
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_NUMBER = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)\s*([kMGTPE]?)\s*"
)


def number_of(value: object) -> float | None:
    """A finite number, also one written as text (`"4.29G"` → 4.29e9); None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value) if len(value) <= MAX_DIGITS else None
        number = float(found[1]) * _PREFIX[found[2].lower()] if found else math.nan
    elif isinstance(value, int | float) and abs(value) < 1e300:
        number = float(value)
    else:
        return None
    return number if math.isfinite(number) else None


def sensor_of(value: object) -> float | None:
    """A measured number; -1 says that there is no such sensor."""
    number = number_of(value)
    return None if number == -1 else number


def flag_of(value: object) -> bool | None:
    """True or false; integers until firmware 2.13, bools from 2.14."""
    if isinstance(value, bool):
        return value
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


@dataclass(frozen=True)
class Described:
    """One metric: the fields it may come in (the first one present counts) and how it is read."""

    metric: str
    unit: str
    fields: tuple[str, ...]
    scale: float = 1.0
    value_fn: Callable[[object], Value | None] = number_of

    def read(self, info: Mapping[str, object]) -> Value | None:
        """Its value in `unit`, or None where the device has none."""
        for name in self.fields:
            value = self.value_fn(info.get(name))
            if value is not None:
                return value if isinstance(value, bool) else value * self.scale
        return None


COMMON = (
    Described("power", "W", ("power",), value_fn=sensor_of),
    Described("voltage", "V", ("voltage",), 0.001, sensor_of),
    Described("temp", "°C", ("temp",), value_fn=sensor_of),
    Described("temp2", "°C", ("temp2",), value_fn=sensor_of),
    Described("vr_temp", "°C", ("vrTemp",), value_fn=sensor_of),
    Described("hashrate", "GH/s", ("hashRate",)),
    Described("hashrate_1m", "GH/s", ("hashRate_1m",)),
    Described("hashrate_10m", "GH/s", ("hashRate_10m",)),
    Described("hashrate_1h", "GH/s", ("hashRate_1h",)),
    Described("expected_hashrate", "GH/s", ("expectedHashrate",)),
    Described("error_percentage", "%", ("errorPercentage",)),
    Described("frequency", "MHz", ("frequency",)),
    Described("core_voltage", "V", ("coreVoltage",), 0.001),
    Described("core_voltage_actual", "V", ("coreVoltageActual",), 0.001, sensor_of),
    Described("fan_speed", "%", ("fanspeed", "fanSpeed"), value_fn=sensor_of),
    Described("shares_accepted", "", ("sharesAccepted",)),
    Described("shares_rejected", "", ("sharesRejected",)),
    Described("best_diff", "", ("bestDiff",)),
    Described("best_session_diff", "", ("bestSessionDiff",)),
    Described("pool_difficulty", "", ("poolDifficulty", "stratumDiff")),
    Described("block_height", "", ("blockHeight",)),
    Described("response_time", "ms", ("responseTime",)),
    Described("uptime", "s", ("uptimeSeconds",)),
    Described("free_heap", "B", ("freeHeap",)),
    Described("wifi_rssi", "dBm", ("wifiRSSI",)),
    Described("overheat_mode", "", ("overheat_mode",), value_fn=flag_of),
    Described("using_fallback_pool", "", ("isUsingFallbackStratum",), value_fn=flag_of),
)
TABLES: dict[Family, tuple[Described, ...]] = {
    "axeos": (
        *COMMON,
        Described("current", "A", ("current",), 0.001, sensor_of),
        # `fanSpeedRpm` until 2.1.8.
        Described("fan_rpm", "rpm", ("fanrpm", "fanSpeedRpm"), value_fn=sensor_of),
        Described("fan2_rpm", "rpm", ("fan2rpm",), value_fn=sensor_of),
        # From 2.14.
        Described("mining_paused", "", ("miningPaused",), value_fn=flag_of),
    ),
    "nerdqaxe": (
        *COMMON,
        Described("current", "A", ("currentA",), 1.0, sensor_of),
        Described("fan_rpm", "rpm", ("fanrpm",), value_fn=sensor_of),
        Described("fan2_rpm", "rpm", ("fanrpm2",), value_fn=sensor_of),
    ),
}

UNITS: dict[str, str] = {
    **{row.metric: row.unit for table in TABLES.values() for row in table},
    "efficiency": "J/TH",
}
"""Every metric a device of this kind may have, with its unit."""


class Pool(NamedTuple):
    """Where a device mines."""

    url: str | None
    port: int | None


@dataclass(frozen=True)
class Parsed:
    """One answer, understood."""

    mac: str | None
    """Normalised; None if the device did not give one that is valid."""
    hostname: str | None
    model: str
    version: str | None
    family: Family
    pool: Pool
    metrics: Metrics = field(default_factory=dict[str, tuple[Value, str]])
    """Name → (value, unit); what the device does not have is left out, zeros are kept."""
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    """The answer without secrets; unknown fields are kept."""


def reading_of(info: object) -> Parsed:
    """Understand an answer of `GET /api/system/info`; BadGateway if it is no AxeOS device's."""
    if not isinstance(info, dict) or name_of(info.get("ASICModel")) is None:
        raise BadGateway("The answer is not an AxeOS device's: it names no ASICModel.")
    family = family_of(info)
    kept = without_secrets(info)
    return Parsed(
        mac=_mac(info.get("macAddr")),
        hostname=name_of(info.get("hostname")),
        model=name_of(info.get("deviceModel")) or name_of(info["ASICModel"]) or "",
        version=name_of(info.get("version")),
        family=family,
        pool=pool_of(kept),
        metrics=_metrics(family, info),
        info=kept,
    )


def _metrics(family: Family, info: Mapping[str, object]) -> Metrics:
    found = {row.metric: (row.read(info), row.unit) for row in TABLES[family]}
    metrics = {name: (value, unit) for name, (value, unit) in found.items() if value is not None}
    if family == "nerdqaxe" and "current" not in metrics:
        _derive(metrics, "current", _scaled(sensor_of(info.get("current")), 0.001))
    if "expected_hashrate" not in metrics:
        _derive(metrics, "expected_hashrate", _expected_hashrate(info))
    _derive(metrics, "efficiency", _efficiency(metrics))
    return metrics


def _derive(metrics: Metrics, name: str, value: float | None) -> None:
    if value is not None:
        metrics[name] = (value, UNITS[name])


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _expected_hashrate(info: Mapping[str, object]) -> float | None:
    """GH/s: every small core tries one hash a cycle. Older firmware leaves the sum to us."""
    frequency, cores = number_of(info.get("frequency")), number_of(info.get("smallCoreCount"))
    if frequency is None or cores is None:
        return None
    return frequency * cores * (number_of(info.get("asicCount")) or 1.0) / 1000


def _efficiency(metrics: Metrics) -> float | None:
    """Joules a terahash: watts / (gigahashes a second / 1000); none without any hashes."""
    power, hashrate = metrics.get("power"), metrics.get("hashrate")
    if power is None or hashrate is None or hashrate[0] <= 0:
        return None
    return power[0] / (hashrate[0] / 1000)


def _mac(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return normal_mac(value)
    except Invalid:
        return None


def pool_of(info: Mapping[str, Any]) -> Pool:
    """The pool in use: from 2.15 a list holds what single fields held before."""
    listed = info.get("pools")
    fallback = flag_of(info.get("isUsingFallbackStratum")) is True
    if isinstance(listed, list) and len(listed) > fallback:
        pool = listed[fallback]
        found = (pool.get("url"), pool.get("port")) if isinstance(pool, dict) else (None, None)
    elif fallback:
        found = info.get("fallbackStratumURL"), info.get("fallbackStratumPort")
    else:
        found = info.get("stratumURL"), info.get("stratumPort")
    port = number_of(found[1])
    return Pool(name_of(found[0]), int(port) if port is not None else None)
