"""AxeOS (ESP-Miner) devices as they really behave, firmware by firmware."""

from testbench.domain.axeos.configuration import (
    SETTINGS,
    Difference,
    Plan,
    Setting,
    differences,
    fault_of,
    needs_restart,
    plan,
    why_ignored,
)
from testbench.domain.axeos.readings import UNITS, Parsed, number_of, pool_of, reading_of
from testbench.domain.axeos.standing import standing_of
from testbench.domain.axeos.texts import is_secret, name_of, without_secrets
from testbench.domain.axeos.versions import Family, Version, family_of, version_of

__all__ = [
    "SETTINGS",
    "UNITS",
    "Difference",
    "Family",
    "Parsed",
    "Plan",
    "Setting",
    "Version",
    "differences",
    "family_of",
    "fault_of",
    "is_secret",
    "name_of",
    "needs_restart",
    "number_of",
    "plan",
    "pool_of",
    "reading_of",
    "standing_of",
    "version_of",
    "why_ignored",
    "without_secrets",
]
