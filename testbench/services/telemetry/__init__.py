"""Telemetry: readings in through one function, and back out for people."""

from testbench.services.telemetry.credentials import (
    admit,
    authenticate,
    credentials,
    login_failed,
)
from testbench.services.telemetry.ingesting import Ingested, Message, UnknownDevice, ingest
from testbench.services.telemetry.reading import (
    SeriesView,
    TelemetryView,
    ValidationErrorView,
    series,
    validation_errors,
)

__all__ = [
    "Ingested",
    "Message",
    "SeriesView",
    "TelemetryView",
    "UnknownDevice",
    "ValidationErrorView",
    "admit",
    "authenticate",
    "credentials",
    "ingest",
    "login_failed",
    "series",
    "validation_errors",
]
