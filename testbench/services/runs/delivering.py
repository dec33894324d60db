"""The callback step: the built-in worker's result goes through the same public door."""

from testbench.adapters import db, runners
from testbench.services.runs import timeline, tokens
from testbench.services.runs.callbacks import Callback
from testbench.services.runs.claims import Fenced, Step
from testbench.services.runs.finishing import Ending, finish
from testbench.services.runs.stepping import retry
from testbench.services.runs.views import find

HOPELESS = frozenset({400, 413, 422})
"""Refusals that the same result will meet again: too large for the door, most of all."""


def deliver(step: Step) -> None:
    """POST the ending to the run's callback; what the door does not take is tried again.

    No transaction is open meanwhile. A door that answers 409 has ended the run otherwise. A result
    that no door will ever take is written without it: a judged run ends as it was judged.
    """
    ending = Ending.model_validate(step.ending)
    body = Callback(
        attempt=step.attempt, outcome=ending.outcome, devices=ending.devices, reason=ending.reason
    )
    refused = runners.call_back(
        step.id, tokens.issue(step.id, step.attempt), body.model_dump(mode="json")
    )
    if refused is None:
        return
    with db.transaction() as tx:
        try:
            if refused.status in HOPELESS:
                _finish_without(tx, step, ending, refused.why)
            else:
                retry(tx, step, f"callback: {refused.why}")
        except Fenced:
            return


def _finish_without(tx: db.Tx, step: Step, ending: Ending, why: str) -> None:
    run = find(tx, step.id, lock=True)
    if run.claim != step.claim:
        raise Fenced
    timeline.note(tx, run.id, "fault", f"callback: {why}")
    finish(tx, run, ending)
