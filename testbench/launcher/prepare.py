"""Everything the database needs before the bench runs: schema, first user, demo."""

from alembic import command
from alembic.config import Config

from testbench.launcher.process import ROOT


def prepare(demo: bool) -> None:
    """Migrates to the newest schema, makes the first user and, where asked, the demo."""
    migrate()
    from testbench.launcher.users import make_first_admin

    make_first_admin()
    if demo:
        from testbench.launcher.demo import seed

        seed()


def migrate() -> None:
    """Alembic's `upgrade head` on DATABASE_URL."""
    command.upgrade(Config(ROOT / "alembic.ini"), "head")


def write_migration(text: str) -> None:
    """The next migration, from what the models say and DATABASE_URL, brought up to date, lacks."""
    migrate()
    command.revision(Config(ROOT / "alembic.ini"), text, autogenerate=True)
