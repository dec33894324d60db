"""A run's words: statuses, outcomes, and the phases it walks through."""

from typing import Literal

Status = Literal["queued", "running", "completed", "failed", "cancelled"]
Outcome = Literal["pass", "fail", "timeout", "error", "aborted"]
Phase = Literal["setup", "observe", "teardown", "callback", "dispatch", "external", "done"]
ACTIVE: tuple[Status, ...] = ("queued", "running")
TERMINAL: tuple[Status, ...] = ("completed", "failed", "cancelled")
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "timeout", "error", "aborted")


def status_for(outcome: Outcome) -> Status:
    """The terminal status that an outcome belongs to."""
    if outcome in ("pass", "fail"):
        return "completed"
    return "cancelled" if outcome == "aborted" else "failed"


def worst(outcomes: list[Outcome]) -> Outcome:
    """pass < fail < timeout < error < aborted; `error` when there is none to judge by."""
    return max(outcomes, key=OUTCOMES.index) if outcomes else "error"
