"""The demo: a small fleet with tests, environments and finished runs, marked, gone in one click."""

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import case, delete, func, or_, select, update
from sqlmodel import col

from testbench.adapters import device_logs, live, stores
from testbench.adapters.db import Tx
from testbench.adapters.stores import Reading
from testbench.domain.errors import Conflict
from testbench.domain.identity import BENCH, Actor, require
from testbench.domain.ids import new_id
from testbench.domain.runs import ACTIVE, worst
from testbench.domain.simulation import FLEET, MINER_MACS, UNITS, measure
from testbench.domain.times import at, ms
from testbench.domain.tokens import new_token, token_hash
from testbench.models import (
    Device,
    DiscoveredDevice,
    Environment,
    Preset,
    Rollout,
    Run,
    RunDevice,
    RunEvent,
    Series,
    TestCase,
)
from testbench.services import devices, environments, grafana, presets, test_cases
from testbench.services.devices import NewDevice
from testbench.services.environments import EnvironmentBody
from testbench.services.presets import PresetBody
from testbench.services.runs.finishing import DeviceResult, Ending, finish
from testbench.services.runs.stepping import reason_of
from testbench.services.test_cases import TestCaseBody, TestCaseView

HISTORY = timedelta(hours=3)
EVERY_MS = 5000

_CASES: tuple[dict[str, Any], ...] = (
    {
        "name": "Quick check (demo)",
        "description": "Half a minute: is the device talking, and within its limits?",
        "duration_s": 30,
        "grace_s": 3,
        "criteria": [
            {
                "kind": "range",
                "name": "Temperature in range",
                "metric": "temp",
                "unit": "°C",
                "low": "{{temp_min}}",
                "high": "{{temp_max}}",
                "marginal_fraction": 0.1,
            },
            {
                "kind": "coverage",
                "name": "Readings arrive",
                "metric": "temp",
                "max_gap_s": 10,
            },
        ],
    },
    {
        "name": "Thermal stability (demo)",
        "description": "Ten minutes at rest: temperature settles, power stays where it belongs.",
        "duration_s": 600,
        "warmup_s": 30,
        "criteria": [
            {
                "kind": "settle",
                "name": "Settles",
                "metric": "temp",
                "unit": "°C",
                "low": "{{temp_min}}",
                "high": "{{temp_max}}",
                "within_s": 120,
            },
            {
                "kind": "aggregate",
                "name": "95 % of the time below",
                "metric": "temp",
                "unit": "°C",
                "statistic": "p95",
                "high": "{{temp_max}}",
                "marginal_fraction": 0.1,
            },
            {
                "kind": "aggregate",
                "name": "Mean power",
                "metric": "power",
                "unit": "W",
                "statistic": "mean",
                "high": 15,
            },
            {
                "kind": "rate_of_change",
                "name": "No jumps",
                "metric": "temp",
                "unit": "°C",
                "max_per_s": 2,
                "severity": "warning",
            },
        ],
    },
)
_PRESETS: tuple[dict[str, Any], ...] = (
    {
        "name": "Efficient 485 MHz (demo)",
        "description": "Fewer hashes, far fewer watts.",
        "configuration": {"frequency": 485, "coreVoltage": 1100},
    },
    {
        "name": "600 MHz (demo)",
        "description": "What a BM1370 is made for; older chips lose hashes at it.",
        "configuration": {"frequency": 600, "coreVoltage": 1200},
    },
    {
        "name": "Cool, 55 °C (demo)",
        "description": "The fan works harder to keep the chip at 55 °C.",
        "configuration": {"autofanspeed": True, "temptarget": 55},
    },
)
_HOLDS: tuple[dict[str, Any], ...] = (
    {
        "kind": "ratio",
        "name": "Holds its hashrate",
        "metric": "hashrate",
        "other_metric": "expected_hashrate",
        "low": 0.95,
    },
    {
        "kind": "range",
        "name": "Stays cool",
        "metric": "temp",
        "unit": "°C",
        "high": 65,
    },
)
_STAGED: tuple[tuple[str, str, float], ...] = (
    ("600 MHz holds its hashrate (demo)", "Five minutes", 300),
    ("600 MHz, 30 s (demo)", "Half a minute, for the impatient", 30),
)
_ENVIRONMENTS: tuple[dict[str, Any], ...] = (
    {
        "name": "Lab bench, 22 °C (demo)",
        "description": "Open bench, air-conditioned.",
        "variables": {"temp_min": 10, "temp_max": 38},
        "tags": ["demo"],
    },
    {
        "name": "Climate chamber, 5 °C (demo)",
        "description": "What a device must hold in the cold.",
        "variables": {"temp_min": -10, "temp_max": 24},
        "tags": ["demo"],
    },
)


