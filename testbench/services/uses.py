"""Where presets are used: test cases that apply them, devices and roll-outs that got them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.identity import Actor, require
from testbench.models import (
    ConfigurationChange,
    Preset,
    Rollout,
    TestCase,
    TestCaseRevision,
)


class Uses(NamedTuple):
    """Of one preset: names of test cases, and how many devices and roll-outs had it."""

    test_cases: tuple[str, ...] = ()
    devices: int = 0
    rollouts: int = 0


def of_presets(tx: Tx, actor: Actor, ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Uses]:
    """Where each is used; devices count that took it under the name it has now."""
    require(actor, "viewer")
    cases: dict[uuid.UUID, list[str]] = {}
    for name, preset_id in _test_cases(tx):
        cases.setdefault(preset_id, []).append(name)
    devices = _counted(tx, _devices(ids))
    rollouts = _counted(tx, _rollouts(ids))
    return {
        id: Uses(tuple(sorted(set(cases.get(id, ())))), devices.get(id, 0), rollouts.get(id, 0))
        for id in ids
    }


def _counted(tx: Tx, query: Any) -> dict[uuid.UUID, int]:
    return {id: count for id, count in tx.session.execute(query)}


def _devices(ids: Sequence[uuid.UUID]) -> Any:
    return (
        select(col(Preset.id), func.count(col(ConfigurationChange.device_id).distinct()))
        .join(ConfigurationChange, col(ConfigurationChange.preset_name) == col(Preset.name))
        .where(col(Preset.id).in_(ids), col(ConfigurationChange.status) == "applied")
        .group_by(col(Preset.id))
    )


def _rollouts(ids: Sequence[uuid.UUID]) -> Any:
    return (
        select(col(Rollout.preset_id), func.count())
        .where(col(Rollout.preset_id).in_(ids))
        .group_by(col(Rollout.preset_id))
    )


def _test_cases(tx: Tx) -> list[tuple[str, uuid.UUID]]:
    """Test cases whose current revision applies a preset, with its id."""
    current = (col(TestCaseRevision.test_case_id) == col(TestCase.id)) & (
        col(TestCaseRevision.revision) == col(TestCase.revision)
    )
    rows = tx.session.execute(
        select(col(TestCase.name), col(TestCaseRevision.document))
        .join(TestCaseRevision, current)
        .where(col(TestCaseRevision.document).contains({"setup": [{"kind": "apply_preset"}]}))
        .order_by(col(TestCase.name))
    )
    return [
        (name, uuid.UUID(str(step["preset_id"])))
        for name, document in rows
        for step in document.get("setup", [])
        if step.get("kind") == "apply_preset"
    ]
