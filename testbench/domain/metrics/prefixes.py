"""Which prefix a device's unlabelled metrics have: its host name, unless that would collide."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from testbench.domain.axeos import UNITS
from testbench.domain.metrics.names import OVERVIEW, exposed

MAX_CHARS = 200

_INVALID = re.compile(r"[^a-zA-Z0-9_]")
_CAMEL = re.compile(r"[a-z][A-Z]")
K = TypeVar("K")

NAMES = frozenset(exposed(metric, "", axeos=True).name for metric in UNITS)
"""All that may follow a prefix."""
_BETWEEN = frozenset(
    name.removesuffix(f"_{rest}") for name in NAMES for rest in NAMES if name.endswith(f"_{rest}")
)
"""`core`, because host `axe` has `axe_core_voltage_volts`, and so would host `axe_core`."""


def sanitised(hostname: str) -> str:
    """`bitaxe-1.lab` → `bitaxe_1_lab`: what Prometheus takes at the start of a name."""
    name = _INVALID.sub("_", hostname[:MAX_CHARS])
    if _CAMEL.search(name):
        name = name.lower()
    if not name.strip("_"):
        return "device"
    return f"_{name}" if name[0].isdigit() else name


def prefixes(hosts: Mapping[K, tuple[str, str]]) -> dict[K, str]:
    """A prefix for each (host name, MAC), no two alike; who collides has its MAC in it.

    Who it is does not depend on the order, so that a restart renames nobody.
    """
    plain = {key: sanitised(hostname) for key, (hostname, _) in hosts.items()}
    count = Counter(plain.values())
    chosen = {
        key: f"{name}_{hosts[key][1].replace(':', '')}" if _collides(name, count) else name
        for key, name in plain.items()
    }
    again = Counter(chosen.values())
    # A host that is called as another one with its MAC is called now: its own MAC tells them apart.
    return {
        key: name if again[name] == 1 else f"{plain[key]}_{hosts[key][1].replace(':', '')}"
        for key, name in chosen.items()
    }


def _collides(name: str, count: Mapping[str, int]) -> bool:
    """With another host, with the fleet's own figures, or with the bench's."""
    if count[name] > 1 or name.partition("_")[0] == "testbench":
        return True
    if any(f"{name}_{rest}" in OVERVIEW for rest in NAMES):
        return True
    parts = name.split("_")
    return any(
        "_".join(parts[:i]) in count and "_".join(parts[i:]) in _BETWEEN
        for i in range(1, len(parts))
    )
