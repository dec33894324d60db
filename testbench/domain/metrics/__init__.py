"""Readings as Prometheus knows them: names, hosts' prefixes, and the text that is scraped."""

from testbench.domain.metrics.exposition import CONTENT_TYPE, Exposition, Member, pairs
from testbench.domain.metrics.names import (
    DEVICE_INFO,
    DEVICE_UP,
    OVERVIEW,
    RESERVED,
    Exposed,
    exposed,
    label,
)
from testbench.domain.metrics.prefixes import prefixes, sanitised

__all__ = [
    "CONTENT_TYPE",
    "DEVICE_INFO",
    "DEVICE_UP",
    "OVERVIEW",
    "RESERVED",
    "Exposed",
    "Exposition",
    "Member",
    "exposed",
    "label",
    "pairs",
    "prefixes",
    "sanitised",
]
