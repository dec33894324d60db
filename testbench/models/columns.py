"""Column makers shared by the tables: keys, aware times, documents."""

from typing import Any

from sqlalchemy import Column, DateTime, ForeignKey, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text
from sqlmodel import Field

from testbench.domain.ids import new_id


def key() -> Any:
    """A UUIDv7 primary key made in Python."""
    return Field(default_factory=new_id, sa_column=Column(Uuid, primary_key=True))


def ref(target: str, *, primary: bool = False, null: bool = False, cascade: bool = False) -> Any:
    """A foreign key to `table.column`."""
    link = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    column = Column(Uuid, link, primary_key=primary, nullable=null, index=not primary)
    return Field(default=None, sa_column=column) if null else Field(sa_column=column)


def moment(*, null: bool = False, index: bool = False) -> Any:
    """An aware timestamp."""
    column = Column(DateTime(timezone=True), nullable=null, index=index)
    return Field(default=None, sa_column=column) if null else Field(sa_column=column)


def document(*, null: bool = False, default: Any = dict) -> Any:
    """A JSONB value."""
    column = Column(JSONB(none_as_null=True), nullable=null)
    if null:
        return Field(default=None, sa_column=column)
    return Field(default_factory=default, sa_column=column)


def words() -> Any:
    """A list of strings."""
    return Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
