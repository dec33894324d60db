"""Environments: named conditions and variables, chosen when a run starts."""

import re
import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from testbench.adapters.db import Tx
from testbench.domain.criteria.parameters import finite_number
from testbench.domain.errors import Conflict, Invalid, NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.names import Name, Tag, Text, each_once
from testbench.domain.runs import ACTIVE
from testbench.models import Environment, Run
from testbench.services import lists
from testbench.services.keys import as_id
from testbench.settings import settings

MAX_TEXT = 1000
_VARIABLE = re.compile(r"[^{}\x00-\x1f\x7f-\x9f]{1,200}")


class EnvironmentBody(BaseModel):
    """What a person writes; variables are numbers or strings."""

    # Not strict: what GET answered may come back by PUT, with its id and time.
    model_config = ConfigDict(extra="ignore")

    name: Name
    description: Text = ""
    variables: dict[str, float | str] = Field(default_factory=dict, max_length=200)
    tags: Annotated[list[Tag], Field(max_length=50), AfterValidator(each_once)] = Field(
        default_factory=list[str]
    )
    runner: Literal["builtin", "external"] = "builtin"

    @field_validator("variables", mode="before")
    @classmethod
    def _plain(cls, variables: object) -> object:
        if isinstance(variables, dict):
            faults = [fault for entry in variables.items() if (fault := _fault(*entry))]
            if faults:
                raise ValueError("; ".join(faults[:5]))
        return variables


def _fault(name: object, value: object) -> str | None:
    """Why this is no variable."""
    if not isinstance(name, str) or name != name.strip() or not _VARIABLE.fullmatch(name):
        return f"{str(name)[:50]!r} is no variable name (1–200 characters, no braces)"
    if isinstance(value, str):
        return f"{name} must have at most 1000 characters" if len(value) > MAX_TEXT else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name} must be a number or a string"
    try:
        finite_number(value)
    except ValueError:
        return f"{name} must be a finite number"
    return None


class EnvironmentView(EnvironmentBody):
    """An environment as stored."""

    id: uuid.UUID
    created_at: datetime


def _view(row: Environment) -> EnvironmentView:
    return EnvironmentView.model_validate(row, from_attributes=True)


def find(tx: Tx, environment_id: str | uuid.UUID, *, lock: bool = False) -> Environment:
    """The row; NotFound if unknown."""
    key = as_id(environment_id, "environment")
    row = tx.session.get(Environment, key, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"There is no environment {str(environment_id)[:64]!r}.")
    return row


def get(tx: Tx, actor: Actor, environment_id: str) -> EnvironmentView:
    """One environment."""
    require(actor, "viewer")
    return _view(find(tx, environment_id))


def list_(
    tx: Tx, actor: Actor, *, limit: int = 100, cursor: str | None = None
) -> lists.Page[EnvironmentView]:
    """Environments in the order of their making."""
    require(actor, "viewer")
    rows, following = lists.page(
        tx, select(Environment), col(Environment.id), limit, cursor, uuid.UUID
    )
    return lists.Page(items=[_view(row[0]) for row in rows], next_cursor=following)


def _store(tx: Tx, row: Environment) -> EnvironmentView:
    tx.session.add(row)
    try:
        tx.session.flush()
    except IntegrityError as error:
        raise Conflict(
            "Another environment has this name.", errors=[("name", "is taken")]
        ) from error
    tx.emit("environments", row.id)
    return _view(row)


def _check_runner(body: EnvironmentBody) -> None:
    if body.runner == "external" and not settings().rabbitmq_url:
        raise Invalid(
            "An external runner takes its jobs from RabbitMQ; set RABBITMQ_URL.",
            errors=[("runner", "needs RabbitMQ")],
        )


def create(tx: Tx, actor: Actor, body: EnvironmentBody, *, demo: bool = False) -> EnvironmentView:
    """Conflict if the name is taken."""
    require(actor, "engineer")
    _check_runner(body)
    return _store(tx, Environment(**body.model_dump(), demo=demo, created_at=tx.now))


def replace(tx: Tx, actor: Actor, environment_id: str, body: EnvironmentBody) -> EnvironmentView:
    """Active and ended runs keep the copy they started with."""
    require(actor, "engineer")
    _check_runner(body)
    row = find(tx, environment_id, lock=True)
    row.sqlmodel_update(body.model_dump())
    return _store(tx, row)


def delete(tx: Tx, actor: Actor, environment_id: str) -> None:
    """Conflict while an active run uses it."""
    require(actor, "engineer")
    row = find(tx, environment_id, lock=True)
    uses = (
        select(col(Run.id))
        .where(col(Run.environment_id) == row.id, col(Run.status).in_(ACTIVE))
        .limit(1)
    )
    if tx.session.scalar(uses):
        raise Conflict("An active run uses this environment.")
    tx.session.delete(row)
    tx.emit("environments", row.id)
