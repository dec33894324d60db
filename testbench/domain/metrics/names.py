"""What a metric is called in Prometheus: its own name, then its unit.

Metrics of AxeOS devices keep the few names that dashboards made elsewhere know (`EXPOSED_AS`):

| metric | unit | Prometheus |
|---|---|---|
| `power` | W | `power_watts` |
| `voltage` | V | `voltage_volts` |
| `current` | A | `current_amps` |
| `temp` | °C | `temperature_celsius` |
| `hashrate` | GH/s | `hashrate_ghs` |
| `shares_accepted` | – | `shares_accepted` |
| `shares_rejected` | – | `shares_rejected` |
| `efficiency` | J/TH | `efficiency` |
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from testbench.domain.axeos import UNITS

EXPOSED_AS = {"temp": "temperature_celsius", "efficiency": "efficiency"}
SUFFIXES: dict[str, tuple[str, float]] = {
    "W": ("watts", 1),
    "V": ("volts", 1),
    "mV": ("volts", 0.001),
    "A": ("amps", 1),
    "mA": ("amps", 0.001),
    "°C": ("celsius", 1),
    "GH/s": ("ghs", 1),
    "MHz": ("mhz", 1),
    "%": ("percent", 1),
    "rpm": ("rpm", 1),
    "ms": ("seconds", 0.001),
    "s": ("seconds", 1),
    "B": ("bytes", 1),
    "dBm": ("dbm", 1),
    "J/TH": ("joules_per_terahash", 1),
}
"""Unit → what a name ends with, and the scale: Prometheus has seconds, never milliseconds."""

DEVICE_UP = "testbench_device_up"
DEVICE_INFO = "testbench_device_info"
OWN = (
    "testbench_ingest_lag_seconds",
    "testbench_queue_depth",
    "testbench_outbox_age_seconds",
    "testbench_step_lateness_seconds",
    "testbench_parked_notifications",
    "testbench_dashboards_waiting",
    "testbench_database_up",
    "testbench_cache_up",
)
RESERVED = frozenset({DEVICE_UP, DEVICE_INFO, *OWN})
"""The bench's own names: no device's metric is given one of them."""
OVERVIEW: dict[str, str] = {
    "total_hardware": "Imprinted devices.",
    "hardware_online": "Imprinted devices that are online.",
    "hardware_offline": "Imprinted devices that are not.",
    "total_hashrate": "Sum of the online devices' hash rates, in GH/s.",
    "average_hashrate": "Mean of the online devices' hash rates, in GH/s.",
    "total_power_watts": "Sum of the online devices' power.",
    "firmware_version_distribution": "Imprinted devices by version of their firmware.",
    "shares_by_pool_accepted": "Accepted shares of the online devices, by pool.",
    "shares_by_pool_rejected": "Rejected shares of the online devices, by pool.",
}

_INVALID = re.compile(r"[^a-zA-Z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_A_GAUGES = ("_total", "_count", "_sum", "_bucket")


@dataclass(frozen=True, slots=True)
class Exposed:
    """A metric's name without any prefix, its factor, its type, and what it is in words."""

    name: str
    scale: float
    type: str
    help: str


@lru_cache(maxsize=20_000)
def exposed(metric: str, unit: str, *, axeos: bool = False) -> Exposed:
    """`voltage` in V → `voltage_volts`; what comes from an AxeOS device has a known unit."""
    unit = UNITS.get(metric, unit) if axeos else unit
    suffix, scale = SUFFIXES.get(unit, ("", 1))
    if metric in EXPOSED_AS and unit == UNITS[metric]:
        name = EXPOSED_AS[metric]
    else:
        name = snake(metric)
        name = f"{name}_{suffix}" if suffix and not f"_{name}".endswith(f"_{suffix}") else name
    # Those endings belong to counters and histograms, and a device's own names are what they are.
    kind = "untyped" if f"_{name}".endswith(_NOT_A_GAUGES) else "gauge"
    shown = f" in {unit}" if unit and scale == 1 else ""
    return Exposed(name, scale, kind, escaped(f"The reading {metric}{shown}."))


def snake(metric: str) -> str:
    """`fanSpeed (2)` → `fan_speed_2`: letters, digits and single underscores."""
    return _INVALID.sub("_", _CAMEL.sub("_", metric)).strip("_").lower() or "metric"


def escaped(text: str) -> str:
    """A HELP text in one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def label(value: str) -> str:
    """A label's value, as it stands between quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
