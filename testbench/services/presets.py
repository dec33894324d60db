"""Presets: settings under a name, with secrets that can be written, kept and removed, never read.

Secrets (`stratumPassword`, `wifiPass`, a pool's `password`, …) are encrypted where they are
stored. An edit that leaves one out keeps it; null or "" removes it.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from testbench.adapters import sealing
from testbench.adapters.db import Tx
from testbench.domain import presets as rules
from testbench.domain.axeos import without_secrets
from testbench.domain.errors import Conflict, Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.names import Name, Text
from testbench.models import Preset, TestCase, TestCaseRevision
from testbench.services import lists
from testbench.services.keys import as_id


class PresetBody(BaseModel):
    """What a person writes. A secret left out stays as it was; null or "" removes it."""

    # Not strict: what GET answered may come back by PUT, with its id and times.
    model_config = ConfigDict(extra="ignore")

    name: Name
    description: Text = ""
    configuration: dict[str, Any] = Field(default_factory=dict[str, Any])


class PresetPatch(BaseModel):
    """What changes; settings that are not named stay, null removes one."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Text | None = None
    configuration: dict[str, Any] | None = None


class PresetView(BaseModel):
    """A preset as it may be shown: `secrets` are the paths of those that are set."""

    id: uuid.UUID
    name: str
    description: str
    configuration: dict[str, Any]
    secrets: list[str]
    demo: bool
    created_at: datetime
    updated_at: datetime


def _view(row: Preset) -> PresetView:
    fields = row.model_dump(exclude={"configuration"})
    return PresetView(
        **fields,
        configuration=without_secrets(row.configuration),
        secrets=rules.secrets_of(row.configuration),
    )


def find(tx: Tx, preset_id: str | uuid.UUID, *, lock: bool = False) -> Preset:
    """The row; NotFound if unknown."""
    key = as_id(preset_id, "preset")
    row = tx.session.get(Preset, key, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"There is no preset {str(preset_id)[:64]!r}.")
    return row


def get(tx: Tx, actor: Actor, preset_id: str | uuid.UUID) -> PresetView:
    """One preset, its secrets left out."""
    require(actor, "viewer")
    return _view(find(tx, preset_id))


def list_(
    tx: Tx, actor: Actor, *, limit: int = 100, cursor: str | None = None
) -> lists.Page[PresetView]:
    """Presets in the order of their making."""
    require(actor, "viewer")
    rows, following = lists.page(tx, select(Preset), col(Preset.id), limit, cursor, uuid.UUID)
    return lists.Page(items=[_view(row[0]) for row in rows], next_cursor=following)


def search(
    tx: Tx, actor: Actor, *, q: str | None = None, offset: int = 0, limit: int = 50
) -> tuple[list[PresetView], int]:
    """A window of presets by name, and how many there are; `q` is text in the name."""
    require(actor, "viewer")
    statement = select(Preset)
    if q:
        statement = statement.where(Preset.name.icontains(q, autoescape=True))  # type: ignore[attr-defined]  # a column
    total = tx.session.scalar(select(func.count()).select_from(statement.subquery())) or 0
    rows = tx.session.scalars(
        statement.order_by(func.lower(Preset.name)).offset(offset).limit(limit)
    )
    return [_view(row) for row in rows], total


def configuration_of(tx: Tx, preset_id: str | uuid.UUID) -> dict[str, Any]:
    """What applying it sends, secrets sealed; NotFound if unknown."""
    return applied(find(tx, preset_id))


def applied(row: Preset) -> dict[str, Any]:
    """What of a preset goes to a device: its settings without the pools' users."""
    return rules.without_users(row.configuration)


def create(tx: Tx, actor: Actor, body: PresetBody, *, demo: bool = False) -> PresetView:
    """Conflict if the name is taken, Invalid with the path of what a device would refuse."""
    require(actor, "engineer")
    row = Preset(
        name=body.name,
        description=body.description,
        configuration=_sealed(body.configuration, {}),
        demo=demo,
        created_at=tx.now,
        updated_at=tx.now,
    )
    return _store(tx, row)


def replace(tx: Tx, actor: Actor, preset_id: str, body: PresetBody) -> PresetView:
    """All of it anew, but for secrets that are left out; those stay."""
    require(actor, "engineer")
    row = find(tx, preset_id, lock=True)
    row.name, row.description = body.name, body.description
    row.configuration = _sealed(body.configuration, row.configuration)
    return _store(tx, row)


def change(tx: Tx, actor: Actor, preset_id: str, patch: PresetPatch) -> PresetView:
    """Change what the patch names."""
    require(actor, "engineer")
    row = find(tx, preset_id, lock=True)
    row.name = patch.name or row.name
    row.description = row.description if patch.description is None else patch.description
    if patch.configuration is not None:
        _check(patch.configuration)
        merged = {**row.configuration, **patch.configuration}
        row.configuration = _bounded(rules.keeping_secrets(merged, row.configuration))
    return _store(tx, row)


def remove(tx: Tx, actor: Actor, preset_id: str) -> None:
    """Conflict, naming it, while a test case applies it; runs and roll-outs keep their copy."""
    require(actor, "engineer")
    row = find(tx, preset_id, lock=True)
    users = _test_cases_with(tx, row.id)
    if users:
        raise Conflict(f"The preset is applied by the test case {', '.join(users)}.")
    tx.session.delete(row)
    tx.emit("presets", row.id)


def _test_cases_with(tx: Tx, preset_id: uuid.UUID) -> list[str]:
    """Names of test cases whose current revision applies it."""
    step = {"setup": [{"kind": "apply_preset", "preset_id": str(preset_id)}]}
    current = (col(TestCaseRevision.test_case_id) == col(TestCase.id)) & (
        col(TestCaseRevision.revision) == col(TestCase.revision)
    )
    names = (
        select(col(TestCase.name))
        .join(TestCaseRevision, current)
        .where(col(TestCaseRevision.document).contains(step))
        .order_by(col(TestCase.name))
        .limit(3)
    )
    return [repr(name) for name in tx.session.scalars(names)]


def _store(tx: Tx, row: Preset) -> PresetView:
    tx.session.add(row)
    try:
        row.updated_at = tx.now  # a query: what was changed is written before it
        tx.session.flush()
    except IntegrityError as error:
        raise Conflict("Another preset has this name.", errors=[("name", "is taken")]) from error
    tx.emit("presets", row.id)
    return _view(row)


def _sealed(configuration: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    _check(configuration)
    return _bounded(rules.keeping_secrets(configuration, stored))


def _check(configuration: Mapping[str, Any]) -> None:
    # Null says "not set": there is nothing to check.
    named = {key: value for key, value in configuration.items() if value is not None}
    faults = rules.faults(named, "configuration")
    if faults:
        raise Invalid("The configuration does not fit.", errors=faults)


def _bounded(configuration: dict[str, Any]) -> dict[str, Any]:
    """Sealed; Invalid if it would be too long for a device once it is not."""
    faults = rules.faults(sealing.unseal(configuration), "configuration")
    if faults:
        raise Invalid("The configuration does not fit.", errors=faults)
    return sealing.seal(configuration)
