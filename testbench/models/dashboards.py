"""Grafana dashboards that the bench made, or still has to make, publish or delete."""
# SQLModel takes a string for __tablename__, and its type does not say so.
# pyright: reportAssignmentType=false

import uuid
from datetime import datetime

from sqlalchemy import Column, Uuid
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

from testbench.models import columns


class GrafanaDashboard(SQLModel, table=True):
    """One dashboard in Grafana; `due_at` makes the row the outbox of what is still to be done.

    Without a foreign key: it outlives its device until Grafana has forgotten it too.
    """

    __tablename__ = "grafana_dashboards"

    uid: str = Field(sa_column=Column(Text, primary_key=True))
    device_id: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid, unique=True))
    """None: the fleet's."""
    digest: str | None = Field(default=None, sa_column=Column(Text))
    """Of what Grafana has; another one is due where the generated dashboard differs."""
    url: str | None = Field(default=None, sa_column=Column(Text))
    public_token: str | None = Field(default=None, sa_column=Column(Text))
    deleting: bool = False
    due_at: datetime | None = columns.moment(null=True, index=True)
    failures: int = 0
    error: str | None = Field(default=None, sa_column=Column(Text))
