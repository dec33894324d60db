"""Metrics as people read them, those that say most first; a device's own keep their names."""

from collections.abc import Mapping
from typing import Any

LABELS: dict[str, str] = {
    "hashrate": "Hashrate",
    "temp": "Temperature",
    "temperature": "Temperature",
    "power": "Power",
    "efficiency": "Efficiency",
    "humidity": "Humidity",
    "pressure": "Pressure",
    "fan_rpm": "Fan",
    "frequency": "Frequency",
    "hashrate_1m": "Hashrate, 1 min",
    "hashrate_10m": "Hashrate, 10 min",
    "hashrate_1h": "Hashrate, 1 h",
    "expected_hashrate": "Hashrate expected",
    "error_percentage": "Hash errors",
    "temp2": "Second temperature",
    "vr_temp": "Regulator temperature",
    "fan_speed": "Fan power",
    "fan2_rpm": "Second fan",
    "voltage": "Voltage",
    "current": "Current",
    "core_voltage": "Core voltage, set",
    "core_voltage_actual": "Core voltage, measured",
    "shares_accepted": "Shares accepted",
    "shares_rejected": "Shares rejected",
    "best_diff": "Best difficulty",
    "best_session_diff": "Best of this session",
    "pool_difficulty": "Pool difficulty",
    "response_time": "Pool answers in",
    "using_fallback_pool": "Fallback pool in use",
    "block_height": "Block height",
    "wifi_rssi": "Wi-Fi signal",
    "free_heap": "Free memory",
    "overheat_mode": "Overheat mode",
    "mining_paused": "Mining paused",
    "uptime": "Uptime",
}
KEY_FIGURES = (
    *("temp", "temperature", "hashrate", "power", "efficiency", "humidity", "frequency"),
    *("fan_rpm", "voltage", "current", "pressure"),
)
"""Metrics that make good key figures, best first."""
_PLACES = {metric: place for place, metric in enumerate(LABELS)}


def label_of(metric: str) -> str:
    """How a metric is called; one that no table knows has its own name."""
    return LABELS.get(metric, metric)


def in_order(metrics: Mapping[str, Any]) -> list[str]:
    """Names in the order of the table; unknown ones last, by name."""
    return sorted(metrics, key=lambda metric: (_PLACES.get(metric, len(_PLACES)), metric))
