"""Every router of the API, in the order of its documentation."""

from fastapi import APIRouter

from testbench.api import (
    auth,
    configurations,
    dashboard,
    device_events,
    devices,
    environments,
    health,
    metrics,
    presets,
    runs,
    telemetry,
    test_cases,
    users,
)

ROUTERS: list[APIRouter] = [
    auth.router,
    users.router,
    device_events.router,  # its fixed words come before devices' ids
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
    metrics.router,
]