def seed(tx: Tx) -> bool:
    """Make the demo where there is none; whether it was made."""
    if tx.session.scalar(select(Device).where(col(Device.demo)).limit(1)) is not None:
        return False
    fleet = [_device(tx, profile) for profile in FLEET]
    cases = [
        test_cases.create(tx, BENCH, TestCaseBody.model_validate(body), demo=True)
        for body in _CASES
    ]
    _stage(tx)
    rooms = [
        environments.create(tx, BENCH, EnvironmentBody.model_validate(body), demo=True)
        for body in _ENVIRONMENTS
    ]
    for i, device in enumerate(fleet):
        _remember(tx, device, FLEET[i].name)
    hour = timedelta(hours=1)
    _past_run(tx, cases[0], rooms[0].id, [fleet[0], fleet[1]], tx.now - 2 * hour)
    _past_run(tx, cases[0], rooms[1].id, [fleet[2]], tx.now - 1.6 * hour)
    heated = _overheating_before(tx.now - hour)
    _past_run(tx, cases[0], rooms[0].id, [fleet[5]], heated)
    _past_run(tx, cases[1], rooms[0].id, [fleet[4]], tx.now - 0.8 * hour)
    _past_run(tx, cases[1], rooms[0].id, [fleet[0], fleet[1]], tx.now - 0.4 * hour)
    return True


def _stage(tx: Tx) -> None:
    """Presets, and tests that set a miner to 600 MHz first and put it back after."""
    made = [presets.create(tx, BENCH, PresetBody(**body), demo=True) for body in _PRESETS]
    setup = [
        {"kind": "apply_preset", "preset_id": str(made[1].id)},
        {"kind": "restart"},
        {"kind": "wait_online"},
    ]
    for name, length, duration_s in _STAGED:
        body = {
            "name": name,
            "description": f"{length} at 600 MHz: at least 95 % of the hashrate by the book, "
            "below 65 °C. The miner gets its own settings back.",
            "duration_s": duration_s,
            "warmup_s": 10,
            "setup": setup,
            "teardown": "restore",
            "criteria": list(_HOLDS),
        }
        test_cases.create(tx, BENCH, TestCaseBody.model_validate(body), demo=True)


def _overheating_before(moment: datetime) -> datetime:
    """The start of a window in which the odd device grows too hot."""
    period = 1800
    began = ms(moment) // 1000 // period * period
    return at((began + 50) * 1000)


def _device(tx: Tx, profile: Any) -> uuid.UUID:
    new = NewDevice(name=profile.name, kind="simulated", tags=list(profile.tags))
    return devices.create(tx, BENCH, new, demo=True).id


def _remember(tx: Tx, device_id: uuid.UUID, name: str) -> None:
    """Three hours of readings, as if the device had been there."""
    profile = next(profile for profile in FLEET if profile.name == name)
    end = ms(tx.now)
    readings = [
        Reading(device_id, metric, ts, value)
        for ts in range(end - ms_of(HISTORY), end, EVERY_MS)
        for metric, value in measure(profile, ts / 1000).items()
    ]
    stores.store().write(tx, readings)
    tx.session.execute(
        update(Series).where(col(Series.device_id) == device_id).values(unit=_unit_of())
    )


def _unit_of() -> Any:
    return case(UNITS, value=col(Series.metric), else_=None)


def ms_of(span: timedelta) -> int:
    """A span in whole ms."""
    return span // timedelta(milliseconds=1)


def _past_run(
    tx: Tx, case: TestCaseView, room: uuid.UUID, members: list[uuid.UUID], start: datetime
) -> None:
    """A run that ended in the past, its verdicts judged from the stored readings like any other."""
    environment = environments.get(tx, BENCH, str(room))
    spec = case.resolve(environment.variables)
    begin = at(ms(start) + round(spec.warmup_s * 1000))
    window = spec.window(ms(begin))
    run = Run(
        id=new_id(),
        name=case.name.removesuffix(" (demo)") + " (demo)",
        status="running",
        test_case_id=case.id,
        test_case=case.model_dump(mode="json"),
        environment_id=room,
        environment=environment.model_dump(mode="json"),
        demo=True,
        phase="observe",
        queued_at=start,
        started_at=start,
        window_start=begin,
        window_end=at(window.end),
    )
    tx.session.add(run)
    tx.session.flush()
    _join(tx, run.id, members)
    results = [_judged(tx, spec, device, window) for device in members]
    ended = at(window.end) + timedelta(seconds=spec.grace_s)
    reason = reason_of(tx, run.id, results)
    outcome = worst([result.outcome for result in results])
    finish(tx, run, Ending(outcome=outcome, devices=results, reason=reason))
    run.ended_at = ended
    tx.session.flush()
    _date_events(tx, run, ended)


