"""What each firmware version shows, takes and ignores: written from observed devices.

Kept apart from `domain.axeos` on purpose, so that a mistake there is seen here.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

Version = tuple[int, int, int]

VERSIONS = ("2.0.4", "2.1.8", "2.4.5", "2.10.0", "2.11.0", "2.12.0", "2.13.0", "2.14.0", "2.15.0")
NERDQAXE = "nerdqaxe-1.0.30"
ALL = (*VERSIONS, NERDQAXE)
FIRST: Version = (0, 0, 0)
LAST: Version = (999, 0, 0)

_FIELDS = (
    # name, first and last minor release that show it
    ("power voltage current temp vrTemp hashRate bestDiff bestSessionDiff freeHeap coreVoltage "
     "coreVoltageActual frequency ssid macAddr hostname wifiStatus sharesAccepted sharesRejected "
     "uptimeSeconds ASICModel stratumURL stratumPort stratumUser version idfVersion boardVersion "
     "runningPartition overheat_mode invertscreen autofanspeed fanspeed smallCoreCount",
     FIRST, LAST),
    ("wifiPass", FIRST, (2, 0, 4)),
    ("fanSpeedRpm", FIRST, (2, 1, 8)),
    ("fanrpm", (2, 1, 9), LAST),
    ("flipscreen invertfanpolarity stratumDiff asicCount", FIRST, (2, 4, 999)),
    ("fallbackStratumURL fallbackStratumPort fallbackStratumUser isUsingFallbackStratum",
     (2, 3, 0), LAST),
    ("temp2 maxPower nominalVoltage expectedHashrate poolDifficulty isPSRAMAvailable wifiRSSI "
     "apEnabled sharesRejectedReasons overclockEnabled display rotation displayTimeout "
     "minFanSpeed temptarget statsFrequency resetReason", (2, 9, 0), LAST),
    ("manualFanSpeed responseTime", (2, 11, 0), LAST),
    ("hashRate_1m hashRate_10m hashRate_1h errorPercentage fan2rpm axeOSVersion hashrateMonitor "
     "freeHeapInternal freeHeapSpiram ipv4 blockHeight networkDifficulty", (2, 12, 0), LAST),
    ("miningPaused", (2, 14, 0), LAST),
    ("pools", (2, 15, 0), LAST),
)  # fmt: skip
_NERDQAXE = (
    "power voltage current currentA temp vrTemp hashRate hashRate_1m hashRate_10m hashRate_1h "
    "bestDiff bestSessionDiff freeHeap coreVoltage coreVoltageActual frequency ssid macAddr "
    "hostname hostip wifiStatus sharesAccepted sharesRejected uptimeSeconds ASICModel asicCount "
    "smallCoreCount deviceModel stratumURL stratumPort stratumUser stratumProtocol "
    "fallbackStratumURL fallbackStratumPort fallbackStratumUser isUsingFallbackStratum version "
    "runningPartition overheat_mode invertscreen flipscreen autofanspeed fanspeed fanrpm fanrpm2"
)
_FLAGS = frozenset(
    {
        "isUsingFallbackStratum",
        "isPSRAMAvailable",
        "apEnabled",
        "overheat_mode",
        "overclockEnabled",
        "invertscreen",
        "autofanspeed",
    }
)
_POOL = frozenset(
    f"{prefix}{name}"
    for prefix in ("stratum", "fallbackStratum")
    for name in ("URL", "Port", "User", "Password")
)


class Takes(NamedTuple):
    """A key of `PATCH /api/system`: its type and its bounds."""

    kind: type[str] | type[float] | type[bool] | type[list[Any]]
    low: float = 0
    high: float = 65535


_TAKES: dict[str, Takes] = {
    "hostname": Takes(str, 1, 32),
    "ssid": Takes(str, 1, 32),
    "wifiPass": Takes(str, 0, 63),
    **{key: Takes(float if key.endswith("Port") else str) for key in _POOL},
    "frequency": Takes(float, 1),
    "coreVoltage": Takes(float, 1),
    "overclockEnabled": Takes(bool),
    "invertscreen": Takes(bool),
    "rotation": Takes(float, 0, 270),
    "display": Takes(str),
    "displayTimeout": Takes(float, -1),
    "autofanspeed": Takes(bool),
    "fanspeed": Takes(float, 0, 100),
    "manualFanSpeed": Takes(float, 0, 100),
    "minFanSpeed": Takes(float, 0, 99),
    "temptarget": Takes(float, 35, 66),
    "overheat_mode": Takes(bool, 0, 0),
    "statsFrequency": Takes(float),
    "pools": Takes(list),
}


class Firmware(NamedTuple):
    """One version of one family."""

    name: str
    number: Version
    nerdqaxe: bool

    @property
    def shown_version(self) -> str:
        """As it names itself."""
        return f"v{self.name.removeprefix('nerdqaxe-')}"

    @property
    def asic(self) -> str:
        """The chip of the boards that run it in this emulator."""
        if self.nerdqaxe or self.number >= (2, 5, 0):
            return "BM1370"
        return "BM1368" if self.number >= (2, 2, 0) else "BM1366"

    @property
    def asics(self) -> int:
        """How many of them."""
        return 4 if self.nerdqaxe else 1

    @property
    def announces(self) -> bool:
        """Whether it can be found by mDNS."""
        return not self.nerdqaxe and self.number >= (2, 15, 0)

    @property
    def restarts_in_json(self) -> bool:
        """How it answers a restart."""
        return not self.nerdqaxe and self.number >= (2, 13, 0)

    @property
    def refuses_all(self) -> bool:
        """One bad value refuses all; older ones take what they can."""
        return not self.nerdqaxe and self.number >= (2, 11, 0)

    def ignores(self, key: str) -> bool:
        """Whether it answers 200 and changes nothing."""
        if key not in _TAKES:
            return True
        if self.nerdqaxe:
            return key == "pools"
        new = self.number >= (2, 11, 0)
        if key in ("fanspeed", "manualFanSpeed"):
            return new == (key == "fanspeed")
        pools = self.number >= (2, 15, 0)
        return pools if key in _POOL else (key == "pools" and not pools)

    def fault(self, key: str, value: object) -> bool:
        """Whether this value is of the wrong type or out of bounds."""
        takes = _TAKES[key]
        if takes.kind is str:
            size = len(value.encode("utf-8", "replace")) if isinstance(value, str) else -1
            return not takes.low <= size <= takes.high
        if takes.kind is list:
            return not isinstance(value, list)
        if not isinstance(value, int | float) or (takes.kind is float and isinstance(value, bool)):
            return True
        high = min(takes.high, 1) if takes.kind is bool else takes.high
        return not takes.low <= value <= high

    def show(self, everything: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Of all fields those that this version has, in its types."""
        names = _NERDQAXE.split() if self.nerdqaxe else _shown(self.number)
        info = {name: everything[name]() for name in names if name in everything}
        texts = self.nerdqaxe or self.number < (2, 11, 0)
        for name in ("bestDiff", "bestSessionDiff"):
            info[name] = suffixed(info[name]) if texts else round(info[name])
        flag = bool if not self.nerdqaxe and self.number >= (2, 14, 0) else int
        return {key: flag(value) if key in _FLAGS else value for key, value in info.items()}


def firmware(name: str) -> Firmware:
    """`2.12.0`, `nerdqaxe-1.0.30`; ValueError for what is neither."""
    found = re.fullmatch(r"(nerdqaxe-)?v?(\d+)\.(\d+)\.(\d+)", name)
    if found is None:
        raise ValueError(f"{name!r} is no firmware version, such as {', '.join(ALL)}")
    return Firmware(name, (int(found[2]), int(found[3]), int(found[4])), found[1] is not None)


def suffixed(number: float) -> str:
    """4290000000 → `4.29G`, as firmware before 2.11 wrote difficulties."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.0f}"


def _shown(number: Version) -> list[str]:
    return [
        name
        for names, since, until in _FIELDS
        if since <= number <= until
        for name in names.split()
    ]
