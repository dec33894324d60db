"""Named conditions and variables of a run."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime

from sqlalchemy import Column
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class Environment(SQLModel, table=True):
    """Variables fill the `{{…}}` of criteria; `runner` says who executes."""

    __tablename__ = "environments"

    id: uuid.UUID = columns.key()
    name: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    description: str = Field(default="", sa_column=Column(Text, nullable=False))
    variables: dict[str, float | str] = columns.document()
    tags: list[str] = columns.words()
    runner: str = Field(default="builtin", sa_column=Column(Text, nullable=False))
    demo: bool = False
    created_at: datetime = columns.moment()
