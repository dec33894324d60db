"""The demo: judged like anything else, and gone without a trace when it is removed."""

import pytest
from sqlmodel import col, func, select

from testbench.adapters import db
from testbench.domain.errors import Conflict, Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.simulation import FLEET, MINER_MACS, MINER_SEED, MINERS
from testbench.launcher.emulator import emulate
from testbench.models import Device, Environment, Preset, Run, Series, TestCase
from testbench.services import demo, devices, runs, telemetry
from testbench.services.devices import NewDevice
from testbench.services.runs import NewRun
from tests.services import Env

pytestmark = pytest.mark.usefixtures("bench_env")
VIEWER = Actor(user_id=None, username="v", role="viewer")


@pytest.fixture
def seeded(bench_env: Env) -> None:
    with db.transaction() as tx:
        assert demo.seed(tx)


def test_the_demo_has_passing_and_failing_runs_with_reasons(seeded: None) -> None:
    with db.transaction() as tx:
        ended = runs.list_(tx, BENCH).items

    assert {run.status for run in ended} == {"completed"}
    assert sorted(run.outcome or "" for run in ended) == ["fail", "pass", "pass", "pass", "pass"]
    failed = next(run for run in ended if run.outcome == "fail")
    assert "demo-controller-02" in (failed.reason or "")


def test_the_demo_is_made_once(seeded: None) -> None:
    with db.transaction() as tx:
        assert not demo.seed(tx)
        assert demo.size(tx, VIEWER) == len(FLEET)


def test_removing_the_demo_leaves_nothing_of_it(seeded: None) -> None:
    with db.transaction() as tx:
        removed = demo.remove(tx, BENCH)

    assert removed == len(FLEET)
    with db.transaction() as tx:
        for table in (Device, Run, TestCase, Environment, Series):
            assert tx.session.scalar(select(func.count()).select_from(table)) == 0


def test_removing_the_demo_takes_its_imprinted_miners_along_and_no_other_device(
    seeded: None,
) -> None:
    with db.transaction() as tx:
        new = {"kind": "axeos", "ip": "127.0.0.1:9800"}
        mine = NewDevice(name="mine", mac="c0:fa:38:00:00:01", **new)
        devices.create(tx, BENCH, mine)
        devices.create(tx, BENCH, NewDevice(name="miner", mac=MINER_MACS[3], **new))
        assert demo.size(tx, VIEWER) == len(FLEET) + 1

    with db.transaction() as tx:
        assert demo.remove(tx, BENCH) == len(FLEET) + 1

    with db.transaction() as tx:
        assert [device.name for device in tx.session.scalars(select(Device))] == ["mine"]
        assert tx.session.scalar(select(func.count()).select_from(Preset)) == 0


def test_the_emulated_miners_have_the_macs_the_demo_knows() -> None:
    with emulate(len(MINERS), MINERS, seed=MINER_SEED) as fleet:
        assert tuple(device.mac for device in fleet.devices) == MINER_MACS


def test_a_viewer_may_not_remove_the_demo(seeded: None) -> None:
    with db.transaction() as tx, pytest.raises(Forbidden):
        demo.remove(tx, VIEWER)


def test_a_demo_device_in_a_run_keeps_the_demo(seeded: None) -> None:
    with db.transaction() as tx:
        device = tx.session.scalars(select(Device).where(col(Device.demo))).first()
        case = tx.session.scalars(select(TestCase)).first()
        environment = tx.session.scalars(select(Environment)).first()
        assert device
        assert case
        assert environment
    telemetry.ingest([telemetry.Message(device.id, b'{"temp": 20}', "http", 1_700_000_000_000)])
    new = NewRun(
        test_case_id=str(case.id), environment_id=str(environment.id), device_ids=[str(device.id)]
    )
    db.run(lambda tx: runs.start(tx, BENCH, new))

    with db.transaction() as tx, pytest.raises(Conflict):
        demo.remove(tx, BENCH)


def test_a_reading_shows_the_unit_that_was_written_down_before(seeded: None) -> None:
    with db.transaction() as tx:
        device = devices.list_(tx, BENCH).items[0]

    telemetry.ingest([telemetry.Message(device.id, b'{"temp": 20}', "http", 1_700_000_000_000)])

    with db.transaction() as tx:
        assert devices.get(tx, BENCH, device.id).latest["temp"]["unit"] == "°C"
