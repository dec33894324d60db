"""How a figure is told: what was measured, what it is compared with, and what it should be."""

import os
from collections.abc import Sequence

LONG = bool(os.environ.get("LONG"))
"""Set `LONG=1` for the long versions."""


def tell(name: str, measured: str, goal: str, reached: bool) -> None:
    """One line for people; a goal missed is said, not failed: machines differ."""
    print(f"\n  {name}\n    {measured}\n    goal: {goal} — {'reached' if reached else 'MISSED'}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of all values are; nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
