"""What the demo fleet measures: smooth, repeatable signals of time, one odd device among them."""

import math
from dataclasses import dataclass

UNITS = {"temp": "°C", "humidity": "%", "power": "W", "fan_rpm": "rpm", "uptime": "s"}


@dataclass(frozen=True)
class Profile:
    """A simulated device: where its signals lie, and whether it overheats now and then."""

    name: str
    tags: tuple[str, ...]
    temp: float
    power: float
    overheats: bool = False


FLEET = (
    Profile("demo-gateway-01", ("demo", "gateway"), 24.0, 4.2),
    Profile("demo-gateway-02", ("demo", "gateway"), 25.5, 4.4),
    Profile("demo-sensor-01", ("demo", "sensor"), 21.8, 0.9),
    Profile("demo-sensor-02", ("demo", "sensor"), 22.4, 0.9),
    Profile("demo-controller-01", ("demo", "controller"), 31.0, 12.5),
    Profile("demo-controller-02", ("demo", "controller"), 32.5, 12.8, overheats=True),
)
MINERS = (
    *("2.4.5", "2.10.0", "2.11.0", "2.12.0", "2.13.0", "2.14.0", "2.15.0"),
    "nerdqaxe-1.0.30",
)
"""Firmware of the emulated AxeOS devices that a newcomer can discover."""
MINER_SEED = 0x0DE300
MINER_MACS = tuple(f"c0:fa:38:0d:e3:{number:02x}" for number in range(len(MINERS)))
"""The same at every start, and in every demo: no device of a lab has them."""
_DAY_S = 86_400.0
_HEAT_EVERY_S = 1800.0
_HEAT_FOR_S = 240.0


def _ripple(t: float, seed: int) -> float:
    """Between −1 and 1, never quite the same twice in an hour."""
    return 0.6 * math.sin(t / 37 + seed) + 0.3 * math.sin(t / 11.3 + 2 * seed) + 0.1 * math.sin(t)


def measure(profile: Profile, t: float) -> dict[str, float]:
    """The metrics of `UNITS` at `t` seconds since 1970."""
    seed = FLEET.index(profile)
    day = math.sin(2 * math.pi * t / _DAY_S)
    heat = 0.0
    if profile.overheats and t % _HEAT_EVERY_S < _HEAT_FOR_S:
        heat = 9.0 * math.sin(math.pi * (t % _HEAT_EVERY_S) / _HEAT_FOR_S)
    temp = profile.temp + 1.2 * day + 0.5 * _ripple(t, seed) + heat
    return {
        "temp": round(temp, 2),
        "humidity": round(46 - 4 * day + 1.5 * _ripple(t * 0.7, seed + 3), 1),
        "power": round(profile.power * (1 + 0.04 * _ripple(t * 1.3, seed + 5)) + heat * 0.15, 3),
        "fan_rpm": round(1200 + 60 * max(0.0, temp - 22) + 25 * _ripple(t * 2, seed)),
        "uptime": float(int(t) % 604_800),
    }
