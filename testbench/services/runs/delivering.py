"""The callback step: the built-in worker's result goes through the same public door."""

from testbench.adapters import db, runners
from testbench.services.runs import tokens
from testbench.services.runs.callbacks import Callback
from testbench.services.runs.finishing import Ending
from testbench.services.runs.stepping import Fenced, Step, retry


def deliver(step: Step) -> None:
    """POST the ending to the run's callback; what the door does not take is tried again.

    No transaction is open meanwhile. A door that answers 409 has ended the run otherwise.
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
            retry(tx, step, f"callback: {refused}")
        except Fenced:
            return
