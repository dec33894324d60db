"""People from the command line: the first admin, and whoever lost the way in."""

import getpass
import sys

from pydantic import ValidationError

from testbench.adapters import db
from testbench.domain.identity import BENCH, Role
from testbench.launcher.instance import Instance, Refused
from testbench.services import users
from testbench.settings import settings

ADMIN_PASSWORD = "admin_password"  # noqa: S105 (its name among the secrets)


def make_first_admin() -> None:
    """Makes `admin` where there is nobody yet; a password made up for it is kept, then told once.

    It is kept before the commit: one that nobody knows would lock everybody out.
    """
    with db.transaction() as tx:
        made_up = users.ensure_admin(tx, settings().admin_password)
        if made_up is not None:
            Instance.at(settings().testbench_data).keep(ADMIN_PASSWORD, made_up)


def create_user(username: str, password: str, role: Role) -> None:
    """A new person; Conflict where the name is taken, Refused where name or password are unfit."""
    try:
        new = users.NewUser(username=username, password=password, role=role)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise Refused(wrong) from None
    with db.transaction() as tx:
        users.create(tx, BENCH, new)


def ask_password() -> str:
    """From the terminal, unseen, or the first line of what is piped in."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")
