"""Setting a run's stage on its devices and clearing it; no transaction is open meanwhile.

A step takes all devices that are not done yet, tries each once, and comes again for those that did
not answer. What was changed is written down before it is, so that any worker can put it back.
"""

import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import ColumnElement, func, select
from sqlmodel import col

from testbench.adapters import db
from testbench.adapters.db import Tx
from testbench.domain.errors import BenchError
from testbench.domain.test_cases import ApplyPreset, Restart, WaitOnline
from testbench.models import Device, Run, RunDevice
from testbench.services.runs import settling, timeline
from testbench.services.runs.claims import Fenced, Step, complete, end, locked
from testbench.services.runs.finishing import Ending, conclude_now, finish
from testbench.services.runs.settling import Done, NotYet
from testbench.settings import settings

Errand = Callable[[], None]
"""What speaks to devices: called when no transaction is open."""

THREADS = 32
"""How many devices this process speaks to at once, for all its runs."""
BATCH = 64
"""How many devices a step takes, so that none lasts for minutes."""
PAUSE = timedelta(seconds=2)
RESTARTING = timedelta(seconds=2)
"""So soon after a restart was ordered, an answer may still be one of before."""
MAX_NAMED = 5


@dataclass(frozen=True)
class Member:
    """A device of the run that a part is still to be done on."""

    id: uuid.UUID
    name: str
    restore: dict[str, Any] | None


@dataclass(frozen=True)
class Failure:
    """Why a try on a device failed; `final`: another one would meet the same."""

    member: Member
    words: str
    final: bool


@dataclass(frozen=True)
class Part:
    """A part of the setup, or the teardown: what is done on each device, and until when."""

    doing: str
    """For people, while it goes on: `applying preset Eco`."""
    event: str
    do: Callable[[Member], Done]
    limit_s: float


@lru_cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="stage")


# --- setup


def set_up(tx: Tx, step: Step, then: Callable[[], None]) -> Errand | None:
    """Go on with the setup: what is to be done on the devices, or, once all is, do `then`.

    An external runner gets its job instead.
    """
    run = locked(tx, step)
    if run.ending is not None:
        _go_to_the_end(tx, run)
        return None
    while step.stage < len(step.spec.setup):
        step.stage_began = step.stage_began or step.now
        part = step.spec.setup[step.stage]
        if not isinstance(part, WaitOnline):
            return _begin(tx, step, run, _changing(step, run, part))
        if not _all_online(tx, step, part):
            return None
        step.stage, step.stage_began = step.stage + 1, step.now
    step.message = None
    if (run.environment or {}).get("runner") == "external":
        _hand_out(tx, step, run)
    else:
        then()
    return None


def _go_to_the_end(tx: Tx, run: Run) -> None:
    """Somebody ended the run while its devices were set up."""
    run.message = None
    conclude_now(tx, run, Ending.model_validate(run.ending))


def _all_online(tx: Tx, step: Step, part: WaitOnline) -> bool:
    """Whether every device is; else the run waits, or ends when that took too long."""
    began = step.stage_began or step.now
    changed = any(not isinstance(p, WaitOnline) for p in step.spec.setup[: step.stage])
    away = _offline(tx, step.id, began + RESTARTING if changed else None)
    if not away:
        if began < step.now and step.message:
            timeline.note(tx, step.id, "setup", "all devices are online")
        return True
    if step.now > began + timedelta(seconds=part.timeout_s):
        reason = f"Setup: {_listed(away)} did not come online."
        end(tx, step, Ending(outcome="error", reason=reason))
        return False
    among = _devices(_count(tx, step.id))
    step.message = f"Setting up: waiting for {len(away)} of {among} to be online"
    step.due_at = step.now + timedelta(seconds=1)
    complete(tx, step)
    return False


_OFFLINE = """
SELECT d.name FROM run_devices rd JOIN devices d ON d.id = rd.device_id
LEFT JOIN presence p ON p.device_id = d.id
WHERE rd.run_id = %s AND coalesce(p.last_seen < greatest(
    clock_timestamp() - make_interval(secs => d.offline_after_s), %s::timestamptz), true)
ORDER BY rd.position
"""


def _offline(tx: Tx, run_id: uuid.UUID, since: Any) -> list[str]:
    """Names of those silent for too long, or not heard since then."""
    return [row[0] for row in tx.cursor().execute(_OFFLINE, (run_id, since))]


