"""Devices below HTTP: who may, addresses, the shown state, the account at the broker."""

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.devices import mac_or_none, normal_address, shown_state
from testbench.domain.errors import Forbidden, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.models import Device
from testbench.services import devices, runs
from testbench.services.devices import DevicePatch, NewDevice
from tests import made_runs
from tests.services import Env

VIEWER = Actor(new_id(), "v", "viewer")
READER = Actor(new_id(), "r", "admin", scope="read")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.20", "192.168.1.20"),
        (" 192.168.1.20:8080 ", "192.168.1.20:8080"),
        ("FE80::1", "fe80::1"),
        ("[fe80::1]:80", "[fe80::1]:80"),
        ("10.0.0.1:65535", "10.0.0.1:65535"),
    ],
)
def test_addresses_have_one_form(text: str, address: str) -> None:
    assert normal_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.2.3", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:١", "[1.2.3.4]:80",
     "http://1.2.3.4", "1.2.3.4/24", "1.2.3.4\n", "::1:99999:", "[::1]", "user@1.2.3.4"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    if text in ("1.2.3.4\n", "[::1]"):
        assert normal_address(text) in ("1.2.3.4", "::1")  # nothing but its form is odd
        return
    with pytest.raises(ValueError, match="must be"):
        normal_address(text)


def test_an_id_is_never_taken_for_a_mac() -> None:
    assert mac_or_none("C0-FA-38-00-11-22") == "c0:fa:38:00:11:22"
    assert mac_or_none("c0fa38001122") is None
    assert mac_or_none(str(new_id())) is None
    assert mac_or_none("%00:x") is None


@pytest.mark.usefixtures("bench_env")
@pytest.mark.parametrize("maintenance", [False, True])
def test_the_databases_state_is_the_domains(maintenance: bool) -> None:
    case = made_runs.case()
    for reserved, online in itertools.product([False, True], [False, True]):
        device = made_runs.online_device()
        if reserved:
            made_runs.started(case.id, [device.id])
        patch = DevicePatch(maintenance=maintenance)
        db.run(lambda tx, id=str(device.id), patch=patch: devices.change(tx, BENCH, id, patch))
        made_runs.heard(device.id, ahead_s=300 if online else -300)
        expected = shown_state(reserved=reserved, maintenance=maintenance, online=online)

        shown = db.run(lambda tx, id=device.id: devices.get(tx, BENCH, id))
        found = db.run(lambda tx, state=expected: devices.list_(tx, BENCH, state=state)).items

        assert (shown.state, shown.online) == (expected, online)
        assert device.id in [item.id for item in found]


VERBS: list[Callable[[Any, Actor, str], object]] = [
    lambda tx, actor, _: devices.create(tx, actor, NewDevice(name="x", kind="http")),
    lambda tx, actor, id: devices.change(tx, actor, id, DevicePatch(name="y")),
    devices.remove,
]


@pytest.mark.usefixtures("bench_env")
@pytest.mark.parametrize("actor", [VIEWER, READER])
def test_the_services_themselves_refuse_who_may_not(actor: Actor) -> None:
    device = made_runs.online_device()
    for verb in VERBS:
        with pytest.raises(Forbidden):
            db.run(lambda tx, verb=verb: verb(tx, actor, str(device.id)))
    with pytest.raises(Forbidden):
        devices.renew_token(actor, str(device.id))
    with pytest.raises(Forbidden):
        devices.remove_fully(actor, str(device.id))

    assert db.run(lambda tx: devices.get(tx, actor, device.id)).name == device.name


def test_a_registration_the_broker_refuses_leaves_nothing(bench_env: Env) -> None:
    bench_env.set(MQTT_URL="mqtt://u:p@127.0.0.1:1")

    with pytest.raises(Exception, match="does not answer"):
        devices.register(BENCH, NewDevice(name="x", kind="mqtt"))

    assert db.run(lambda tx: devices.list_(tx, BENCH)).items == []


def test_a_renewal_the_broker_refuses_keeps_the_old_credential(bench_env: Env) -> None:
    bench_env.set(MQTT_URL="mqtt://u:p@127.0.0.1:1")
    device = made_runs.online_device()
    before = _row(device.id).token_hash

    with pytest.raises(Exception, match="does not answer"):
        devices.renew_token(BENCH, str(device.id))

    assert _row(device.id).token_hash == before


def test_a_removal_the_broker_did_not_hear_of_is_told_later(bench_env: Env) -> None:
    bench_env.set(MQTT_URL="mqtt://u:p@127.0.0.1:1")
    device, other = made_runs.online_device(), made_runs.online_device()
    devices.remove_fully(BENCH, str(device.id))

    with pytest.raises(NotFound):
        db.run(lambda tx: devices.get(tx, BENCH, device.id))
    assert db.run(devices.removed_with_account) == [device.id]
    bench_env.set(MQTT_URL="mqtt://127.0.0.1:1?auth=none")
    assert devices.revoke(device.id)

    assert db.run(devices.removed_with_account) == []
    assert _row(other.id).token_hash is not None


@pytest.mark.usefixtures("bench_env")
def test_a_device_in_a_run_stays_however_it_is_removed() -> None:
    device = made_runs.online_device()
    run = made_runs.started(made_runs.case().id, [device.id])

    with pytest.raises(Exception, match="in a run"):
        devices.remove_fully(BENCH, str(device.id))
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))
    db.run(lambda tx: devices.remove(tx, BENCH, str(device.id)))

    assert _row(device.id).removed_at is not None


def _row(device_id: uuid.UUID) -> Device:
    with db.transaction() as tx:
        return tx.session.get_one(Device, device_id)
