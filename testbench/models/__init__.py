"""The tables, one file per noun; importing this registers them all."""

from testbench.models.devices import Device, Presence, Reservation
from testbench.models.environments import Environment
from testbench.models.runs import Run, RunDevice, RunEvent
from testbench.models.telemetry import Series, ValidationError
from testbench.models.test_cases import TestCase, TestCaseRevision
from testbench.models.users import AccessToken, DashboardConfig, IdempotencyKey, User

__all__ = [
    "AccessToken",
    "DashboardConfig",
    "Device",
    "Environment",
    "IdempotencyKey",
    "Presence",
    "Reservation",
    "Run",
    "RunDevice",
    "RunEvent",
    "Series",
    "TestCase",
    "TestCaseRevision",
    "User",
    "ValidationError",
]
