"""Changes as they may be shown: without secrets, with what was read back and can be put back."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlmodel import col

from testbench.adapters import sealing
from testbench.adapters.db import Tx
from testbench.domain import axeos
from testbench.domain import presets as rules
from testbench.domain.axeos import without_secrets
from testbench.domain.axeos.configuration import Standing
from testbench.domain.errors import NotFound
from testbench.domain.identity import Actor, require
from testbench.models import ConfigurationChange
from testbench.services import devices, lists
from testbench.services.devices import DeviceView
from testbench.services.keys import as_id


class Difference(BaseModel):
    """One setting beside what the device reports."""

    key: str
    desired: Any = None
    """Null for a secret: it is never shown."""
    reported: Any = None
    standing: Standing
    note: str | None = None
    """Why it is ignored, in words."""


class ChangeView(BaseModel):
    """One change of a device's settings: who, what, and what came of it. Secrets left out."""

    id: uuid.UUID
    device_id: uuid.UUID
    at: datetime
    username: str
    preset_name: str | None
    run_id: uuid.UUID | None
    reverts: uuid.UUID | None
    changes: dict[str, Any]
    secrets: list[str]
    """Paths of the secrets that were set."""
    before: dict[str, Any]
    """What the device had: what a revert sends."""
    not_restorable: list[str]
    """What a revert cannot put back, for nobody knows what it was."""
    status: str
    """`pending`, `applied` (sent and read back, see `differences`), `failed`."""
    differences: list[Difference]
    restarted: bool
    awaits_restart: bool
    """It was sent, and acts only after a restart that has not been."""
    error: str | None


def view(row: ConfigurationChange) -> ChangeView:
    """A row as it may be shown."""
    standings = {entry["key"]: entry["standing"] for entry in row.differences}
    sent = {key for key in row.changes if standings.get(key) != "ignored"}
    awaits = row.status == "applied" and not row.restarted and any(map(axeos.needs_restart, sent))
    return ChangeView(
        **row.model_dump(exclude={"changes", "before"}),
        changes=without_secrets(row.changes),
        secrets=rules.secrets_of(row.changes),
        before=without_secrets(row.before),
        not_restorable=_not_restorable(row, sent),
        awaits_restart=awaits,
    )


def _not_restorable(row: ConfigurationChange, sent: set[str]) -> list[str]:
    before = sendable(row.before)
    lost = {key for key in sent if key not in before}
    inside = {path for path in rules.secrets_of(row.changes) if path.partition(".")[0] in sent}
    known = {*rules.secrets_of(before), *before}
    return sorted(lost | {path for path in inside if path not in known})


def sendable(before: Mapping[str, Any]) -> dict[str, Any]:
    """Without values that the device reports but would refuse."""
    return {
        key: value
        for key, value in before.items()
        if sealing.is_sealed(value) or axeos.fault_of(key, value) is None
    }


def differences(wanted: Mapping[str, Any], info: Mapping[str, Any]) -> list[Difference]:
    """Each wanted setting beside what the device says."""
    version = info.get("version")
    return [
        Difference(**found._asdict(), note=axeos.why_ignored(version, found.key))
        for found in axeos.differences(wanted, info)
    ]


def standing(device: DeviceView) -> list[Difference]:
    """Each setting that was wanted, secrets left out, beside what the device reports now."""
    return differences(device.desired, device.info)


def find(
    tx: Tx, change_id: str | uuid.UUID, device_id: str | uuid.UUID | None = None
) -> ConfigurationChange:
    """The row; NotFound if unknown, or another device's."""
    row = tx.session.get(ConfigurationChange, as_id(change_id, "change"))
    of = None if device_id is None else devices.find(tx, device_id).id
    if row is None or (of is not None and row.device_id != of):
        raise NotFound(f"There is no change {str(change_id)[:64]!r}.")
    return row


def get(tx: Tx, actor: Actor, change_id: str | uuid.UUID) -> ChangeView:
    """One change; NotFound if unknown."""
    require(actor, "viewer")
    return view(find(tx, change_id))


def history(
    tx: Tx,
    actor: Actor,
    device_id: str | uuid.UUID,
    *,
    limit: int = 100,
    cursor: str | None = None,
) -> lists.Page[ChangeView]:
    """A device's changes, newest first."""
    require(actor, "viewer")
    device = devices.find(tx, device_id)
    statement = select(ConfigurationChange).where(col(ConfigurationChange.device_id) == device.id)
    rows, following = lists.page(
        tx, statement, col(ConfigurationChange.id), limit, cursor, uuid.UUID, newest_first=True
    )
    return lists.Page(items=[view(row[0]) for row in rows], next_cursor=following)


def before_run(tx: Tx, run_id: uuid.UUID, device_id: uuid.UUID) -> dict[str, Any]:
    """What a device had before all changes of a run, secrets sealed: what restores it.

    Only what the run has changed, or tried to; to be sent by `apply` with this `run_id`.
    """
    changes = (
        select(ConfigurationChange)
        .where(
            col(ConfigurationChange.run_id) == run_id,
            col(ConfigurationChange.device_id) == device_id,
            col(ConfigurationChange.reverts).is_(None),
        )
        .order_by(col(ConfigurationChange.id).desc())
    )
    found: dict[str, Any] = {}
    for row in tx.session.scalars(changes):
        found |= sendable(row.before)
    return found
