"""Starting a run in three choices; what is chosen is in the address, so a reload keeps it."""

from dataclasses import dataclass, replace

import reflex as rx

from testbench.domain.devices import KIND_WORDS
from testbench.domain.errors import BenchError, Conflict, Invalid, NotFound
from testbench.domain.ids import new_id
from testbench.domain.test_cases import TestCaseSpec
from testbench.services import choices, environments, runs, test_cases
from testbench.services.environments import EnvironmentView
from testbench.services.runs import NewRun
from testbench.services.test_cases import TestCaseView
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.drafts import text_of
from testbench.state.runs import options
from testbench.state.views import ViewState

SHOWN = 100
MAX_IN_ADDRESS = 40
"""More ids than that make an address no server takes; they are then kept by the tab alone."""


@dataclass(frozen=True)
class DeviceRow:
    """A device to choose; `why` says what forbids it."""

    id: str
    name: str
    kind: str
    tags: str
    state: str
    why: str
    chosen: bool


@dataclass(frozen=True)
class CaseFacts:
    """What the chosen test case will do."""

    sentences: list[str]
    tags: list[str]
    seconds: float
    description: str


class NewRunState(ViewState, rx.State):
    """The choices and what they come to."""

    devices: list[DeviceRow] = []
    total: int = 0
    available: int = 0
    q: str = ""
    chosen: list[str] = []
    cases: list[list[str]] = []
    case: str = ""
    facts: CaseFacts = CaseFacts([], [], 0.0, "")
    environments: list[list[str]] = []
    environment: str = ""
    variables: list[list[str]] = []
    name: str = ""

    summary: str = ""
    missing: str = ""
    problems: list[str] = []
    busy: bool = False
    _names: dict[str, str] = {}
    _key: str = ""

    @rx.event
    @guarded()
    async def load(self):
        query = self._query()
        self.case, self.environment = query.get("case", ""), query.get("environment", "")
        named = [one for one in query.get("device", "").split(",") if one]
        if named or len(self.chosen) <= MAX_IN_ADDRESS:
            self.chosen = list(dict.fromkeys(named))
        self._key, self.busy = str(new_id()), False
        live.watch(self, {"devices": None}, every_s=1.0)
        async with self._loading():
            self.cases = options(await call(choices.named_test_cases))
            self.environments = options(await call(choices.named_environments))
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        case, environment = await self._case(), await self._environment()
        found = await call(
            choices.run_devices,
            q=self.q or None,
            required_tags=case.required_tags if case else (),
            limit=SHOWN,
        )
        self.total, self.available = found.total, found.available
        unfit = {str(one.id) for one in found.items if one.why}
        self.chosen = [one for one in self.chosen if one not in unfit]
        self._names |= {str(one.id): one.name for one in found.items}
        self.devices = [
            DeviceRow(
                id=str(one.id),
                name=one.name,
                kind=KIND_WORDS[one.kind],
                tags=", ".join(one.tags),
                state=one.state,
                why=one.why,
                chosen=str(one.id) in self.chosen,
            )
            for one in found.items
        ]
        self._sum_up(case, environment)

    async def _case(self) -> TestCaseView | None:
        case = None
        if self.case:
            try:
                case = await call(test_cases.get, self.case)
            except NotFound:
                self.case = ""
        self.facts = CaseFacts(
            sentences=[criterion.sentence() for criterion in case.criteria] if case else [],
            tags=list(case.required_tags) if case else [],
            seconds=case.warmup_s + case.duration_s + case.grace_s if case else 0.0,
            description=case.description if case else "",
        )
        return case

    async def _environment(self) -> EnvironmentView | None:
        found = None
        if self.environment:
            try:
                found = await call(environments.get, self.environment)
            except NotFound:
                self.environment = ""
        self.variables = (
            [[k, text_of("value", v)] for k, v in found.variables.items()] if found else []
        )
        return found

    def _sum_up(self, case: TestCaseView | None, environment: EnvironmentView | None) -> None:
        """One line in words, and what still lacks or does not fit."""
        lacking = [
            word for word, there in (("a device", self.chosen), ("a test case", case)) if not there
        ]
        self.missing = f"Choose {' and '.join(lacking)} to start." if lacking else ""
        self.problems = _problems(case, environment)
        names = [self._names.get(one, "a device") for one in self.chosen]
        what = f"“{case.name}”" if case else "…"
        where = f" in “{environment.name}”" if environment else ""
        self.summary = f"Run {what} on {_listed(names)}{where}."

    @rx.event
    @guarded()
    async def choose_device(self, device_id: str):
        if device_id in self.chosen:
            self.chosen = [one for one in self.chosen if one != device_id]
        else:
            self.chosen = [*self.chosen, device_id]
        return await self._changed()

    @rx.event
    @guarded()
    async def choose_all_shown(self):
        free = [row.id for row in self.devices if not row.why and row.id not in self.chosen]
        self.chosen = [*self.chosen, *free]
        return await self._changed()

    @rx.event
    @guarded()
    async def choose_no_device(self):
        self.chosen = []
        return await self._changed()

    @rx.event
    @guarded()
    async def choose_case(self, test_case_id: str):
        self.case = test_case_id
        return await self._changed()

    @rx.event
    @guarded()
    async def choose_environment(self, environment_id: str):
        self.environment = environment_id
        return await self._changed()

    @rx.event
    @guarded()
    async def rename(self, name: str):
        self.name = name

    @rx.event
    @guarded()
    async def search(self, text: str):
        self.q = text.strip()[:200]
        await self._read()

    async def _changed(self):
        self.devices = [replace(row, chosen=row.id in self.chosen) for row in self.devices]
        kept = self.chosen if len(self.chosen) <= MAX_IN_ADDRESS else []
        link = self._link(device=",".join(kept), case=self.case, environment=self.environment)
        return rx.redirect(link, replace=True)

    @rx.event
    @guarded("engineer")
    async def start(self):
        """Everything validated by the verb; who is not available is named, nothing is lost."""
        self.busy = True
        yield
        try:
            run = await call(runs.start, self._new_run(), self._key)
        except (Conflict, Invalid, NotFound) as error:
            self.busy = False
            await self._read()
            self.problems = _named_errors(error, self._names) or [error.detail]
            yield rx.toast.error(error.detail)
            return
        except BaseException:
            self.busy = False
            raise
        self.busy, self.name = False, ""
        self.chosen = []
        yield rx.toast.success("The run is queued.")
        yield rx.redirect(f"/runs/{run.id}")

    def _new_run(self) -> NewRun:
        return NewRun(
            test_case_id=self.case,
            environment_id=self.environment or None,
            device_ids=self.chosen,
            name=self.name.strip() or None,
        )


def _problems(case: TestCaseSpec | None, environment: EnvironmentView | None) -> list[str]:
    if case is None:
        return []
    try:
        case.resolve(environment.variables if environment else {})
    except Invalid as error:
        hint = "" if environment else " Choose an environment that has it."
        return [f"{message[0].upper()}{message[1:]}.{hint}" for _, message in error.errors]
    return []


def _named_errors(error: BenchError, names: dict[str, str]) -> list[str]:
    return [f"{names.get(where, where)}: {message}" for where, message in error.errors]


def _listed(names: list[str]) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more devices"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "…"
