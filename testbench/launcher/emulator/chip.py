"""The physics of an emulated miner: what frequency, voltage and fan do to heat and hashes."""

import math
from dataclasses import dataclass
from typing import NamedTuple

AMBIENT = 25.0
HEATING_S = 20.0
"""Time constant: after that long, two thirds of a step in power show in the temperature."""
OVERHEAT = 75.0
STEP_S = 1.0
FAN_GAIN = 2.5
"""Percent of fan a second for each °C above the target."""


class Asic(NamedTuple):
    """A chip as the boards have it: at its defaults it is cool, fast and stable."""

    model: str
    board: str
    cores: int
    frequency: float
    core_voltage: int
    idle_watts: float
    watts: float
    """Per MHz and V², above idling."""
    stable_voltage: float
    """V that its default frequency needs."""
    max_watts: int


ASICS = {
    asic.model: asic
    for asic in (
        Asic("BM1366", "204", 894, 485, 1200, 2.0, 0.01417, 1.10, 40),
        Asic("BM1368", "401", 1276, 490, 1166, 2.0, 0.01500, 1.08, 40),
        Asic("BM1370", "601", 2040, 600, 1200, 3.0, 0.02396, 1.15, 40),
    )
}


@dataclass
class Settings:
    """What a person set."""

    frequency: float
    core_voltage: int
    auto_fan: bool = True
    manual_fan: float = 100.0
    min_fan: float = 25.0
    temp_target: float = 60.0


class Chip:
    """One chip since its last start; the same settings and times give the same figures."""

    def __init__(self, asic: Asic, seed: int) -> None:
        self.asic = asic
        self._seed = seed
        self.age = 0.0
        """Seconds since it was started."""
        self.temp = AMBIENT
        self.fan = 50.0
        self.hashes = 0.0
        """Gigahashes done since the start."""
        self.overheated = False

    def expected(self, settings: Settings) -> float:
        """GH/s by the book: each core one hash a cycle."""
        return settings.frequency * self.asic.cores / 1000

    def power(self, settings: Settings) -> float:
        """W at these settings."""
        volts = settings.core_voltage / 1000
        dynamic = self.asic.watts * settings.frequency * volts * volts
        return (self.asic.idle_watts + dynamic) * (1 + 0.01 * self._ripple(1))

    def hashrate(self, settings: Settings) -> float:
        """GH/s: ramps up in the first seconds; too little voltage costs hashes."""
        return (
            self.expected(settings)
            * self._stability(settings)
            * min(1.0, self.age / 5)
            * (1 + 0.008 * self._ripple(2))
        )

    def error_percentage(self, settings: Settings) -> float:
        """Share of wrong hashes."""
        return 100 * (1 - self._stability(settings)) + 0.2 + 0.05 * self._ripple(3)

    def shown_temp(self) -> float:
        """°C as the sensor reads it."""
        return self.temp + 0.3 * self._ripple(4)

    def advance(self, seconds: float, settings: Settings) -> None:
        """Let time go by; a long time is a warm chip, not a long loop."""
        left = min(seconds, 20 * HEATING_S)
        self.age += seconds - left
        self.hashes += self.hashrate(settings) * (seconds - left)
        while left > 1e-9:
            step = min(STEP_S, left)
            self._step(step, settings)
            left -= step

    def _step(self, seconds: float, settings: Settings) -> None:
        self.age += seconds
        self.hashes += self.hashrate(settings) * seconds
        self._blow(seconds, settings)
        still = AMBIENT + self.power(settings) * self._resistance()
        self.temp += (still - self.temp) * (1 - math.exp(-seconds / HEATING_S))
        self.overheated = self.overheated or self.temp >= OVERHEAT

    def _blow(self, seconds: float, settings: Settings) -> None:
        if not settings.auto_fan:
            self.fan = settings.manual_fan
            return
        wanted = self.fan + FAN_GAIN * seconds * (self.temp - settings.temp_target) / 10
        self.fan = max(settings.min_fan, min(100.0, wanted))

    def _resistance(self) -> float:
        """K/W: what a faster fan makes less."""
        return 1.25 + 0.68 * (1 - self.fan / 100) ** 2

    def _stability(self, settings: Settings) -> float:
        over = settings.frequency / self.asic.frequency - 1
        need = self.asic.stable_voltage * (1 + 0.65 * over)
        lacking = max(0.0, 1 - settings.core_voltage / 1000 / need)
        return max(0.0, 1 - 3 * lacking)

    def _ripple(self, which: int) -> float:
        """Between −1 and 1, a smooth noise of its own for each device and figure."""
        phase = self._seed * 1.7 + which * 2.3
        t = self.age
        return 0.6 * math.sin(t / 7.1 + phase) + 0.4 * math.sin(t / 2.3 + 2 * phase)
