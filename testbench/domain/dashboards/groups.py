"""Which metrics share a panel, in which unit, and what their limits are."""

from collections.abc import Mapping
from dataclasses import dataclass

MAX_METRICS = 60
"""Of a device that tells its own: more make no dashboard."""

HOT_C, TOO_HOT_C = 65.0, 75.0
"""Where a miner's chip should stay below, and where its firmware throttles it."""

UNITS = {
    "W": "watt",
    "V": "volt",
    "A": "amp",
    "°C": "celsius",
    "GH/s": "GHs",
    "MHz": "rotmhz",
    "%": "percent",
    "rpm": "rotrpm",
    "ms": "ms",
    "s": "s",
    "B": "bytes",
    "dBm": "dBm",
    "J/TH": "suffix: J/TH",
    "": "short",
}
"""Unit → what Grafana calls it; others are shown as they are."""


@dataclass(frozen=True)
class Group:
    """A panel over time."""

    title: str
    unit: str
    metrics: tuple[str, ...]
    limits: tuple[float, float] | None = None
    """From where it is bad, and worse."""
    states: bool = False
    """True and false rather than numbers."""


@dataclass(frozen=True)
class Figure:
    """A panel with the newest value."""

    title: str
    unit: str
    metric: str
    limits: tuple[float, float] | None = None


AXEOS_FIGURES = (
    Figure("Hash rate", "GH/s", "hashrate"),
    Figure("Temperature", "°C", "temp", (HOT_C, TOO_HOT_C)),
    Figure("Power", "W", "power"),
    Figure("Efficiency", "J/TH", "efficiency"),
    Figure("Accepted shares", "", "shares_accepted"),
    Figure("Uptime", "s", "uptime"),
)
AXEOS = (
    Group(
        "Hash rate against expected",
        "GH/s",
        ("hashrate", "hashrate_10m", "hashrate_1h", "expected_hashrate"),
    ),
    Group("Temperature", "°C", ("temp", "temp2", "vr_temp"), (HOT_C, TOO_HOT_C)),
    Group("Power", "W", ("power",)),
    Group("Efficiency", "J/TH", ("efficiency",)),
    Group("Voltage", "V", ("voltage", "core_voltage", "core_voltage_actual")),
    Group("Current", "A", ("current",)),
    Group("Frequency", "MHz", ("frequency",)),
    Group("Fan", "rpm", ("fan_rpm", "fan2_rpm")),
    Group("Shares", "", ("shares_accepted", "shares_rejected")),
    Group("Errors", "%", ("error_percentage",)),
    Group("Pool: difficulty", "", ("pool_difficulty", "best_session_diff", "best_diff")),
    Group("Pool: response time", "ms", ("response_time",)),
    Group("Wi-Fi", "dBm", ("wifi_rssi",)),
    Group("Free memory", "B", ("free_heap",)),
    Group("States", "", ("overheat_mode", "mining_paused", "using_fallback_pool"), states=True),
)


def groups_of(metrics: Mapping[str, str]) -> tuple[Group, ...]:
    """Panels for a device's own metrics (name → unit): one for each, in the order of names."""
    named = sorted(metrics.items())[:MAX_METRICS]
    return tuple(Group(metric, unit, (metric,)) for metric, unit in named)
