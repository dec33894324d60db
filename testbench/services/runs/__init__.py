"""Runs: start, step, judge, finish; one file per verb, this page is the table of contents."""

from testbench.services.runs.callbacks import Callback, Heartbeat, admit, callback, heartbeat
from testbench.services.runs.claims import Fenced, Step, claim, renew
from testbench.services.runs.delivering import deliver
from testbench.services.runs.dispatching import (
    Due,
    dispatched,
    job,
    next_due_s,
    sweep,
    take_due,
    unsend,
)
from testbench.services.runs.finishing import cancel, finish
from testbench.services.runs.starting import NewRun, purge_keys, start
from testbench.services.runs.stepping import perform, retry
from testbench.services.runs.views import RunView, get, list_

__all__ = [
    "Callback",
    "Due",
    "Fenced",
    "Heartbeat",
    "NewRun",
    "RunView",
    "Step",
    "admit",
    "callback",
    "cancel",
    "claim",
    "deliver",
    "dispatched",
    "finish",
    "get",
    "heartbeat",
    "job",
    "list_",
    "next_due_s",
    "perform",
    "purge_keys",
    "renew",
    "retry",
    "start",
    "sweep",
    "take_due",
    "unsend",
]
