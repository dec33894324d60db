"""Finding a device, a run or a test case by a part of its name, to jump to it."""

from typing import Any

from pydantic import BaseModel
from sqlalchemy import or_, select

from testbench.adapters.db import Tx
from testbench.domain.identity import Actor, require
from testbench.models import Device, Run, TestCase
from testbench.services import devices

LIMIT = 6


class Hit(BaseModel):
    """`kind` is `device`, `run` or `test case`; `href` its page."""

    kind: str
    title: str
    href: str


def find(tx: Tx, actor: Actor, text: str) -> list[Hit]:
    """At most six of each kind; a run is also found by its number."""
    require(actor, "viewer")
    like = "%" + text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
    return [*_devices(tx, text), *_runs(tx, text, like), *_test_cases(tx, like)]


def _devices(tx: Tx, text: str) -> list[Hit]:
    rows: Any = select(Device.id, Device.name).where(Device.removed_at.is_(None))  # type: ignore[call-overload,union-attr]  # SQLModel types columns as values
    found = tx.session.execute(
        devices.matching(rows, tag=None, q=text, kind=None).order_by(Device.name).limit(LIMIT)
    )
    return [Hit(kind="device", title=name, href=f"/devices/{id}") for id, name in found]


def _runs(tx: Tx, text: str, like: str) -> list[Hit]:
    number = text.removeprefix("#")
    wanted = Run.name.ilike(like)  # type: ignore[attr-defined]  # a column
    if number.isascii() and number.isdigit() and len(number) < 10:
        wanted = or_(wanted, Run.number == int(number))  # type: ignore[arg-type]  # columns
    rows: Any = select(Run.id, Run.number, Run.name).where(wanted)  # type: ignore[call-overload]  # as above
    found = tx.session.execute(rows.order_by(Run.id.desc()).limit(LIMIT))  # type: ignore[attr-defined]  # a column
    return [
        Hit(kind="run", title=f"#{number} {name}", href=f"/runs/{id}") for id, number, name in found
    ]


def _test_cases(tx: Tx, like: str) -> list[Hit]:
    rows: Any = select(TestCase.id, TestCase.name).where(TestCase.name.ilike(like))  # type: ignore[call-overload,attr-defined]  # columns
    found = tx.session.execute(rows.order_by(TestCase.name).limit(LIMIT))
    return [Hit(kind="test case", title=name, href=f"/test-cases/{id}") for id, name in found]
