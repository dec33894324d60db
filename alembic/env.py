"""Migrations run on DATABASE_URL; `make migrate m="…"` writes the next one."""

from alembic import context
from sqlalchemy import pool
from sqlmodel import SQLModel

import testbench.models  # noqa: F401  (registers the tables)
from testbench.adapters import db


def _include(name: str | None, kind: str, _parents: object) -> bool:
    # Partitions of `readings` are made on demand and are nobody's migration.
    return not (kind == "table" and name is not None and name.startswith("readings"))


def run() -> None:
    """Upgrade in one transaction, one migrator at a time."""
    engine = db.create_engine("postgresql+psycopg://", creator=db.connect, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            compare_type=True,
            include_name=_include,
        )
        with context.begin_transaction():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({db.Lock.MIGRATION:d})")
            context.run_migrations()


run()
