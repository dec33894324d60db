"""A run's life under whatever order of steps, losses, callbacks and cancels: I1, I2, I3 hold."""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from testbench.adapters import db
from testbench.domain.errors import Conflict, Unauthenticated
from testbench.domain.identity import BENCH
from testbench.domain.runs import TERMINAL, status_for
from testbench.services import runs
from testbench.services.runs import Callback, Fenced, Step, tokens
from testbench.services.runs.finishing import DeviceResult
from tests import made_runs
from tests.stepped_runs import age, claim, deliver, row, view

DEVICES = 3


class Life(RuleBasedStateMachine):
    """Several workers hold claims of different ages; time jumps; people and runners interfere."""

    devices: list[uuid.UUID]
    cases: list[uuid.UUID]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[uuid.UUID] = []
        self.claims: list[Step] = []
        self.ended: dict[uuid.UUID, Any] = {}

    def teardown(self) -> None:
        for run_id in self.runs:
            if row(run_id).status not in TERMINAL:
                db.run(lambda tx, id=run_id: runs.cancel(tx, BENCH, str(id)))
            for _ in range(10):
                if row(run_id).status in TERMINAL:
                    break
                age(run_id, 60)
                if claimed := claim(run_id):
                    self._perform(claimed)
        self._look()
        assert set(self.ended) == set(self.runs)  # I2: every run ended

    @rule(case=st.integers(0, 1), chosen=st.sets(st.integers(0, DEVICES - 1), min_size=1))
    def start(self, case: int, chosen: set[int]) -> None:
        wanted = [self.devices[i] for i in chosen]
        busy = self._held().keys() & set(wanted)
        try:
            self.runs.append(made_runs.started(self.cases[case], wanted).id)
        except Conflict:
            assert busy
        else:
            assert not busy

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        claimed = claim(data.draw(st.sampled_from(self.runs)))
        self.claims += [claimed] if claimed else []

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), lost=st.booleans())
    def perform(self, data: st.DataObject, lost: bool) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        if lost:
            self.claims.remove(claimed)
        self._perform(claimed)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        try:
            with db.transaction() as tx:
                runs.retry(tx, claimed, "fault")
        except Fenced:
            pass

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), seconds=st.sampled_from([1, 12, 40, 400]))
    def wait(self, data: st.DataObject, seconds: int) -> None:
        age(data.draw(st.sampled_from(self.runs)), seconds)

    @rule()
    def sweep(self) -> None:
        with db.transaction() as tx:
            runs.sweep(tx, tx.now.replace(year=2020))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(self.runs))
        was = row(run_id).status
        try:
            db.run(lambda tx: runs.cancel(tx, BENCH, str(run_id)))
        except Conflict:
            assert was in TERMINAL
        else:
            assert was not in TERMINAL

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), outcome=st.sampled_from(["pass", "fail", "error"]),
          attempt=st.integers(1, 2))  # fmt: skip
    def call_back(self, data: st.DataObject, outcome: Any, attempt: int) -> None:
        run_id = data.draw(st.sampled_from(self.runs))
        results = [
            DeviceResult(device_id=part.device_id, outcome=outcome) for part in view(run_id).devices
        ]
        body = Callback(attempt=attempt, outcome=outcome, devices=results)
        token = tokens.issue(run_id, attempt)
        try:
            db.run(lambda tx: runs.callback(tx, str(run_id), token, body))
        except (Conflict, Unauthenticated):
            return
        assert attempt == 1

    @invariant()
    def _look(self) -> None:
        held = self._held()
        for run_id in self.runs:
            shown = view(run_id)
            mine = {device for device, holder in held.items() if holder == run_id}
            if shown.status in TERMINAL:
                assert not mine  # I3
                assert shown.outcome is not None
                assert shown.status == status_for(shown.outcome)  # type: ignore[arg-type]
                assert all(part.outcome for part in shown.devices)
                assert self.ended.setdefault(run_id, shown) == shown  # it never changes again
            else:
                assert mine == {part.device_id for part in shown.devices}  # I1, by the key
                assert shown.outcome is None
                assert shown.progress < 1

    def _held(self) -> dict[uuid.UUID, uuid.UUID]:
        with db.transaction() as tx:
            return dict(tx.cursor().execute("SELECT device_id, run_id FROM reservations"))

    def _perform(self, claimed: Step) -> None:
        try:
            if claimed.phase == "callback":
                if row(claimed.id).ending:
                    deliver(claimed.id)
                return
            with db.transaction() as tx:
                runs.perform(tx, claimed)
        except (Fenced, Conflict):
            pass


@pytest.mark.usefixtures("bench_env")
def test_a_runs_life_keeps_its_promises() -> None:
    Life.devices = [made_runs.online_device().id for _ in range(DEVICES)]
    Life.cases = [
        made_runs.case(duration_s=20, grace_s=1).id,
        made_runs.case(duration_s=20, timeout_s=30, teardown="restore").id,
    ]
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            phases=[Phase.generate],  # shrinking would take minutes
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
