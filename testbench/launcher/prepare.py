"""Everything the database needs before the bench runs: schema, first user, demo."""

import importlib
import importlib.util

from testbench.launcher.process import ROOT
from testbench.settings import settings

DEMO = "testbench.launcher.demo"


def prepare(demo: bool) -> None:
    """Migrates to the newest schema; says `admin made` where the first user was made."""
    migrate()
    if importlib.util.find_spec("testbench.services.users") is None:
        return
    from testbench.launcher.users import make_first_admin

    password = settings().admin_password
    if password is not None and make_first_admin(password):
        print("admin made", flush=True)
    if demo and importlib.util.find_spec(DEMO) is not None:
        importlib.import_module(DEMO).seed()


def migrate() -> None:
    """Alembic's `upgrade head` on DATABASE_URL."""
    from alembic import command
    from alembic.config import Config

    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "alembic"))
    command.upgrade(config, "head")
