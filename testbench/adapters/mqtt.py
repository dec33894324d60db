"""The MQTT broker: who may connect, and where the bench listens."""

import uuid


def provision(device_id: uuid.UUID, token: str) -> None:
    """Let a device in with this credential."""


def revoke(device_id: uuid.UUID) -> None:
    """Let a device in no more."""


def ping() -> None:
    """Unavailable if the broker does not answer."""
