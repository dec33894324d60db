"""People who log in, and the tokens their programs use."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, text
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class User(SQLModel, table=True):
    """A person; `password_hash` is bcrypt over a pre-hash."""

    __tablename__ = "users"
    __table_args__ = (Index("users_username", text("lower(username)"), unique=True),)

    id: uuid.UUID = columns.key()
    username: str = Field(sa_column=Column(Text, nullable=False))
    password_hash: str = Field(sa_column=Column(Text, nullable=False))
    role: str = Field(sa_column=Column(Text, nullable=False))
    disabled_at: datetime | None = columns.moment(null=True)
    created_at: datetime = columns.moment()


class AccessToken(SQLModel, table=True):
    """A personal access token, kept as SHA-256."""

    __tablename__ = "access_tokens"

    id: uuid.UUID = columns.key()
    user_id: uuid.UUID = columns.ref("users.id", cascade=True)
    name: str = Field(sa_column=Column(Text, nullable=False))
    scope: str = Field(sa_column=Column(Text, nullable=False))
    token_hash: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    expires_at: datetime | None = columns.moment(null=True)
    last_used_at: datetime | None = columns.moment(null=True)
    created_at: datetime = columns.moment()


class DashboardConfig(SQLModel, table=True):
    """A person's home page: tiles and time range."""

    __tablename__ = "dashboard_configs"

    user_id: uuid.UUID = columns.ref("users.id", primary=True, cascade=True)
    config: dict[str, Any] = columns.document()


class IdempotencyKey(SQLModel, table=True):
    """The answer once given to a key, so that a repeat starts nothing anew."""

    __tablename__ = "idempotency_keys"

    user_id: uuid.UUID = columns.ref("users.id", primary=True, cascade=True)
    key: str = Field(sa_column=Column(Text, primary_key=True))
    body_hash: str = Field(sa_column=Column(Text, nullable=False))
    answer: dict[str, Any] = columns.document()
    created_at: datetime = columns.moment(index=True)
