"""The list of test cases."""

from dataclasses import dataclass

import reflex as rx

from testbench.services import test_cases
from testbench.services.test_cases import TestCaseView
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.views import ViewState

PAGE = 50
SENTENCES = 3


@dataclass(frozen=True)
class CaseRow:
    """A test case as the table shows it."""

    id: str
    name: str
    description: str
    revision: int
    seconds: float
    sentences: list[str]
    more: int
    tags: str


class TestCasesState(ViewState, rx.State):
    """What the table shows now."""

    __test__ = False

    rows: list[CaseRow] = []
    total: int = 0
    shown: str = ""
    q: str = ""
    first_link: str = ""
    next_link: str = ""
    doomed: str = ""
    doomed_name: str = ""
    _offset: int = 0

    @rx.event
    @guarded()
    async def load(self):
        query = self._query()
        offset = query.get("offset", "")
        self._offset = int(offset) if offset.isdecimal() and len(offset) < 9 else 0
        self.q, self.doomed = query.get("q", "")[:200], ""
        live.watch(self, {"test_cases": None}, every_s=0.5)
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        await self._read()

    async def _read(self) -> None:
        found, self.total = await call(
            test_cases.search, q=self.q or None, offset=self._offset, limit=PAGE
        )
        self.rows = [_row(case) for case in found]
        last = self._offset + len(self.rows)
        self.shown = f"{self._offset + 1}–{last}" if self.rows else "0"
        self.first_link = self._link(offset=None) if self._offset else ""
        self.next_link = self._link(offset=last) if last < self.total else ""

    @rx.event
    @guarded()
    async def search(self, text: str):
        return rx.redirect(self._link(q=text.strip()[:200], offset=None), replace=True)

    @rx.event
    @guarded("engineer")
    async def ask_delete(self, test_case_id: str, name: str):
        self.doomed, self.doomed_name = test_case_id, name

    @rx.event
    @guarded()
    async def keep(self, _is_open: bool):
        self.doomed = ""

    @rx.event
    @guarded("engineer")
    async def delete(self):
        doomed, self.doomed = self.doomed, ""
        await call(test_cases.delete, doomed)
        await self._read()
        return rx.toast.success(f"{self.doomed_name} is deleted.")


def _row(case: TestCaseView) -> CaseRow:
    sentences = [criterion.sentence() for criterion in case.criteria]
    return CaseRow(
        id=str(case.id),
        name=case.name,
        description=case.description.partition("\n")[0],
        revision=case.revision,
        seconds=case.warmup_s + case.duration_s,
        sentences=sentences[:SENTENCES],
        more=max(0, len(sentences) - SENTENCES),
        tags=", ".join(case.required_tags),
    )
