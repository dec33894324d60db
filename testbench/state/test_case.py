"""One test case: written as sentences, kept as revisions, tried on what is stored already."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import reflex as rx
from pydantic import ValidationError

from testbench.domain.errors import BenchError, Invalid
from testbench.services import charts, choices, presets, test_cases
from testbench.services.test_cases import Evaluation, TestCaseBody, TestCaseView
from testbench.state import drafts, live
from testbench.state.auth import call, guarded
from testbench.state.drafts import EMPTY, FIGURES, Draft, PartDraft
from testbench.state.run import ChartView, VerdictRow, row_of, view_of
from testbench.state.runs import options
from testbench.state.views import ViewState, first_error

NEW = "new"
RANGES = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
FLAGS = {"stop_on_fail": False, "restore": False}


@dataclass(frozen=True)
class RevisionRow:
    """A line of the history."""

    number: int
    created_at: str
    current: bool
    sentences: list[str]


class TestCaseState(ViewState, rx.State):
    """The draft, its errors, its history, and the last trial."""

    __test__ = False

    id: str = ""
    title: str = "New test case"
    revision: int = 0
    viewed: int = 0
    fields: dict[str, str] = EMPTY
    flags: dict[str, bool] = FLAGS
    setup: list[PartDraft] = []
    criteria: list[Draft] = []
    errors: dict[str, str] = {}
    metrics: list[str] = []
    presets: list[list[str]] = []
    revisions: list[RevisionRow] = []
    changed: bool = False
    busy: bool = False
    asking: bool = False
    _next: int = 1

    devices: list[list[str]] = []
    environments: list[list[str]] = []
    try_device: str = ""
    try_environment: str = ""
    try_range: str = "1h"
    try_start: str = ""
    try_end: str = ""
    trying: bool = False
    try_error: str = ""
    outcome: str = ""
    verdicts: list[VerdictRow] = []
    charts: list[ChartView] = []

    @rx.event
    @guarded()
    async def load(self):
        live.unwatch(self)
        query, name = self._query(), self.router.url.path.rstrip("/").rpartition("/")[2]
        self.reset()
        self.id = "" if name == NEW else name
        async with self._loading():
            found, _ = await call(presets.search, limit=500)
            self.presets = [[str(one.id), one.name] for one in found]
            await self._read(query)
            self.metrics = await call(choices.named_metrics)
            self.devices = options(await call(choices.named_devices))
            self.environments = options(await call(choices.named_environments))

    async def _read(self, query: dict[str, str]) -> None:
        source = self.id or query.get("from", "")
        if not source:
            self._add("range")
            return
        history = await call(test_cases.revisions, source)
        case = await call(test_cases.get, source)
        wanted = query.get("revision", "")
        shown = next((old for old in history if str(old.revision) == wanted), case)
        self._show(shown)
        if not self.id:
            self.fields = self.fields | {"name": f"{case.name} copy"}
            self.changed = True
            return
        self.title, self.revision = case.name, case.revision
        self.viewed = shown.revision if shown.revision != case.revision else 0
        self.changed = bool(self.viewed)
        self.revisions = [_revision(old, case.revision) for old in history]

    def _show(self, case: TestCaseView) -> None:
        """The document as texts."""
        figures = {name: drafts.text_of(name, getattr(case, name)) for name in FIGURES}
        self.fields = (
            EMPTY
            | figures
            | {
                "name": case.name,
                "description": case.description,
                "required_tags": ", ".join(case.required_tags),
            }
        )
        self.flags = {
            "stop_on_fail": case.stop_on_fail,
            "restore": case.teardown is not None,
        }
        document, names = case.model_dump(mode="json"), self._names()
        parts, criteria = document["setup"], document["criteria"]
        self.setup = [drafts.part_from_document(one, i, names) for i, one in enumerate(parts, 1)]
        self.criteria = [drafts.from_document(one, i) for i, one in enumerate(criteria, 1)]
        self._next = max(len(parts), len(criteria)) + 1

    def _names(self) -> dict[str, str]:
        return dict(self.presets)

    # --- writing

    @rx.event
    @guarded()
    async def set_field(self, name: str, value: str):
        if name in EMPTY:
            self.fields = self.fields | {name: value}
            self.errors = {key: text for key, text in self.errors.items() if key != name}
            self.changed = True

    @rx.event
    @guarded()
    async def set_flag(self, name: str, value: bool):
        if name in FLAGS:
            self.flags = self.flags | {name: value}
            self.changed = True

    @rx.event
    @guarded()
    async def set_criterion(self, key: int, name: str, value: str):
        self._put(key, lambda draft: drafts.changed(draft, name, value))
        self.changed = True

    def _put(self, key: int, change: Any) -> None:
        self.criteria = [change(one) if one.key == key else one for one in self.criteria]

    def _add(self, kind: str) -> None:
        names = {one.name for one in self.criteria}
        added = drafts.fresh(kind, self._next, names)
        self._next += 1
        self.criteria = [*(replace(one, open=False) for one in self.criteria), added]

    @rx.event
    @guarded()
    async def add(self, kind: str):
        if kind in drafts.KINDS:
            self._add(kind)
            self.changed = True

    @rx.event
    @guarded()
    async def toggle(self, key: int):
        """Open one for writing; the others close."""
        self.criteria = [
            replace(one, open=one.key == key and not one.open) for one in self.criteria
        ]

    @rx.event
    @guarded()
    async def duplicate(self, key: int):
        found = [one for one in self.criteria if one.key == key]
        if not found:
            return
        names, number = {one.name for one in self.criteria}, 2
        while f"{found[0].name} {number}" in names:
            number += 1
        copy = drafts.changed(found[0], "name", f"{found[0].name} {number}")
        place = self.criteria.index(found[0]) + 1
        copy = replace(copy, key=self._next, open=True)
        self._next += 1
        others = [replace(one, open=False) for one in self.criteria]
        self.criteria = [*others[:place], copy, *others[place:]]
        self.changed = True

    @rx.event
    @guarded()
    async def remove(self, key: int):
        self.criteria = [one for one in self.criteria if one.key != key]
        self.changed = True

    @rx.event
    @guarded()
    async def move(self, key: int, by: int):
        """One place up (-1) or down (1)."""
        self.criteria = drafts.moved(self.criteria, key, by)
        self.changed = True

    # --- the setup

    @rx.event
    @guarded()
    async def add_part(self, kind: str):
        if kind in drafts.PARTS:
            added = drafts.fresh_part(kind, self._next, self._names())
            self._next += 1
            self.setup = [*(replace(one, open=False) for one in self.setup), added]
            self.changed = True

    @rx.event
    @guarded()
    async def set_part(self, key: int, name: str, value: str):
        names = self._names()
        self.setup = [
            drafts.changed_part(one, name, value, names) if one.key == key else one
            for one in self.setup
        ]
        self.changed = True

    @rx.event
    @guarded()
    async def toggle_part(self, key: int):
        self.setup = [replace(one, open=one.key == key and not one.open) for one in self.setup]

    @rx.event
    @guarded()
    async def remove_part(self, key: int):
        self.setup = [one for one in self.setup if one.key != key]
        self.changed = True

    @rx.event
    @guarded()
    async def move_part(self, key: int, by: int):
        """One place up (-1) or down (1)."""
        self.setup = drafts.moved(self.setup, key, by)
        self.changed = True

    # --- keeping

    def _document(self) -> dict[str, Any]:
        """The draft as a document; what is empty is not given."""
        figures = {
            name: drafts.value_of(name, self.fields[name])
            for name in FIGURES
            if self.fields[name].strip()
        }
        tags = [tag.strip() for tag in self.fields["required_tags"].split(",") if tag.strip()]
        return {
            **figures,
            "name": self.fields["name"].strip(),
            "description": self.fields["description"],
            "required_tags": tags,
            "stop_on_fail": self.flags["stop_on_fail"],
            "setup": [drafts.to_document(part) for part in self.setup],
            "teardown": "restore" if self.flags["restore"] else None,
            "criteria": [drafts.to_document(draft) for draft in self.criteria],
        }

    def _checked(self, **instead: Any) -> TestCaseBody | None:
        """The document, or None with every field's error set."""
        try:
            body = TestCaseBody.model_validate(self._document() | instead)
        except ValidationError as error:
            self._refuse(drafts.refusals(error))
            return None
        self._refuse([])
        return body

    def _refuse(self, errors: list[tuple[str, str]]) -> None:
        """Each error at its field; the first criterion that has one is opened."""
        whole, single = drafts.sorted_out(errors, len(self.criteria))
        parts = drafts.of_parts(errors, len(self.setup))
        self.setup = [
            replace(part, errors=parts[i], open=part.open or bool(parts[i]))
            for i, part in enumerate(self.setup)
        ]
        self.errors = {key: text for key, text in whole.items() if key != "setup" or not any(parts)}
        first = next((i for i, found in enumerate(single) if found), None)
        self.criteria = [
            replace(draft, errors=single[i], open=draft.open if first is None else i == first)
            for i, draft in enumerate(self.criteria)
        ]

    @rx.event
    @guarded("engineer")
    async def save(self):
        """A new revision, or the first."""
        self.busy = True
        yield
        self.busy = False
        body = self._checked()
        if body is None:
            yield rx.toast.error("Some fields need another look.")
            yield first_error()
            return
        try:
            kept = await (
                call(test_cases.replace, self.id, body)
                if self.id
                else call(test_cases.create, body)
            )
        except BenchError as error:
            if not error.errors:
                raise
            self._refuse(error.errors)
            yield rx.toast.error(error.detail)
            yield first_error()
            return
        self.changed = False
        yield rx.toast.success(f"Saved as revision {kept.revision}.")
        yield rx.redirect(f"/test-cases/{kept.id}", replace=True)

    @rx.event
    @guarded()
    async def ask(self, asking: bool):
        self.asking = asking

    @rx.event
    @guarded("engineer")
    async def delete(self):
        self.asking = False
        await call(test_cases.delete, self.id)
        self.changed = False
        yield rx.toast.success(f"{self.title} is deleted.")
        yield rx.redirect("/test-cases")

    # --- trying

    @rx.event
    @guarded()
    async def set_try(self, name: str, value: str):
        if name in ("device", "environment", "range", "start", "end"):
            setattr(self, f"try_{name}", value)
            self.try_error = ""

    @rx.event
    @guarded()
    async def try_out(self):
        """The draft as it stands, judged on what a device has sent."""
        self.try_error = ""
        body = self._checked(name=self.fields["name"].strip() or "draft")
        if body is None:
            self.try_error = "The test case is not complete yet; see the fields marked above."
            yield first_error()
            return
        if not self.try_device:
            self.try_error = "Choose a device."
            return
        self.trying = True
        yield
        try:
            found = await call(charts.trial, body, self._evaluation(), attempt_s=4)
        except BenchError as error:
            self.outcome, self.verdicts, self.charts = "", [], []
            self.try_error = _in_words(error)
        else:
            self.outcome = found.outcome
            self.verdicts = [row_of(one.model_dump(mode="json")) for one in found.criteria]
            self.charts = [view_of(chart) for chart in found.charts]
        finally:
            self.trying = False

    def _evaluation(self) -> Evaluation:
        end = datetime.now(UTC)
        start = end - timedelta(seconds=RANGES.get(self.try_range, 3600))
        if self.try_range == "custom":
            start, end = _utc(self.try_start, "start"), _utc(self.try_end, "end")
        return Evaluation(
            device_id=self.try_device,
            start=start,
            end=end,
            environment_id=self.try_environment or None,
        )


def _utc(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise Invalid(f"The {name} is no date and time.") from error


def _in_words(error: BenchError) -> str:
    messages = [message for _, message in error.errors]
    return f"{error.detail.rstrip('.')}: {'; '.join(messages)}." if messages else error.detail


def _revision(case: TestCaseView, current: int) -> RevisionRow:
    return RevisionRow(
        number=case.revision,
        created_at=case.created_at.isoformat(),
        current=case.revision == current,
        sentences=[criterion.sentence() for criterion in case.criteria],
    )
