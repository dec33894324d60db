"""Starting a run: everything validated first, then one transaction, all devices or none."""

import hashlib
import uuid
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import select
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.devices import POLLED
from testbench.domain.errors import Conflict, Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.domain.names import Name
from testbench.domain.test_cases import ApplyPreset, TestCaseSpec
from testbench.models import Device, IdempotencyKey, Preset, Run, RunDevice
from testbench.services import devices, environments, presets, test_cases
from testbench.services.keys import as_id
from testbench.services.reservations import reserve
from testbench.services.runs import timeline
from testbench.services.runs.views import RunView, get
from testbench.settings import settings

MAX_NAME = 200
MAX_KEY = 200
KEY_LIFE = timedelta(hours=24)
UNCONFIGURABLE = "takes no settings and no restart from the bench, being of the kind"
_WHY = {"in_test": "is in a run", "offline": "is offline", "maintenance": "is in maintenance"}


class NewRun(BaseModel):
    """What starts a run."""

    model_config = ConfigDict(extra="forbid")

    test_case_id: str = Field(max_length=200)
    environment_id: str | None = Field(default=None, max_length=200)
    device_ids: list[str] = Field(min_length=1, max_length=500)
    name: Name | None = None

    @field_validator("device_ids")
    @classmethod
    def _each_once(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) < len(ids):
            raise ValueError("names a device twice")
        return ids


def start(tx: Tx, actor: Actor, new: NewRun, idempotency_key: str | None = None) -> RunView:
    """Write the run, its reservations and its first due step.

    Raises NotFound for what is unknown, Invalid for what cannot be judged, Conflict naming each
    device that is not available. The same key and body answers with the run first started.
    """
    require(actor, "engineer")
    if idempotency_key is None or actor.user_id is None:
        return _start(tx, actor, new)
    body_hash = hashlib.sha256(new.model_dump_json().encode()).hexdigest()
    before = _answered(tx, actor.user_id, idempotency_key, body_hash)
    if before is not None:
        return RunView.model_validate(before)
    view = _start(tx, actor, new)
    tx.session.merge(
        IdempotencyKey(
            user_id=actor.user_id,
            key=idempotency_key,
            body_hash=body_hash,
            answer=view.model_dump(mode="json"),
            created_at=tx.now,
        )
    )
    return view


def _answered(tx: Tx, user: uuid.UUID, key: str, body_hash: str) -> dict[str, Any] | None:
    """The stored answer; one caller at a time looks, so that a key starts one run."""
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        why = f"must be 1 to {MAX_KEY} printable characters"
        raise Invalid("The key does not fit.", errors=[("Idempotency-Key", why)])
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))"
    tx.cursor().execute(lock, (f"{user}:{key}",))
    row = tx.session.get(IdempotencyKey, (user, key))
    if row is None or row.created_at < tx.now - KEY_LIFE:
        return None
    if row.body_hash != body_hash:
        raise Conflict("This Idempotency-Key was used with another body.")
    return row.answer


def _start(tx: Tx, actor: Actor, new: NewRun) -> RunView:
    case = test_cases.get(tx, actor, new.test_case_id)
    named = new.environment_id
    environment = None if named is None else environments.get(tx, actor, named)
    chosen = _devices(tx, new.device_ids)
    spec = case.resolve(environment.variables if environment else {})
    external = environment is not None and environment.runner == "external"
    if external and not settings().rabbitmq_url:
        raise Invalid("An external runner needs RabbitMQ.", errors=[("environment_id", "external")])
    copies = _presets(tx, spec)
    _check_tags(spec, chosen)
    _check_configurable(spec, chosen)
    _check_available(tx, chosen)
    run = Run(
        id=new_id(),
        name=new.name or f"{case.name} on {_names(chosen)}"[:MAX_NAME],
        created_by=actor.user_id,
        test_case_id=case.id,
        test_case=case.model_dump(mode="json"),
        environment_id=environment.id if environment else None,
        environment=environment.model_dump(mode="json") if environment else None,
        presets=copies,
        phase="dispatch" if external and not spec.setup else "setup",
        queued_at=tx.now,
        due_at=tx.now,
    )
    _write(tx, run, chosen)
    timeline.note(tx, run.id, "queued", f"by {actor.username}")
    tx.wake_clock()
    return get(tx, actor, run.id)


