"""One emulated AxeOS device: what it knows, what a PATCH changes, what it writes to its log."""

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from testbench.launcher.emulator.chip import ASICS, Chip, Settings
from testbench.launcher.emulator.faults import Faults
from testbench.launcher.emulator.firmware import Firmware

MAX_CONTENT = 10_240
"""A longer body is answered `content too long`."""
SHARES_GH = 2**32 / 1e9
"""Gigahashes a share of difficulty 1 takes on average."""
REJECTED = 0.003


class Answer(NamedTuple):
    """What goes back over HTTP."""

    status: int
    body: bytes = b""
    kind: str = "text/html"
    location: str = ""


class Device:
    """A device by firmware; `clock` (seconds) may run faster than the world's."""

    def __init__(
        self,
        firmware: Firmware,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.firmware = firmware
        self.faults = Faults()
        self.patches: list[dict[str, Any]] = []
        """Each PATCH that was understood, as it came."""
        self.restarts = 0
        self.polls = 0
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 (made-up figures)
        self._clock = clock
        self._asic = ASICS[firmware.asic]
        self.mac = _mac(seed)
        self.settings = _defaults(firmware, seed)
        self.ip = "127.0.0.1"
        self._boot()

    # --- what it does -----------------------------------------------------------------------------

    def restart(self) -> None:
        """Everything that is counted begins anew; settings that waited for it act now."""
        self.restarts += 1
        self._boot()

    def reset(self) -> None:
        """As it came from the factory: no fault, no setting, no count."""
        self.faults = Faults()
        self.settings = _defaults(self.firmware, self._seed)
        self._boot()

    def info(self) -> dict[str, Any]:
        """`GET /api/system/info` of now."""
        self.polls += 1
        self._advance()
        info = self.firmware.show(self._everything())
        if self.faults.changing_mac:
            info["macAddr"] = _mac(self._random.randrange(1 << 20, 1 << 24))
        return _mistyped(info) if self.faults.wrong_types else info

    def patch(self, body: bytes) -> Answer:
        """`PATCH /api/system`: 200 and an empty body, also where it ignores what it was sent."""
        if len(body) >= MAX_CONTENT:
            return Answer(500, b"content too long")
        try:
            changes = json.loads(body)
        except (ValueError, RecursionError):
            return Answer(400, b"Invalid JSON")
        if not isinstance(changes, dict):
            return Answer(200)
        self._advance()
        self.patches.append(changes)
        taken = {key: value for key, value in changes.items() if not self.firmware.ignores(key)}
        faulty = {key for key, value in taken.items() if self.firmware.fault(key, value)}
        if faulty and self.firmware.refuses_all:
            return Answer(400, b"Wrong API input")
        self._take({key: value for key, value in taken.items() if key not in faulty})
        return Answer(200)

    def restart_answer(self) -> Answer:
        """`POST /api/system/restart`, before it goes away."""
        if self.firmware.restarts_in_json:
            body = json.dumps({"message": "System will restart shortly."}).encode()
            return Answer(200, body, "application/json")
        return Answer(200, b"System will restart shortly.")

    def log(self) -> Iterator[str]:
        """Lines without end, as the serial console has them: colours, and text beyond ASCII."""
        while True:
            self._advance()
            ms = round(self._age * 1000)
            rate = self._rate()
            temp = self.chip.shown_temp()
            yield f"\x1b[0;32m₿ ({ms}) power_management: {temp:.1f} °C, {rate:.1f} GH/s\x1b[0m"
            yield f"\x1b[0;32m₿ ({ms}) stratum_task: rx: mining.notify from {self.mining_at}\x1b[0m"
            if self.chip.overheated:
                yield f"\x1b[0;31mE ({ms}) power_management: OVERHEAT at {temp:.1f} °C\x1b[0m"
            share = self._random.randrange(16**8)
            yield f"\x1b[0;32m₿ ({ms}) asic_result: Nonce {share:08X} diff {share % 4096}\x1b[0m"

    # --- what it is -------------------------------------------------------------------------------

    def _boot(self) -> None:
        self.chip = Chip(self._asic, self._seed)
        self._started = self._seen = self._clock()
        self.mining_at = self._pools()[0]["url"]

    @property
    def _age(self) -> float:
        return self._seen - self._started

    def _advance(self) -> None:
        now = self._clock()
        self.chip.advance(now - self._seen, self._knobs())
        self._seen = now
        if self.chip.overheated and not self.settings["overheat_mode"]:
            self.settings |= {
                "overheat_mode": True,
                "frequency": 50.0,
                "coreVoltage": 1000,
                "autofanspeed": False,
                "fanspeed": 100,
                "manualFanSpeed": 100,
            }

    def _knobs(self) -> Settings:
        s = self.settings
        fan = s["manualFanSpeed"] if self.firmware.ignores("fanspeed") else s["fanspeed"]
        return Settings(
            frequency=float(s["frequency"]),
            core_voltage=int(s["coreVoltage"]),
            auto_fan=bool(s["autofanspeed"]),
            manual_fan=float(fan),
            min_fan=float(s["minFanSpeed"]),
            temp_target=float(s["temptarget"]),
        )

    def _take(self, changes: dict[str, Any]) -> None:
        pools = changes.pop("pools", None)
        if pools is not None:
            self._take_pools(pools)
        if changes.get("overheat_mode") in (0, False):
            self.chip.overheated = False
        self.settings |= changes

    def _take_pools(self, pools: list[Any]) -> None:
        kept = self._pools()
        for number, pool in enumerate(pools[:2]):
            if isinstance(pool, dict):
                changed = {k: v for k, v in pool.items() if k in kept[number] and v != "*****"}
                kept[number] |= changed
        self.settings["pools"] = kept

    def _pools(self) -> list[dict[str, Any]]:
        if not self.firmware.ignores("pools"):
            return [dict(pool) for pool in self.settings["pools"]]
        s = self.settings
        return [
            {"url": s[f"{p}URL"], "port": s[f"{p}Port"], "user": s[f"{p}User"], "password": "x"}
            for p in ("stratum", "fallbackStratum")
        ]

    def _rate(self) -> float:
        return self.chip.hashrate(self._knobs()) * self.firmware.asics

    def _shares(self) -> float:
        hashes = self.chip.hashes * self.firmware.asics
        return hashes / (SHARES_GH * self.settings["difficulty"])

    def _everything(self) -> dict[str, Callable[[], Any]]:
        knobs = self._knobs()
        return {
            **{key: (lambda value=value: value) for key, value in self._reported().items()},
            **self._power(knobs),
            **self._mining(knobs),
        }

    def _reported(self) -> dict[str, Any]:
        """What was set, and what never changes."""
        s, firmware, asic = self.settings, self.firmware, self._asic
        first, fallback = self._pools()
        return {
            **{key: value for key, value in s.items() if key not in ("difficulty", "pools")},
            **{"stratumURL": first["url"], "stratumPort": first["port"]},
            **{"fallbackStratumURL": fallback["url"], "fallbackStratumPort": fallback["port"]},
            **{"stratumUser": first["user"], "fallbackStratumUser": fallback["user"]},
            "pools": [pool | {"password": "*****"} for pool in (first, fallback)],
            "macAddr": self.mac.upper().replace(":", "-" if self._seed % 3 == 2 else ":"),
            "version": firmware.shown_version,
            "axeOSVersion": firmware.shown_version,
            "ASICModel": asic.model,
            "boardVersion": asic.board,
            "smallCoreCount": asic.cores,
            "asicCount": firmware.asics,
            "deviceModel": "NerdQAxe++",
            "hostip": self.ip,
            "ipv4": self.ip,
            "stratumProtocol": 0,
            "maxPower": asic.max_watts,
            "nominalVoltage": 5,
            "idfVersion": "v5.5.1",
            "runningPartition": "ota_1",
            "resetReason": "Software reset via esp_restart"
            if self.restarts
            else "Reset due to power-on event",
            "wifiStatus": "Connected!",
            "wifiRSSI": -40 - self._seed % 30,
            "freeHeap": 8_165_372,
            "freeHeapInternal": 103_467,
            "freeHeapSpiram": 8_093_876,
            "isPSRAMAvailable": True,
            "apEnabled": False,
            "isUsingFallbackStratum": False,
            "miningPaused": False,
            "sharesRejectedReasons": [],
            "poolDifficulty": s["difficulty"],
            "stratumDiff": s["difficulty"],
            "temp2": -1,
            "fan2rpm": 0,
        }

    def _power(self, knobs: Settings) -> dict[str, Callable[[], Any]]:
        chip = self.chip
        volts = 12.0 if self.firmware.nerdqaxe else 5.0
        watts = _rounded(chip.power(knobs) * self.firmware.asics)
        # The current is measured at the core on a BM1370: voltage × current is not the power.
        at_core = self._asic.model == "BM1370" and not self.firmware.nerdqaxe
        amps = watts / (knobs.core_voltage / 1000 if at_core else volts)
        rpm = round(70 * chip.fan) if chip.fan else 0
        return {
            "power": lambda: watts,
            "voltage": lambda: _rounded(volts * 1000 * (1 + watts / 5000)),
            "current": lambda: _rounded(amps * 1000),
            "currentA": lambda: _rounded(amps),
            "coreVoltageActual": lambda: round(knobs.core_voltage * 0.996),
            "temp": lambda: round(chip.shown_temp() * 8) / 8,
            "vrTemp": lambda: round(chip.shown_temp() + 7),
            "fanspeed": lambda: _rounded(chip.fan),
            "fanrpm": lambda: rpm,
            "fanSpeedRpm": lambda: rpm,
            "fanrpm2": lambda: rpm,
        }

    def _mining(self, knobs: Settings) -> dict[str, Callable[[], Any]]:
        rate = self._rate()
        shares = self._shares()
        best = self.settings["difficulty"] * (1 + shares) * (1 + self._seed % 7)
        asics = [{"total": _rounded(rate), "domains": [_rounded(rate / 4)] * 4, "errorCount": 0}]
        uptime = int(self._age)
        return {
            "hashRate": lambda: _rounded(rate),
            "hashRate_1m": lambda: _rounded(rate * 0.998),
            "hashRate_10m": lambda: _rounded(rate * 0.997),
            "hashRate_1h": lambda: _rounded(rate * 0.996),
            "expectedHashrate": lambda: _rounded(self.chip.expected(knobs) * self.firmware.asics),
            "errorPercentage": lambda: _rounded(self.chip.error_percentage(knobs)),
            "hashrateMonitor": lambda: {"asics": asics},
            "sharesAccepted": lambda: int(shares * (1 - REJECTED)),
            "sharesRejected": lambda: int(shares * REJECTED),
            "bestDiff": lambda: best * 10,
            "bestSessionDiff": lambda: best,
            "uptimeSeconds": lambda: uptime,
            "responseTime": lambda: _rounded(140 + 10 * (self._seed % 5)),
            # Known once the first block template has come.
            **({"blockHeight": lambda: 931_037 + uptime // 600} if uptime >= 5 else {}),
            **({"networkDifficulty": lambda: 148_258_433_855_481} if uptime >= 5 else {}),
        }


def _defaults(firmware: Firmware, seed: int) -> dict[str, Any]:
    asic = ASICS[firmware.asic]
    user = "bc1qexampleexampleexampleexampleexample.bench"
    pools = [("test.hydrapool.org", 3333), ("solo.ckpool.org", 3333)]
    return {
        "hostname": f"{'nerdqaxe' if firmware.nerdqaxe else 'bitaxe'}_{seed & 0xFFFF:04X}",
        "ssid": "LabWiFi",
        "wifiPass": "lab-wifi-pass",
        "frequency": asic.frequency,
        "coreVoltage": asic.core_voltage,
        "overclockEnabled": False,
        "overheat_mode": False,
        "autofanspeed": True,
        "fanspeed": 100,
        "manualFanSpeed": 100,
        "minFanSpeed": 25,
        "temptarget": 60,
        "display": "SSD1306 (128x32)",
        "rotation": 0,
        "invertscreen": False,
        "flipscreen": 1,
        "invertfanpolarity": 1,
        "displayTimeout": -1,
        "statsFrequency": 0,
        "difficulty": 1000,
        **{"stratumURL": pools[0][0], "stratumPort": pools[0][1], "stratumUser": user},
        **{"fallbackStratumURL": pools[1][0], "fallbackStratumPort": pools[1][1]},
        "fallbackStratumUser": user,
        "pools": [{"url": u, "port": p, "user": user, "password": "x"} for u, p in pools],
    }


def _mac(seed: int) -> str:
    """In a range of locally administered addresses."""
    digits = f"{0xC0FA38 if seed < 1 << 20 else 0xC2FA38:06x}{seed & 0xFFFFFF:06x}"
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _rounded(number: float) -> float:
    return round(number, 7)


def _mistyped(info: dict[str, Any]) -> dict[str, Any]:
    wrong: list[Any] = ["a lot", [1, 2], None, {"value": 3}, True]
    kept = ("ASICModel", "macAddr", "version")
    changed: dict[str, Any] = {}
    for number, (key, value) in enumerate(info.items()):
        changed[key] = value if key in kept else wrong[number % len(wrong)]
    return changed | {"hostname": 12}
