"""Environments: the list, and one being written with its variables as a table."""

from dataclasses import dataclass, replace
from typing import Any

import reflex as rx
from pydantic import ValidationError

from testbench.domain.errors import BenchError
from testbench.services import environments
from testbench.services.environments import EnvironmentBody, EnvironmentView
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.drafts import number_of, refusals, text_of
from testbench.state.views import ViewState, first_error

NEW = "new"
MAX = 500
BLANK = {"name": "", "description": "", "tags": "", "runner": "builtin"}


@dataclass(frozen=True)
class EnvironmentRow:
    """An environment as the table shows it."""

    id: str
    name: str
    description: str
    variables: list[list[str]]
    more: int
    tags: str
    runner: str


class EnvironmentsState(ViewState, rx.State):
    """What the table shows now."""

    rows: list[EnvironmentRow] = []
    q: str = ""
    doomed: str = ""
    doomed_name: str = ""

    @rx.event
    @guarded()
    async def load(self):
        self.q, self.doomed = self._query().get("q", "")[:200], ""
        live.watch(self, {"environments": None}, every_s=0.5)
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        page = await call(environments.list_, limit=MAX)
        wanted = self.q.casefold()
        found = [one for one in page.items if wanted in one.name.casefold()]
        self.rows = [_row(one) for one in sorted(found, key=lambda one: one.name.casefold())]

    @rx.event
    @guarded()
    async def search(self, text: str):
        return rx.redirect(self._link(q=text.strip()[:200]), replace=True)

    @rx.event
    @guarded("engineer")
    async def ask_delete(self, environment_id: str, name: str):
        self.doomed, self.doomed_name = environment_id, name

    @rx.event
    @guarded()
    async def keep(self, _is_open: bool):
        self.doomed = ""

    @rx.event
    @guarded("engineer")
    async def delete(self):
        doomed, self.doomed = self.doomed, ""
        await call(environments.delete, doomed)
        await self._read()
        return rx.toast.success(f"{self.doomed_name} is deleted.")


SHOWN = 4


def _row(one: EnvironmentView) -> EnvironmentRow:
    pairs = [[name, text_of("value", value)] for name, value in one.variables.items()]
    return EnvironmentRow(
        id=str(one.id),
        name=one.name,
        description=one.description.partition("\n")[0],
        variables=pairs[:SHOWN],
        more=max(0, len(pairs) - SHOWN),
        tags=", ".join(one.tags),
        runner=one.runner,
    )


@dataclass(frozen=True)
class Variable:
    """A line of the table of variables, as typed."""

    key: int
    name: str = ""
    value: str = ""
    error: str = ""


class EnvironmentState(ViewState, rx.State):
    """One environment being written."""

    id: str = ""
    title: str = "New environment"
    fields: dict[str, str] = BLANK
    variables: list[Variable] = []
    errors: dict[str, str] = {}
    changed: bool = False
    busy: bool = False
    _next: int = 1

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        name = self.router.url.path.rstrip("/").rpartition("/")[2]
        self.reset()
        self.id = "" if name == NEW else name
        async with self._loading():
            if self.id:
                self._show(await call(environments.get, self.id))
            else:
                self._append()

    def _show(self, found: EnvironmentView) -> None:
        self.title = found.name
        self.fields = {
            "name": found.name,
            "description": found.description,
            "tags": ", ".join(found.tags),
            "runner": found.runner,
        }
        self.variables = [
            Variable(key, name, text_of("value", value))
            for key, (name, value) in enumerate(found.variables.items(), 1)
        ]
        self._next = len(self.variables) + 1

    def _append(self) -> None:
        self.variables = [*self.variables, Variable(self._next)]
        self._next += 1

    @rx.event
    @guarded()
    async def set_field(self, name: str, value: str):
        if name in BLANK:
            self.fields = self.fields | {name: value}
            self.errors = {key: text for key, text in self.errors.items() if key != name}
            self.changed = True

    @rx.event
    @guarded()
    async def set_variable(self, key: int, field: str, text: str):
        if field in ("name", "value"):
            self.variables = [
                replace(one, **{field: text}, error="") if one.key == key else one
                for one in self.variables
            ]
            self.changed = True

    @rx.event
    @guarded()
    async def add(self):
        self._append()
        self.changed = True

    @rx.event
    @guarded()
    async def remove(self, key: int):
        self.variables = [one for one in self.variables if one.key != key]
        self.changed = True

    @rx.event
    @guarded("engineer")
    async def save(self):
        self.busy = True
        yield
        self.busy = False
        try:
            body = self._body()
            kept = await (
                call(environments.replace, self.id, body)
                if self.id
                else call(environments.create, body)
            )
        except ValidationError as error:
            yield self._refuse(refusals(error))
            return
        except BenchError as error:
            if not error.errors:
                raise
            yield self._refuse(error.errors)
            return
        self.changed, self.errors = False, {}
        yield rx.toast.success(f"{kept.name} is saved.")
        yield rx.redirect("/environments")

    def _body(self) -> EnvironmentBody:
        used = [one for one in self.variables if one.name.strip() or one.value.strip()]
        names = [one.name.strip() for one in used]
        self.variables = [
            replace(one, error="There is another of this name." if names.count(one.name.strip()) > 1
                    and one in used else "")
            for one in self.variables
        ]  # fmt: skip
        return EnvironmentBody(
            name=self.fields["name"].strip(),
            description=self.fields["description"],
            tags=[tag.strip() for tag in self.fields["tags"].split(",") if tag.strip()],
            runner=self.fields["runner"],  # type: ignore[arg-type]  # the model checks it
            variables={one.name.strip(): _value(one.value) for one in used},
        )

    def _refuse(self, errors: list[tuple[str, str]]) -> Any:
        """Each error at its field; a variable's at its line, where the message names it."""
        found: dict[str, str] = {}
        for where, message in errors:
            found.setdefault(where.partition(".")[0], message)
        message = found.get("variables", "")
        self.variables = [
            replace(one, error=message)
            if message and one.name.strip() and one.name.strip() in message
            else one
            for one in self.variables
        ]
        self.errors = found
        return first_error()


def _value(text: str) -> float | str:
    plain = text.strip()
    if len(plain) > 1 and plain[0] == plain[-1] == '"':
        return plain[1:-1]
    number = number_of(plain)
    return text if number is None else number
