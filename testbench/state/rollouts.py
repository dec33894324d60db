"""Roll-outs: one that goes on, live, device by device."""

import asyncio
from dataclasses import dataclass

import reflex as rx

from testbench.domain.errors import BenchError
from testbench.services import rollouts
from testbench.services.rollouts import RolloutDeviceView, RolloutSummary
from testbench.state import live
from testbench.state.auth import actor, call, guarded
from testbench.state.settings_views import in_words
from testbench.state.views import ViewState

SHOWN = 100
STATUSES = ("pending", "applied", "failed", "reverted")


@dataclass(frozen=True)
class RolloutRow:
    """A roll-out as lists show it."""

    id: str
    preset: str
    who: str
    at: str
    status: str
    share: float
    done: str


@dataclass(frozen=True)
class PartRow:
    """A device's part; `is_canary`: the first, before all others."""

    id: str
    name: str
    is_canary: bool
    status: str
    detail: str
    can_revert: bool


def row_of(one: RolloutSummary) -> RolloutRow:
    """A roll-out in a line."""
    total = sum(one.counts.model_dump().values())
    done = total - one.counts.pending
    return RolloutRow(
        id=str(one.id),
        preset=one.preset_name,
        who=one.username,
        at=one.created_at.isoformat(),
        status=one.status,
        share=done / total if total else 1.0,
        done=f"{done} of {total}",
    )


class RolloutState(ViewState, rx.State):
    """The roll-out that the address names."""

    id: str = ""
    preset: str = ""
    preset_id: str = ""
    who: str = ""
    at: str = ""
    ended_at: str = ""
    status: str = ""
    headline: str = ""
    max_failures: int = 1
    failed: int = 0
    total: int = 0
    done: int = 0
    share: float = 0.0
    sentences: list[str] = []
    parts: list[PartRow] = []
    counts: dict[str, int] = {}
    links: dict[str, str] = {}
    only: str = ""
    range: str = ""
    fitting: int = 0
    first_link: str = ""
    next_link: str = ""
    busy: str = ""
    reverting: str = ""
    reverting_name: str = ""

    @rx.event
    @guarded()
    async def load(self):
        id = self._part(1)
        if id != self.id:
            self.reset()
            self.id = id
        query = self._query()
        self.only = query.get("status", "") if query.get("status") in STATUSES else ""
        self.reverting = ""
        self.links = {status: self._link(status=status, offset=None) for status in ("", *STATUSES)}
        live.watch(self, {"rollouts": {self.id}})
        async with self._loading():
            await self._read()

    @rx.event
    @guarded()
    async def refresh(self):
        async with self._loading():
            await self._read()

    async def _read(self) -> None:
        asked = self._query().get("offset", "")
        offset = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 7 else 0
        one = await call(rollouts.summary, self.id)
        found = await call(
            rollouts.devices_of, self.id, status=self.only or None, offset=offset, limit=SHOWN
        )
        counts = one.counts.model_dump()
        total, row = sum(counts.values()), row_of(one)
        fitting, end = counts.get(self.only, total), offset + len(found)
        self._show(
            preset=one.preset_name,
            preset_id=str(one.preset_id),
            who=one.username,
            at=row.at,
            ended_at=one.ended_at.isoformat() if one.ended_at else "",
            status=one.status,
            headline=headline(one),
            max_failures=one.max_failures,
            failed=one.counts.failed,
            total=total,
            done=total - one.counts.pending,
            share=row.share,
            sentences=in_words(one.configuration, one.secrets),
            counts={"": total, **counts},
            parts=[_part_row(part) for part in found],
            range=f"{offset + 1}–{end}" if found else "0",
            fitting=fitting,
            first_link=self._link(offset=None) if offset else "",
            next_link=self._link(offset=end) if end < fitting else "",
        )

    # --- what can be done about it

    @rx.event
    @guarded("engineer")
    async def stop(self):
        await call(rollouts.stop, self.id)
        await self._read()
        return rx.toast.success("The roll-out is stopped; a device that is being set goes on.")

    @rx.event
    @guarded("engineer")
    async def resume(self):
        await call(rollouts.resume, self.id)
        await self._read()
        return rx.toast.success("The roll-out goes on.")

    @rx.event
    @guarded("engineer")
    async def ask_revert(self, device_id: str, name: str):
        self.reverting, self.reverting_name = device_id, name

    @rx.event
    @guarded()
    async def keep(self, _is_open: bool):
        self.reverting = ""

    @rx.event(background=True)
    @guarded("engineer")
    async def revert(self):
        """Behind the page: the device is sent its former settings and read back."""
        async with self:
            id, device_id, name = self.id, self.reverting, self.reverting_name
            if not device_id or self.busy:
                return
            self.reverting, self.busy = "", f"Putting the former settings of {name} back"
        try:
            await asyncio.to_thread(rollouts.revert_device, actor(), id, device_id)
        except BenchError as error:
            yield rx.toast.error(error.detail)
        else:
            yield rx.toast.success(f"{name} has its former settings back.")
        finally:
            async with self:
                self.busy = ""
                await self._read()


def _part_row(part: RolloutDeviceView) -> PartRow:
    return PartRow(
        id=str(part.device_id),
        name=part.name,
        is_canary=part.position == 0,
        status=part.status,
        detail=part.detail,
        can_revert=part.change_id is not None and part.status in ("applied", "failed"),
    )


def headline(one: RolloutSummary) -> str:
    """Where it stands, in a sentence."""
    counts = one.counts
    failures = f"{counts.failed} device{'s' * (counts.failed != 1)} failed"
    if one.status == "completed":
        return f"Done: {failures}." if counts.failed else "Done: every device took it."
    if one.status == "stopped":
        return one.reason or f"Stopped: {failures}."
    if not counts.applied and not counts.failed and not counts.reverted:
        return "One device first: the others follow once it has taken the settings."
    return f"Going on; it stops by itself at {_failures(one.max_failures)}."


def _failures(number: int) -> str:
    return "the first failure" if number == 1 else f"{number} failures"