def _changing(step: Step, run: Run, part: ApplyPreset | Restart) -> Part:
    if isinstance(part, Restart):
        return Part("restarting", "setup", partial(_restart, step.id), part.timeout_s)
    presets = run.presets or {}
    preset = presets[str(part.preset_id)]
    wanted = [presets[str(id)]["configuration"] for id in sorted(step.spec.preset_ids())]
    before = partial(_keep, step, wanted) if step.spec.teardown == "restore" else None
    do = partial(_apply, step.id, preset, before)
    return Part(f"applying preset {preset['name']}", "setup", do, part.timeout_s)


def _restart(run_id: uuid.UUID, member: Member) -> Done:
    return settling.restart(run_id, member.id)


def _apply(
    run_id: uuid.UUID,
    preset: dict[str, Any],
    before: Callable[[Member], None] | None,
    member: Member,
) -> Done:
    if before is not None and member.restore is None:
        before(member)
    return settling.apply(run_id, member.id, preset["name"], preset["configuration"])


_KEEP = """
UPDATE run_devices SET restore = %s WHERE run_id = %s AND device_id = %s AND restore IS NULL
"""


def _keep(step: Step, wanted: list[dict[str, Any]], member: Member) -> None:
    """Write down what the device reports now of all that this setup will change, once."""
    kept, lost = settling.before(member.id, wanted)
    with db.transaction() as tx:
        _check_ours(tx, step, lock=True)
        tx.cursor().execute(_KEEP, (Jsonb(kept), step.id, member.id))
        if lost:
            why = f"{member.name}: cannot be restored, nobody can read it: {', '.join(lost)}"
            timeline.note(tx, step.id, "setup", why)


def _hand_out(tx: Tx, step: Step, run: Run) -> None:
    """The job goes out, and waits for its runner like any other: its time is its own again."""
    run.phase, run.status, run.queued_at, run.due_at = "dispatch", "queued", tx.now, tx.now
    run.started_at = run.started_at or step.now
    run.step, run.stage, run.stage_began = run.step + 1, 0, None
    run.claim = run.lease_until = run.sent_until = run.deadline_at = run.message = None
    tx.session.flush()
    tx.emit("runs", run.id)
    tx.wake_clock()


# --- teardown


def tear_down(tx: Tx, step: Step) -> Errand | None:
    """Put back what was, on every device that has something to be put back."""
    run = locked(tx, step)
    if step.stage_began is None:
        step.stage_began = step.now
        timeline.note(tx, step.id, "teardown")
    do = partial(_restore, step.id)
    part = Part("Restoring the settings", "restored", do, settings().teardown_away_s)
    return _begin(tx, step, run, part)


def _restore(run_id: uuid.UUID, member: Member) -> Done:
    return settling.restore(run_id, member.id, member.restore or {})


def _cleared(tx: Tx, step: Step, run: Run) -> None:
    """Tell the callback door, or end as was intended last."""
    ending = Ending.model_validate(run.ending)
    if not ending.report:
        run.message = None
        finish(tx, run, ending)
        return
    step.phase, step.due_at, step.ending = "callback", step.now, run.ending
    step.stage, step.stage_began, step.message = 0, step.now, None
    complete(tx, step)


def give_up(tx: Tx, run: Run, why: str) -> None:
    """The run ends without its teardown: devices that are not as they were go into maintenance."""
    run.message = None
    for member in _unrestored(tx, run.id):
        _hold(tx, run, member, why)


def _hold(tx: Tx, run: Run, member: Member, why: str) -> None:
    """A person has to look at the device."""
    device = tx.session.get_one(Device, member.id, with_for_update=True)
    device.maintenance = True
    device.maintenance_reason = f"Run #{run.number} could not restore its settings: {why}"[:500]
    tx.cursor().execute(_RESTORED, (run.id, member.id))
    timeline.note(tx, run.id, "maintenance", f"{member.name}: {why}")
    tx.emit("devices", device.id)


# --- both


def _begin(tx: Tx, step: Step, run: Run, part: Part) -> Errand | None:
    """Commit that the part goes on, then do it; or pass on where it is done on all."""
    members = _outstanding(tx, step)
    if not members:
        _pass_on(tx, step, run)
        return None
    run.status, run.started_at = "running", run.started_at or step.now
    run.deadline_at = run.deadline_at or step.deadline_at
    run.stage, run.stage_began = step.stage, step.stage_began
    step.message = run.message = _message(tx, step, part, len(members))
    tx.session.flush()
    tx.emit("runs", run.id)
    # In any order, so that some which hang do not keep the same others waiting each time.
    chosen = random.sample(members, min(BATCH, len(members)))
    return partial(_work_off, step, part, chosen)


def _work_off(step: Step, part: Part, members: list[Member]) -> None:
    failures = [one for one in _pool().map(partial(_try, step, part), members) if one]
    with db.transaction() as tx:
        _close(tx, step, part, failures)


