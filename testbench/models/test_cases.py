"""Test cases and their immutable revisions."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class TestCase(SQLModel, table=True):
    """A name and which revision is current."""

    __tablename__ = "test_cases"
    __test__ = False

    id: uuid.UUID = columns.key()
    name: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    revision: int = 1
    demo: bool = False
    created_at: datetime = columns.moment()


class TestCaseRevision(SQLModel, table=True):
    """A document of domain.test_cases.TestCaseSpec, never changed once written."""

    __tablename__ = "test_case_revisions"
    __test__ = False

    test_case_id: uuid.UUID = columns.ref("test_cases.id", primary=True, cascade=True)
    revision: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    document: dict[str, Any] = columns.document()
    created_at: datetime = columns.moment()
