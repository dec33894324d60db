"""Two runs side by side: what changed first, what stayed after it."""

import math
import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import select

from testbench.adapters.db import Tx
from testbench.domain.identity import Actor, require
from testbench.domain.runs import TERMINAL
from testbench.models import Run
from testbench.services.runs.views import RunDeviceView, RunView, find, get

Change = Literal["verdict", "only_a", "only_b", "limits", "measured", "none"]
NOISE = 1e-9
"""Relative differences below it come from how numbers are kept, not from a device."""
ORDER: tuple[Change, ...] = ("verdict", "only_a", "only_b", "limits", "measured", "none")


class ComparedRun(BaseModel):
    """One of the two."""

    id: uuid.UUID
    number: int
    name: str
    status: str
    outcome: str | None
    reason: str | None
    test_case: str
    revision: int | None
    environment: str | None
    window_start: datetime | None
    window_end: datetime | None


class ComparedDevice(BaseModel):
    """A pair of devices, by name, else by their place in the run; one side may be missing."""

    a_device_id: uuid.UUID | None
    b_device_id: uuid.UUID | None
    a_name: str | None
    b_name: str | None
    a_outcome: str | None
    b_outcome: str | None


class ComparedCriterion(BaseModel):
    """A criterion of a pair of devices; `a` and `b` are its verdicts as the runs keep them.

    `delta` = b − a in the criterion's unit, `relative` = delta ÷ |a|; None where either has no
    number. `change` names the weightiest difference.
    """

    device: str
    a_device_id: uuid.UUID | None
    b_device_id: uuid.UUID | None
    name: str
    kind: str
    metric: str
    unit: str | None
    a: dict[str, Any] | None
    b: dict[str, Any] | None
    change: Change
    delta: float | None
    relative: float | None


class Comparison(BaseModel):
    """`differences` counts the criteria whose verdict, presence or limits differ."""

    a: ComparedRun
    b: ComparedRun
    differences: int
    devices: list[ComparedDevice]
    criteria: list[ComparedCriterion]


def compare(tx: Tx, actor: Actor, a: str | uuid.UUID, b: str | uuid.UUID) -> Comparison:
    """Criteria matched by device and name, differences first; NotFound if a run is unknown."""
    require(actor, "viewer")
    before, after = get(tx, actor, a), get(tx, actor, b)
    pairs = _pairs(before.devices, after.devices)
    criteria = [row for pair in pairs for row in _criteria(*pair)]
    criteria.sort(key=lambda row: (ORDER.index(row.change), -abs(row.relative or 0.0)))
    return Comparison(
        a=_run(before),
        b=_run(after),
        differences=sum(row.change not in ("measured", "none") for row in criteria),
        devices=[_device(*pair) for pair in pairs],
        criteria=criteria,
    )


def _run(run: RunView) -> ComparedRun:
    return ComparedRun(
        **run.model_dump(include=set(ComparedRun.model_fields) - {"test_case", "environment"}),
        test_case=str(run.test_case.get("name", "")),
        revision=run.test_case.get("revision"),
        environment=(run.environment or {}).get("name"),
    )


Pair = tuple[RunDeviceView | None, RunDeviceView | None]


def _pairs(a: list[RunDeviceView], b: list[RunDeviceView]) -> list[Pair]:
    """The same device or name first; those left over by their order; then what has no partner."""
    pairs: list[Pair] = []
    rest_a, rest_b = list(a), list(b)
    for key in ("device_id", "name"):
        for left in list(rest_a):
            wanted = getattr(left, key)
            right = next((device for device in rest_b if getattr(device, key) == wanted), None)
            if right is not None:
                pairs.append((left, right))
                rest_a.remove(left)
                rest_b.remove(right)
    matched = min(len(rest_a), len(rest_b))
    pairs += zip(rest_a[:matched], rest_b[:matched], strict=True)
    pairs += [(left, None) for left in rest_a[matched:]]
    pairs += [(None, right) for right in rest_b[matched:]]
    return pairs


def _device(a: RunDeviceView | None, b: RunDeviceView | None) -> ComparedDevice:
    return ComparedDevice(
        a_device_id=a.device_id if a else None,
        b_device_id=b.device_id if b else None,
        a_name=a.name if a else None,
        b_name=b.name if b else None,
        a_outcome=a.outcome if a else None,
        b_outcome=b.outcome if b else None,
    )


def _criteria(a: RunDeviceView | None, b: RunDeviceView | None) -> list[ComparedCriterion]:
    left = {verdict["name"]: verdict for verdict in a.criteria} if a else {}
    right = {verdict["name"]: verdict for verdict in b.criteria} if b else {}
    names = [a.name] if a else []
    names += [b.name] if b and b.name not in names else []
    return [
        _criterion(" / ".join(names), a, b, left.get(name), right.get(name))
        for name in dict.fromkeys([*left, *right])
    ]


def _criterion(
    device: str,
    a: RunDeviceView | None,
    b: RunDeviceView | None,
    left: dict[str, Any] | None,
    right: dict[str, Any] | None,
) -> ComparedCriterion:
    shown = right or left or {}
    delta = _delta(left, right)
    base = abs(float(left["measured"])) if left and delta is not None else 0.0
    return ComparedCriterion(
        device=device,
        a_device_id=a.device_id if a else None,
        b_device_id=b.device_id if b else None,
        name=shown["name"],
        kind=shown.get("kind", ""),
        metric=shown.get("metric", ""),
        unit=shown.get("unit"),
        a=left,
        b=right,
        change=_change(left, right, delta),
        delta=delta,
        relative=delta / base if delta is not None and base else None,
    )


def _delta(left: dict[str, Any] | None, right: dict[str, Any] | None) -> float | None:
    values = [(verdict or {}).get("measured") for verdict in (left, right)]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    before, after = float(values[0]), float(values[1])  # type: ignore[arg-type]  # both are numbers
    return 0.0 if math.isclose(before, after, rel_tol=NOISE) else after - before


def _change(
    left: dict[str, Any] | None, right: dict[str, Any] | None, delta: float | None
) -> Change:
    if left is None or right is None:
        return "only_b" if left is None else "only_a"
    if left["verdict"] != right["verdict"]:
        return "verdict"
    if left.get("limits") != right.get("limits"):
        return "limits"
    moved = delta if delta is not None else left.get("measured") != right.get("measured")
    return "measured" if moved else "none"


def partner(tx: Tx, actor: Actor, run_id: str | uuid.UUID) -> uuid.UUID | None:
    """The last ended run of the same test case before this one; None if it is the first."""
    require(actor, "viewer")
    run = find(tx, run_id)
    earlier: Any = (
        select(Run.id)  # type: ignore[call-overload]  # a column
        .where(Run.test_case_id == run.test_case_id, Run.id < run.id)  # type: ignore[arg-type,operator]  # columns
        .where(Run.status.in_(TERMINAL))  # type: ignore[attr-defined]  # a column
        .order_by(Run.id.desc())  # type: ignore[attr-defined]  # a column
        .limit(1)
    )
    return tx.session.scalar(earlier)
