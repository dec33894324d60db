"""The tables, one file per noun; importing this registers them all."""

from testbench.models.dashboards import GrafanaDashboard
from testbench.models.devices import Collector, Device, DiscoveredDevice, Presence, Reservation
from testbench.models.environments import Environment
from testbench.models.presets import ConfigurationChange, Preset, Rollout, RolloutDevice
from testbench.models.runs import Run, RunDevice, RunEvent
from testbench.models.telemetry import Series, ValidationError
from testbench.models.test_cases import TestCase, TestCaseRevision
from testbench.models.users import AccessToken, DashboardConfig, IdempotencyKey, User

__all__ = [
    "AccessToken",
    "Collector",
    "ConfigurationChange",
    "DashboardConfig",
    "Device",
    "DiscoveredDevice",
    "Environment",
    "GrafanaDashboard",
    "IdempotencyKey",
    "Presence",
    "Preset",
    "Reservation",
    "Rollout",
    "RolloutDevice",
    "Run",
    "RunDevice",
    "RunEvent",
    "Series",
    "TestCase",
    "TestCaseRevision",
    "User",
    "ValidationError",
]
