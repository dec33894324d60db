"""Who may do what: roles in order, and the actor every verb is called by."""

import uuid
from dataclasses import dataclass
from typing import Literal

from testbench.domain.errors import Forbidden

Role = Literal["viewer", "engineer", "supervisor", "admin"]
Scope = Literal["read", "write"]
ROLES: tuple[Role, ...] = ("viewer", "engineer", "supervisor", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, or the bench itself (`user_id` None), with the rights of this call."""

    user_id: uuid.UUID | None
    username: str
    role: Role
    scope: Scope = "write"
    session_id: str | None = None

    def may(self, role: Role) -> bool:
        """A read-only token never has more than a viewer's rights."""
        rank = ROLES.index(self.role) if self.scope == "write" else 0
        return rank >= ROLES.index(role)


BENCH = Actor(user_id=None, username="testbench", role="admin")


def require(actor: Actor, role: Role) -> None:
    """Raises Forbidden unless `actor` has at least `role`."""
    if not actor.may(role):
        raise Forbidden(f"This needs the role {role}.")