def _write(tx: Tx, run: Run, chosen: list[Device]) -> None:
    tx.session.add(run)
    tx.session.flush()
    reserve(tx, run.id, [device.id for device in chosen])
    tx.session.add_all(
        RunDevice(run_id=run.id, device_id=device.id, position=i, name=device.name)
        for i, device in enumerate(chosen)
    )
    tx.session.flush()
    tx.emit("runs", run.id)
    for device in chosen:
        tx.emit("devices", device.id)


def _names(chosen: list[Device]) -> str:
    first = chosen[0].name
    return first if len(chosen) == 1 else f"{first} and {len(chosen) - 1} more"


def _devices(tx: Tx, wanted: list[str]) -> list[Device]:
    """The rows in the order asked for, kept from removal; NotFound, then Invalid."""
    ids = [_key(device_id) for device_id in wanted]
    known = {key for key in ids if key}
    locked = select(Device).where(col(Device.id).in_(known), col(Device.removed_at).is_(None))
    rows = {
        d.id: d
        for d in tx.session.scalars(locked.order_by(col(Device.id)).with_for_update(read=True))
    }
    unknown = [
        (name, "unknown device") for name, key in zip(wanted, ids, strict=True) if key not in rows
    ]
    if unknown:
        raise NotFound("There is no such device.", errors=unknown)
    if len(set(ids)) < len(ids):
        raise Invalid("A device is named twice.", errors=[("device_ids", "names a device twice")])
    return [rows[key] for key in ids if key]


def _check_available(tx: Tx, chosen: list[Device]) -> None:
    """Conflict with each device that is not available, and why."""
    ids = [device.id for device in chosen]
    states = (
        devices.query()
        .where(col(Device.id).in_(ids))
        .with_only_columns(col(Device.id), devices.state_column().label("state"))
    )
    shown = {row.id: row.state for row in tx.session.execute(states)}
    busy = [(str(key), _WHY[shown[key]]) for key in ids if shown[key] != "available"]
    if busy:
        raise Conflict("Not all devices are available.", errors=busy)


def _key(device_id: str) -> uuid.UUID | None:
    try:
        return as_id(device_id)
    except NotFound:
        return None


def _check_tags(spec: TestCaseSpec, chosen: list[Device]) -> None:
    lacking = [
        (str(device.id), f"lacks the tag {tag}")
        for device in chosen
        for tag in spec.required_tags
        if tag not in device.tags
    ]
    if lacking:
        raise Invalid("The test case asks for tags.", errors=lacking)


def _presets(tx: Tx, spec: TestCaseSpec) -> dict[str, Any] | None:
    """The run's copy of what its setup applies, secrets sealed; Invalid naming what is unknown."""
    copies: dict[str, Any] = {}
    unknown: list[tuple[str, str]] = []
    for i, part in enumerate(spec.setup):
        if not isinstance(part, ApplyPreset):
            continue
        row = tx.session.get(Preset, part.preset_id)
        if row is None:
            unknown.append((f"setup.{i}.preset_id", f"there is no preset {part.preset_id}"))
        else:
            copies[str(row.id)] = {"name": row.name, "configuration": presets.applied(row)}
    if unknown:
        raise Invalid("The test case applies a preset that there is not.", errors=unknown)
    return copies or None


def _check_configurable(spec: TestCaseSpec, chosen: list[Device]) -> None:
    """A setup that changes devices needs such as take changes from the bench."""
    if not spec.configures():
        return
    errors: list[tuple[str, str]] = []
    for device in chosen:
        if device.kind not in POLLED:
            errors.append((str(device.id), f"{device.name} {UNCONFIGURABLE} {device.kind}"))
        elif not device.ip:
            errors.append((str(device.id), f"{device.name} has no address"))
    if errors:
        raise Invalid(f"The setup cannot be done: {errors[0][1]}.", errors=errors)


def purge_keys(tx: Tx) -> int:
    """Forget keys older than a day; how many."""
    cursor = tx.cursor().execute(
        "DELETE FROM idempotency_keys WHERE created_at < now() - %s", (KEY_LIFE,)
    )
    return cursor.rowcount
