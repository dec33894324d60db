"""Grafana dashboards, generated: one for a device, one for the fleet, on any of three sources."""

from testbench.domain.dashboards.building import (
    FLEET_UID,
    Subject,
    device_dashboard,
    digest_of,
    fleet_dashboard,
    uid_of,
)
from testbench.domain.dashboards.groups import groups_of
from testbench.domain.dashboards.sources import INTERVAL, Source, SourceKind

__all__ = [
    "FLEET_UID",
    "INTERVAL",
    "Source",
    "SourceKind",
    "Subject",
    "device_dashboard",
    "digest_of",
    "fleet_dashboard",
    "groups_of",
    "uid_of",
]
