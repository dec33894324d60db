"""Every router of the API, in the order of its documentation."""

from fastapi import APIRouter

from testbench.api import (
    auth,
    configurations,
    dashboard,
    devices,
    environments,
    health,
    presets,
    runs,
    telemetry,
    test_cases,
    users,
)

ROUTERS: list[APIRouter] = [
    auth.router,
    users.router,
    devices.router,
    configurations.router,
    presets.router,
    telemetry.reading,
    telemetry.router,
    test_cases.router,
    environments.router,
    runs.router,
    dashboard.router,
    health.router,
]
