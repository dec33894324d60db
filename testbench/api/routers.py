"""Every router of the API, in the order of its documentation."""

from fastapi import APIRouter

from testbench.api import (
    auth,
    dashboard,
    devices,
    environments,
    health,
    runs,
    telemetry,
    test_cases,
    users,
)

ROUTERS: list[APIRouter] = [
    auth.router,
    users.router,
    devices.router,
    telemetry.reading,
    telemetry.router,
    test_cases.router,
    environments.router,
    runs.router,
    dashboard.router,
    health.router,
]
