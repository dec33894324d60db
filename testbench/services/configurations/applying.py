"""Sending settings: ask what is there, write it down, send, restart, ask again."""

import uuid
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from testbench.adapters import db, sealing
from testbench.adapters.db import Tx
from testbench.adapters.drivers import calls
from testbench.adapters.drivers.axeos import Axeos
from testbench.domain import axeos
from testbench.domain import presets as rules
from testbench.domain.axeos import is_secret, name_of, without_secrets
from testbench.domain.axeos.restoring import what_was
from testbench.domain.devices import normal_mac
from testbench.domain.errors import (
    BadGateway,
    BadRequest,
    BenchError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from testbench.domain.identity import Actor, require
from testbench.domain.ids import new_id
from testbench.models import Device, Preset
from testbench.services import devices, presets
from testbench.services.configurations import claiming, views
from testbench.services.configurations.claiming import UNDER_WAY, Change, Order
from testbench.services.configurations.views import ChangeView, Difference
from testbench.services.devices import DeviceView

T = TypeVar("T")


class SystemBody(BaseModel):
    """A change by hand: explicit settings, over those of a preset. `presetUuid` is known, too."""

    # Not strict: clients send a whole device with it.
    model_config = ConfigDict(extra="ignore")

    info: dict[str, Any] = Field(default_factory=dict[str, Any])
    preset_id: str | None = Field(
        default=None, validation_alias=AliasChoices("preset_id", "presetUuid")
    )
    restart: bool | None = None
    """Null: where the change needs one; false: never; true: always."""


class ConfiguredDevice(DeviceView):
    """A device after a change: `info` is what was read back."""

    change: ChangeView
    differences: list[Difference]


def apply(
    actor: Actor,
    device_id: str | uuid.UUID,
    wanted: Mapping[str, Any],
    *,
    preset_name: str | None = None,
    run_id: uuid.UUID | None = None,
    reverts: uuid.UUID | None = None,
    restart: bool | None = None,
    change_id: uuid.UUID | None = None,
) -> ChangeView:
    """Send settings (secrets plain or sealed) to a device, restart it where needed, read back.

    `run_id`: the run whose stage this sets; its own device is not refused. `change_id` names the
    change: done again after an interruption it goes on with the same one, whose `before` stays.
    Opens its own transactions. Raises NotFound; BadRequest (no address, or none that may be
    called); Conflict (in a run, another change under way); Invalid with the path of each setting
    that a device would refuse; BadGateway with the device's answer.
    """
    require(actor, "engineer")
    _check(wanted)
    changes = sealing.seal(wanted)
    order = Order(change_id or new_id(), actor.username, changes, preset_name, run_id, reverts)
    change = db.run(lambda tx: claiming.begin(tx, device_id, order))
    if isinstance(change, ChangeView):
        return change
    try:
        return _carry_out(change, restart)
    except BenchError as error:
        reason = error.detail = _hushed(error.detail, change.plain)
        error.args = (reason,)
        db.run(lambda tx: claiming.fail(tx, change, reason))
        raise


def change_system(actor: Actor, device_id: str, body: SystemBody) -> ConfiguredDevice:
    """`apply` by hand: a preset merged first, explicit settings over it.

    Raises as `apply`, and BadRequest for an unknown preset.
    """
    require(actor, "engineer")
    faults = rules.faults(body.info, "info")
    if faults:
        raise Invalid("The settings do not fit.", errors=faults)
    preset = db.run(lambda tx: _preset(tx, device_id, body.preset_id))
    merged = {**(presets.applied(preset) if preset else {}), **body.info}
    if not merged:
        raise Invalid("There is nothing to change.", errors=[("info", "is empty")])
    name = preset.name if preset else None
    change = apply(actor, device_id, merged, preset_name=name, restart=body.restart)
    return db.run(lambda tx: _configured(tx, actor, change))


def revert(
    actor: Actor,
    change_id: str | uuid.UUID,
    *,
    device_id: str | uuid.UUID | None = None,
    run_id: uuid.UUID | None = None,
) -> ChangeView:
    """Put the values back that were there before a change, whatever came after it.

    What is in its `not_restorable` stays as it is. Raises NotFound; Conflict for a change that
    is under way, or left nothing to put back; else as `apply`.
    """
    require(actor, "engineer")
    row = db.run(lambda tx: views.find(tx, change_id, device_id))
    if row.status == "pending":
        raise Conflict(UNDER_WAY)
    before = views.sendable(row.before)
    if not before:
        raise Conflict("Nothing of this change can be put back.")
    return apply(actor, row.device_id, before, run_id=run_id, reverts=row.id)


def restart(actor: Actor, device_id: str | uuid.UUID, *, run_id: uuid.UUID | None = None) -> None:
    """Have a device restart; it is away for about a second after.

    Raises NotFound, BadRequest, Conflict (in a run, a change under way), BadGateway.
    """
    require(actor, "engineer")
    address = db.run(lambda tx: claiming.restartable(tx, device_id, run_id))
    ask(Axeos(address).restart())


def ask(work: Coroutine[Any, Any, T]) -> T:
    """A driver's call; an address that may not be called is the caller's fault."""
    try:
        return calls.ask(work)
    except Forbidden as error:
        raise BadRequest(error.detail) from error


def _check(wanted: Mapping[str, Any]) -> None:
    if not wanted:
        raise Invalid("There is nothing to change.")
    plain = {key: value for key, value in wanted.items() if not sealing.is_sealed(value)}
    faults = [(key, why) for key, value in plain.items() if (why := axeos.fault_of(key, value))]
    if faults:
        raise Invalid("The settings do not fit.", errors=faults)


def _carry_out(change: Change, restart: bool | None) -> ChangeView:
    driver = Axeos(change.address)
    info = ask(driver.info())
    check_same(change.mac, info)
    _prepare(change, info)
    db.run(lambda tx: claiming.ready(tx, change, info))
    if not change.plain:
        return db.run(lambda tx: claiming.finish(tx, change, info))
    ask(driver.configure(change.plain))
    change.sent = True
    if change.plan.restart if restart is None else restart:
        ask(driver.restart())
        change.restarted = True
        found = ask(calls.returned(driver, info))
    else:
        found = ask(calls.again(driver))
    check_same(change.mac, found)
    return db.run(lambda tx: claiming.finish(tx, change, found))


def _prepare(change: Change, info: Mapping[str, Any]) -> None:
    """What goes to this firmware, and what is there now; an interrupted try's answer counts."""
    change.plan = axeos.plan(info.get("version"), change.order.changes)
    change.plain = sealing.unseal(change.plan.send)
    if rules.size_of(change.plain) > rules.MAX_BYTES:
        raise Invalid(f"The settings are more than the {rules.MAX_BYTES:,} bytes a device takes.")
    change.before = _before(change, info) | change.before


def check_same(mac: str | None, info: Mapping[str, Any]) -> None:
    """BadGateway where the address is another device's by now: that one is left alone."""
    said = info.get("macAddr")
    if mac is None or not isinstance(said, str):
        return
    try:
        found = normal_mac(said)
    except Invalid:
        return
    if found != mac:
        raise BadGateway(f"The address answers as {found}, expected {mac}.")


def _before(change: Change, info: Mapping[str, Any]) -> dict[str, Any]:
    """What the device has now of what will be sent; secrets where anybody knows them."""
    told = {key: plain for key in info if is_secret(key) and (plain := _told(info[key]))}
    reported = without_secrets(info) | told
    return sealing.seal(what_was(reported, [change.order.changes], change.desired)[0])


def _told(value: object) -> str | None:
    """A secret that the device tells, as firmware up to 2.0.4 does; stars are none."""
    plain = name_of(value)
    return plain if plain is not None and plain == value and plain.strip("*") else None


def _hushed(text: str, sent: Mapping[str, Any]) -> str:
    """A device may repeat what it was sent: no secret goes on from there."""
    for secret in sorted(_secret_texts(sent, inside=False), key=len, reverse=True):
        text = text.replace(secret, "*****")
    return text


def _secret_texts(value: Any, *, inside: bool) -> list[str]:
    if isinstance(value, Mapping):
        parts = [_secret_texts(v, inside=inside or is_secret(str(k))) for k, v in value.items()]
    elif isinstance(value, list):
        parts = [_secret_texts(item, inside=inside) for item in value]
    else:
        # A single letter as a pool's password is no secret, and would garble every text.
        return [value] if inside and isinstance(value, str) and len(value) > 1 else []
    return [text for part in parts for text in part]


def _preset(tx: Tx, device_id: str, preset_id: str | None) -> Preset | None:
    """The preset that is meant; an unknown device comes first."""
    devices.find(tx, device_id)
    try:
        return presets.find(tx, preset_id) if preset_id else None
    except NotFound as error:
        raise BadRequest(error.detail, errors=[("preset_id", "is unknown")]) from error


def _configured(tx: Tx, actor: Actor, change: ChangeView) -> ConfiguredDevice:
    view = devices.get(tx, actor, change.device_id)
    # Read back later than the last poll.
    info = tx.session.get_one(Device, change.device_id).info
    document = view.model_dump() | {"info": info, "differences": change.differences}
    return ConfiguredDevice.model_validate(document | {"change": change})


def answers(device_id: uuid.UUID) -> bool:
    """Whether the device itself answers now; NotFound, BadRequest."""
    address, mac = db.run(lambda tx: _called(tx, device_id))
    try:
        check_same(mac, ask(Axeos(address).info()))
    except BadGateway:
        return False
    return True


def _called(tx: Tx, device_id: uuid.UUID) -> tuple[str, str | None]:
    device = devices.find(tx, device_id)
    return claiming.address_of(device), device.mac