def _try(step: Step, part: Part, member: Member) -> Failure | None:
    """One try on one device; raises Fenced if the step is not ours any more."""
    with db.transaction() as tx:
        if _check_ours(tx, step) and step.phase == "setup":
            return None
    try:
        done = part.do(member)
    except NotYet as error:
        return Failure(member, str(error), final=False)
    except BenchError as error:
        return Failure(member, error.detail, final=settling.is_final(error))
    with db.transaction() as tx:
        run = locked(tx, step)
        _mark(tx, step, member)
        timeline.note(tx, step.id, part.event, f"{member.name}: {done}")
        run.message = _message(tx, step, part, len(_outstanding(tx, step)))
        tx.emit("runs", step.id)
    return None


_OURS = "SELECT ending IS NOT NULL FROM runs WHERE id = %s AND step = %s AND claim = %s"


def _check_ours(tx: Tx, step: Step, *, lock: bool = False) -> bool:
    """Raises Fenced if the step is another's; True if the run has an ending by now."""
    query = f"{_OURS} FOR UPDATE" if lock else _OURS
    row = tx.cursor().execute(query, (step.id, step.step, step.claim)).fetchone()
    if row is None:
        raise Fenced
    return bool(row[0])


def _close(tx: Tx, step: Step, part: Part, failures: list[Failure]) -> None:
    """All that was tried is done, or failed: on to the next part, the end, or the same again."""
    run = locked(tx, step)
    step.now = step.due_at = tx.now
    if step.phase == "setup" and run.ending is not None:
        _go_to_the_end(tx, run)
        return
    over = step.now >= (step.stage_began or step.now) + timedelta(seconds=part.limit_s)
    hopeless = [one for one in failures if one.final or over]
    if hopeless and step.phase == "setup":
        end(tx, step, Ending(outcome="error", reason=_reason(hopeless)))
        return
    for failure in hopeless:
        _hold(tx, run, failure.member, failure.words)
    left = _outstanding(tx, step)
    if not left:
        _pass_on(tx, step, run)
        return
    step.message = _message(tx, step, part, len(left))
    step.ending = run.ending
    step.due_at = step.now + PAUSE if failures else step.now
    complete(tx, step)


def _pass_on(tx: Tx, step: Step, run: Run) -> None:
    if step.phase == "teardown":
        _cleared(tx, step, run)
        return
    step.stage, step.stage_began, step.due_at = step.stage + 1, tx.now, tx.now
    step.message = None
    complete(tx, step)


def _reason(failures: list[Failure]) -> str:
    told = [f"{one.member.name}: {one.words}" for one in failures[:MAX_NAMED]]
    more = f" And {len(failures) - MAX_NAMED} more." if len(failures) > MAX_NAMED else ""
    return f"Setup: {'; '.join(told)}{more}"[:2000]


def _outstanding(tx: Tx, step: Step) -> list[Member]:
    """The devices on which the current part is not done yet."""
    if step.phase == "teardown":
        return _unrestored(tx, step.id)
    return _members(tx, step.id, col(RunDevice.stage) <= step.stage)


def _unrestored(tx: Tx, run_id: uuid.UUID) -> list[Member]:
    return _members(tx, run_id, col(RunDevice.restore).is_not(None))


def _members(tx: Tx, run_id: uuid.UUID, where: ColumnElement[bool]) -> list[Member]:
    rows = select(col(RunDevice.device_id), col(RunDevice.name), col(RunDevice.restore))
    chosen = rows.where(col(RunDevice.run_id) == run_id, where)
    return [Member(*row) for row in tx.session.execute(chosen.order_by(col(RunDevice.position)))]


_DONE = "UPDATE run_devices SET stage = %s WHERE run_id = %s AND device_id = %s"
_RESTORED = "UPDATE run_devices SET restore = NULL WHERE run_id = %s AND device_id = %s"


def _mark(tx: Tx, step: Step, member: Member) -> None:
    if step.phase == "setup":
        tx.cursor().execute(_DONE, (step.stage + 1, step.id, member.id))
    else:
        tx.cursor().execute(_RESTORED, (step.id, member.id))


def _message(tx: Tx, step: Step, part: Part, left: int) -> str:
    where = f"on {left} of {_devices(_count(tx, step.id))}"
    return f"Setting up: {part.doing} {where}" if step.phase == "setup" else f"{part.doing} {where}"


def _count(tx: Tx, run_id: uuid.UUID) -> int:
    count = select(func.count()).where(col(RunDevice.run_id) == run_id)
    return tx.session.scalar(count) or 0


def _devices(count: int) -> str:
    return f"{count} device" + ("s" if count != 1 else "")


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return ", ".join([*names[:MAX_NAMED], *more])
