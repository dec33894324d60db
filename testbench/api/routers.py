"""Every router of the API, in the order of its documentation."""

from fastapi import APIRouter

from testbench.api import (
    auth,
    configurations,
    dashboard,
    device_events,
    devices,
    discovery,
    environments,
    health,
    metrics,
    monitoring,
    presets,
    rollouts,
    runs,
    telemetry,
    test_cases,
    users,
)

ROUTERS: list[APIRouter] = [
    auth.router,
    users.router,
    monitoring.router,  # its fixed words come before devices' ids
    discovery.router,  # before `/{device_id}`
    device_events.router,  # as these
    devices.router,
    configurations.router,
    presets.router,
    rollouts.router,
    telemetry.reading,
    telemetry.router,
    test_cases.router,
    environments.router,
    runs.router,
    dashboard.router,
    health.router,
    metrics.router,
]
