"""What is done to many devices at once: each is done or refused by itself, and both are told."""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pydantic import BaseModel
from sqlalchemy import update
from sqlmodel import col, select

from testbench.adapters.db import Tx
from testbench.domain.errors import BenchError
from testbench.domain.identity import Actor, require
from testbench.models import Device
from testbench.services import configurations, devices, monitoring
from testbench.services.devices import Tags

MAX_TAGS = 50
GONE = "A device is no longer there."
NOT_POLLED = "{} reports by itself; there is nothing to poll."
AT_A_TIME = 16


class Result(BaseModel):
    """How many devices it was done to, and why others were left as they were."""

    done: int = 0
    refused: list[str] = []

    def __add__(self, other: "Result") -> "Result":
        return Result(done=self.done + other.done, refused=[*self.refused, *other.refused])


def hold(tx: Tx, actor: Actor, ids: Sequence[str], *, on: bool) -> Result:
    """Into maintenance, or out of it."""
    require(actor, "engineer")
    wanted = col(Device.id).in_(ids), col(Device.removed_at).is_(None)
    changed = update(Device).where(*wanted).values(maintenance=on, maintenance_reason=None)
    return _told(tx, ids, list(tx.session.scalars(changed.returning(col(Device.id)))))


def tag(
    tx: Tx, actor: Actor, ids: Sequence[str], *, add: Tags, remove: Sequence[str] = ()
) -> Result:
    """Tags beside those they have, and some of those away."""
    require(actor, "engineer")
    wanted = select(Device).where(col(Device.id).in_(ids), col(Device.removed_at).is_(None))
    found = list(tx.session.scalars(wanted.order_by(col(Device.id)).with_for_update()))
    full: list[str] = []
    for device in found:
        kept = [tag for tag in device.tags if tag not in remove]
        tags = list(dict.fromkeys([*kept, *add]))
        if len(tags) > MAX_TAGS:
            full.append(f"{device.name} would have more than {MAX_TAGS} tags.")
        elif tags != device.tags:
            device.tags = tags
    tx.session.flush()
    told = _told(tx, ids, [device.id for device in found])
    return Result(done=told.done - len(full), refused=[*full, *told.refused])


def monitor(tx: Tx, actor: Actor, ids: Sequence[str], *, on: bool) -> Result:
    """Polled by the bench from now on, or no longer; devices that report by themselves are not."""
    found = {str(id) for id in monitoring.monitor(tx, actor, ids, on=on)}
    others = [id for id in ids if id not in found]
    names = select(Device.name).where(col(Device.id).in_(others), col(Device.removed_at).is_(None))
    refused = [NOT_POLLED.format(name) for name in tx.session.scalars(names.order_by(Device.name))]
    gone = [GONE] * (len(others) - len(refused))
    return Result(done=len(found), refused=[*refused, *gone])


def _told(tx: Tx, ids: Sequence[str], found: Sequence[uuid.UUID]) -> Result:
    for id in found:
        tx.emit("devices", id)
    absent = set(map(str, ids)) - set(map(str, found))
    return Result(done=len(found), refused=[GONE] * len(absent))


def remove(actor: Actor, ids: Sequence[str]) -> Result:
    """Out of the bench, one after the other; one that is in a run stays."""
    return _each(ids, partial(devices.remove_fully, actor))


def restart(actor: Actor, ids: Sequence[str]) -> Result:
    """Have them restart, some at a time: one that does not answer takes seconds to say so."""
    with ThreadPoolExecutor(AT_A_TIME, "restart") as pool:
        return sum(pool.map(partial(_restarted, actor), ids), Result())


def _restarted(actor: Actor, id: str) -> Result:
    return _each([id], partial(configurations.restart, actor))


def _each(ids: Sequence[str], act: Callable[[str], object]) -> Result:
    """`act` for each by itself: a refusal of one does not hold up the others."""
    result = Result()
    for id in ids:
        try:
            act(id)
        except BenchError as error:
            result += Result(refused=[error.detail])
        else:
            result += Result(done=1)
    return result
