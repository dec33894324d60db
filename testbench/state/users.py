"""People and their rights, for administrators; one's own password and tokens, for everybody."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import reflex as rx
from pydantic import ValidationError

from testbench.domain.errors import BenchError
from testbench.domain.identity import ROLES, Role
from testbench.services import users
from testbench.services.users import NewToken, NewUser, PasswordChange, UserPatch
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.views import ViewState, faults, first_error

BCRYPT_S = 4.0
LIVES = {"30": 30, "90": 90, "365": 365}
"""Days a token may live; anything else: until it is deleted."""


@dataclass(frozen=True)
class Person:
    """A line of the table."""

    id: str
    name: str
    role: str
    disabled: bool
    created_at: str
    is_me: bool


class UsersState(ViewState, rx.State):
    """Everybody, and who is being changed."""

    people: list[Person] = []
    adding: bool = False
    saving: bool = False
    form_errors: dict[str, str] = {}
    resetting: str = ""
    """Id of the person whose password is being set."""
    resetting_name: str = ""

    @rx.event
    @guarded()  # the service refuses who is no administrator; the page then says so
    async def load(self):
        if actor().role == "admin":
            live.watch(self, {"users": None})
        async with self._loading():
            await self._read()

    @rx.event
    @guarded("admin")
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        found = await call(users.list_users)
        me = actor().user_id
        self.people = [
            Person(
                id=str(one.id),
                name=one.username,
                role=one.role,
                disabled=one.disabled,
                created_at=one.created_at.isoformat(),
                is_me=one.id == me,
            )
            for one in found.items
        ]

    @rx.event
    @guarded("admin")
    async def open_add(self, is_open: bool):
        self.adding, self.form_errors = is_open, {}

    @rx.event
    @guarded("admin")
    async def add(self, form: dict[str, Any]):
        self.saving, self.form_errors = True, {}
        yield
        try:
            new = NewUser.model_validate(
                {key: str(form.get(key, "")) for key in ("username", "password", "role")}
            )
            await call(users.create, new, attempt_s=BCRYPT_S)
        except (BenchError, ValidationError) as error:
            self.form_errors = faults(error)
            yield first_error()
        else:
            self.adding = False
            await self._read()
            yield rx.toast.success(f"{new.username} can log in now.")
        finally:
            self.saving = False

    @rx.event
    @guarded("admin")
    async def set_role(self, user_id: str, role: str):
        """A refusal (the last administrator) shows the role that stays."""
        try:
            if role in ROLES:
                await call(users.set_role, user_id, cast(Role, role))
        finally:
            await self._read()

    @rx.event
    @guarded("admin")
    async def set_disabled(self, user_id: str, disabled: bool):
        await call(users.change, user_id, UserPatch(disabled=disabled))
        await self._read()
        return rx.toast.success("Logged out and shut out." if disabled else "May log in again.")

    @rx.event
    @guarded("admin")
    async def open_reset(self, user_id: str, name: str):
        self.resetting, self.resetting_name, self.form_errors = user_id, name, {}

    @rx.event
    @guarded("admin")
    async def close_reset(self, is_open: bool):
        if not is_open:
            self.resetting = ""

    @rx.event
    @guarded("admin")
    async def reset_password(self, form: dict[str, Any]):
        """A new password; it ends the person's sessions."""
        self.saving, self.form_errors = True, {}
        yield
        try:
            patch = UserPatch.model_validate({"password": str(form.get("password", ""))})
            await call(users.change, self.resetting, patch, attempt_s=BCRYPT_S)
        except (BenchError, ValidationError) as error:
            self.form_errors = faults(error)
            yield first_error()
        else:
            self.resetting = ""
            yield rx.toast.success("The new password holds; old sessions have ended.")
        finally:
            self.saving = False


@dataclass(frozen=True)
class Token:
    """A personal access token, without the token itself."""

    id: str
    name: str
    scope: str
    expires_at: str
    last_used_at: str
    created_at: str


class AccountState(ViewState, rx.State):
    """One's own password and tokens."""

    tokens: list[Token] = []
    saving: bool = False
    password_errors: dict[str, str] = {}
    changed: int = 0
    """Counts changes of the password: the form starts anew after each."""
    creating: bool = False
    token_errors: dict[str, str] = {}
    new_token: str = ""
    deleting: str = ""
    deleting_name: str = ""

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        async with self._loading():
            await self._read()

    async def _read(self) -> None:
        found = await call(users.list_tokens)
        self.tokens = [
            Token(
                id=str(one.id),
                name=one.name,
                scope=one.scope,
                expires_at=one.expires_at.isoformat() if one.expires_at else "",
                last_used_at=one.last_used_at.isoformat() if one.last_used_at else "",
                created_at=one.created_at.isoformat(),
            )
            for one in found.items
        ]

    @rx.event
    @guarded()
    async def change_password(self, form: dict[str, Any]):
        self.saving, self.password_errors = True, {}
        yield
        try:
            if form.get("new_password") != form.get("again"):
                self.password_errors = {"again": "is not the same as the new password"}
                yield first_error()
                return
            new = PasswordChange(
                current_password=str(form.get("current_password", "")),
                new_password=str(form.get("new_password", "")),
            )
            await call(users.change_password, new, attempt_s=BCRYPT_S)
        except (BenchError, ValidationError) as error:
            self.password_errors = faults(error)
            yield first_error()
        else:
            self.changed += 1
            yield rx.toast.success("The password is changed; your other sessions have ended.")
        finally:
            self.saving = False

    @rx.event
    @guarded()
    async def open_create(self, is_open: bool):
        self.creating, self.new_token, self.token_errors = is_open, "", {}

    @rx.event
    @guarded()
    async def create_token(self, form: dict[str, Any]):
        """The token is shown this once."""
        self.token_errors = {}
        days = LIVES.get(str(form.get("life", "")))
        try:
            new = NewToken.model_validate(
                {
                    "name": str(form.get("name", "")).strip(),
                    "scope": form.get("scope"),
                    "expires_at": datetime.now(UTC) + timedelta(days=days) if days else None,
                }
            )
            made = await call(users.create_token, new)
        except (BenchError, ValidationError) as error:
            self.token_errors = faults(error)
            return first_error()
        self.new_token = made.token
        await self._read()
        return None

    @rx.event
    @guarded()
    async def open_delete(self, token_id: str, name: str):
        self.deleting, self.deleting_name = token_id, name

    @rx.event
    @guarded()
    async def close_delete(self, is_open: bool):
        if not is_open:
            self.deleting = ""

    @rx.event
    @guarded()
    async def delete_token(self):
        await call(users.delete_token, self.deleting)
        self.deleting = ""
        await self._read()
        return rx.toast.success("The token is refused from now on.")