def _join(tx: Tx, run_id: uuid.UUID, members: list[uuid.UUID]) -> None:
    names = {
        d.id: d.name for d in tx.session.scalars(select(Device).where(col(Device.id).in_(members)))
    }
    tx.session.add_all(
        RunDevice(run_id=run_id, device_id=device, position=i, name=names[device])
        for i, device in enumerate(members)
    )
    tx.session.flush()


def _judged(tx: Tx, spec: Any, device_id: uuid.UUID, window: Any) -> DeviceResult:
    judged = test_cases.judge(tx, spec, device_id, window)
    return DeviceResult(
        device_id=device_id, outcome=judged.outcome or "error", criteria=judged.criteria
    )


def _date_events(tx: Tx, run: Run, ended: datetime) -> None:
    """The timeline of a run that was never watched."""
    tx.session.execute(update(RunEvent).where(col(RunEvent.run_id) == run.id).values(at=ended))
    for moment, event in ((run.queued_at, "queued"), (run.started_at, "started")):
        tx.session.add(RunEvent(run_id=run.id, at=moment or ended, event=event, detail="demo"))


def renew_tokens(tx: Tx) -> dict[str, str]:
    """New credentials of the demo devices that are still there, by name."""
    wanted = select(Device).where(col(Device.demo), col(Device.removed_at).is_(None))
    tokens: dict[str, str] = {}
    for device in tx.session.scalars(wanted.with_for_update()):
        tokens[device.name] = new_token("tbd")
        device.token_hash = token_hash(tokens[device.name])
    return tokens


def _fleet() -> Any:
    """The demo's devices, and its miners that were imprinted."""
    return or_(col(Device.demo), col(Device.mac).in_(MINER_MACS))


def size(tx: Tx, actor: Actor) -> int:
    """How many demo devices there are."""
    require(actor, "viewer")
    demo = select(func.count()).where(_fleet(), col(Device.removed_at).is_(None))
    return tx.session.scalar(demo) or 0


def remove(tx: Tx, actor: Actor) -> int:
    """Take everything of the demo away; how many devices. Conflict while one is in a run."""
    require(actor, "engineer")
    fleet = select(col(Device.id)).where(_fleet())
    busy = (
        select(col(Run.id))
        .join(RunDevice, col(RunDevice.run_id) == col(Run.id))
        .where(col(RunDevice.device_id).in_(fleet), col(Run.status).in_(ACTIVE))
    )
    if tx.session.scalar(busy.limit(1)) is not None:
        raise Conflict("A demo device is in a run; wait for it or cancel it.")
    ids = list(tx.session.scalars(fleet))
    runs = select(col(RunDevice.run_id)).where(col(RunDevice.device_id).in_(ids))
    tx.session.execute(delete(Run).where(col(Run.id).in_(runs)))
    for device_id in ids:
        stores.store().delete(tx, device_id)
        grafana.forget(tx, device_id)
        tx.emit("devices", device_id)
        tx.emit("removed", device_id)
        tx.after_commit(partial(live.forget, device_id))
        tx.after_commit(partial(device_logs.forget, device_id))
    _remove_rows(tx, ids)
    return len(ids)


def _remove_rows(tx: Tx, ids: list[uuid.UUID]) -> None:
    demo_presets = select(col(Preset.id)).where(col(Preset.demo))
    tx.session.execute(delete(Rollout).where(col(Rollout.preset_id).in_(demo_presets)))
    found = col(DiscoveredDevice.mac).in_(MINER_MACS)
    tx.session.execute(delete(DiscoveredDevice).where(found))
    tx.session.execute(delete(Device).where(col(Device.id).in_(ids)))
    tables: tuple[Any, ...] = (TestCase, Environment, Preset)
    for table in tables:
        tx.session.execute(delete(table).where(col(table.demo)))
