"""People from the command line: the first admin, and whoever lost the way in."""

from testbench.adapters import db
from testbench.domain.identity import BENCH, Role
from testbench.services import users


def make_first_admin(password: str) -> bool:
    """True if there was nobody yet and `admin` was made."""
    with db.transaction() as tx:
        if users.is_any(tx):
            return False
        users.create(tx, BENCH, "admin", password, "admin")
        return True


def create_user(username: str, password: str, role: Role) -> None:
    """A new person; Conflict where the name is taken."""
    with db.transaction() as tx:
        users.create(tx, BENCH, username, password, role)
