"""The fold that makes a device's outcome of its stored readings: pure, the same bit for bit."""

from dataclasses import replace

import numpy as np
from pydantic import BaseModel

from testbench.domain.criteria import (
    Coverage,
    Criterion,
    Finding,
    SeriesByMetric,
    Verdict,
    Window,
    texts,
)
from testbench.domain.criteria.series import MS_PER_S, whole_ms
from testbench.domain.runs import Outcome, worst
from testbench.domain.test_cases import TestCaseSpec

HOLE = 3  # sampling intervals without a reading that leave a verdict without a ground

OUTCOME_OF: dict[str, Outcome] = {
    "pass": "pass",
    "fail": "fail",
    "unset": "error",  # an incomplete test is never a pass
    "error": "error",
}


class DeviceJudgement(BaseModel, frozen=True):
    """One device, judged. Times in ms since the epoch.

    `window_end`: where judging ended, earlier than planned if the test stops on a failure.
    `failed_at`: when the first required criterion had certainly failed. `clock_off`: the device's
    clock is off by more than the grace. `outcome`: None only while provisional, when nothing has
    failed but something is not decided yet.
    """

    outcome: Outcome | None
    criteria: list[Verdict]
    window_end: int
    failed_at: int | None = None
    clock_off: bool = False


def metrics_needed(spec: TestCaseSpec) -> set[str]:
    """The metrics whose readings the criteria ask for."""
    return set[str]().union(*(criterion.metrics() for criterion in spec.criteria))


def judge_device(
    spec: TestCaseSpec, series: SeriesByMetric, window: Window, *, clock_off_ms: int | None = None
) -> DeviceJudgement:
    """The final verdict over all readings of `window`; later readings in `series` do not matter.

    `spec` is resolved (ValueError otherwise). With `stop_on_fail` the window ends, inclusive, when
    the first required criterion has certainly failed; what was not decided by then is `unset` and
    left out of the outcome. Judging the shortened window again gives the same.
    """
    return _fold(spec, series, window, _off(spec, clock_off_ms), running=False)


def provisional(
    spec: TestCaseSpec,
    series: SeriesByMetric,
    window: Window,
    now_ms: int,
    *,
    clock_off_ms: int | None = None,
) -> DeviceJudgement:
    """The same fold while the run goes on, over what `window` has seen until `now_ms`.

    What more readings could still decide otherwise is `unset`; when the grace is over it is the
    final verdict. Readings may be late: act on `failed_at` only when the grace after it is over.
    """
    clock_off = _off(spec, clock_off_ms)
    if now_ms < window.start:
        return _fold(spec, {}, Window(window.start, window.start), clock_off, running=True)
    running = now_ms < window.end + spec.grace_s * MS_PER_S
    seen = Window(window.start, min(now_ms, window.end))
    return _fold(spec, series, seen, clock_off, running=running)


def _off(spec: TestCaseSpec, clock_off_ms: int | None) -> bool:
    return clock_off_ms is not None and abs(clock_off_ms) / MS_PER_S > spec.grace_s


def _fold(
    spec: TestCaseSpec, series: SeriesByMetric, window: Window, clock_off: bool, *, running: bool
) -> DeviceJudgement:
    findings = [_find(spec, criterion, series, window, clock_off) for criterion in spec.criteria]
    failed_at = min(
        (f.failed_at for _, f in _required(spec, findings) if f.failed_at is not None), default=None
    )
    if spec.stop_on_fail and failed_at is not None:
        running, window = True, Window(window.start, failed_at)
        findings = [
            _find(spec, criterion, series, window, clock_off) for criterion in spec.criteria
        ]
    if running:
        findings = [_undecided(finding) for finding in findings]
    return DeviceJudgement(
        outcome=_outcome([f for _, f in _required(spec, findings)], running),
        criteria=[c.verdict(f) for c, f in zip(spec.criteria, findings, strict=True)],
        window_end=window.end,
        failed_at=failed_at,
        clock_off=clock_off,
    )


def _required(spec: TestCaseSpec, findings: list[Finding]) -> list[tuple[Criterion, Finding]]:
    pairs = zip(spec.criteria, findings, strict=True)
    return [(c, finding) for c, finding in pairs if c.severity == "required"]


def _find(
    spec: TestCaseSpec,
    criterion: Criterion,
    series: SeriesByMetric,
    window: Window,
    clock_off: bool,
) -> Finding:
    """What the criterion finds, unless holes in its readings or a wrong clock forbid to tell."""
    finding = criterion.find(series, window)
    if clock_off and isinstance(criterion, Coverage) and finding.ruling == "fail":
        message = f"the device's clock is off by more than {spec.grace_s:g} s: {finding.message}"
        finding = replace(finding, ruling="error", message=message, failed_at=None)
    if spec.sample_interval_s is None or not len(finding.ts):
        return finding
    return _without_holes(criterion, finding, window, HOLE * spec.sample_interval_s)


def _without_holes(
    criterion: Criterion, finding: Finding, window: Window, allowed_s: float
) -> Finding:
    """`error` if no reading came for longer than `allowed_s`, at the window's ends too. A failure
    that was certain before the hole stays one for a test that stops there."""
    edges = np.concatenate(([window.start], finding.ts, [window.end]))
    holes = np.flatnonzero(np.diff(edges) / MS_PER_S > allowed_s)
    if not len(holes):
        return finding
    since = int(edges[holes[0]])
    certain = max(since + whole_ms(allowed_s) + 1, int(finding.ts[0]))
    length = texts.seconds((int(edges[holes[0] + 1]) - since) / MS_PER_S)
    return replace(
        finding,
        ruling="error",
        message=f"no readings of {criterion.subject()} for {length} from "
        f"{texts.clock(since, window)}, more than {HOLE} sampling intervals",
        marginal=False,
        pending=False,
        failed_at=finding.failed_at if (finding.failed_at or certain) < certain else None,
    )


def _undecided(finding: Finding) -> Finding:
    if not finding.pending or finding.ruling == "pass":
        return finding
    return replace(finding, ruling="unset", message=f"not decided yet: {finding.message}")


def _outcome(required: list[Finding], running: bool) -> Outcome | None:
    """The worst of what is required. While running, or stopped early, what is not decided yet is
    left out, and nothing failed yet is None."""
    if not running:
        return worst([OUTCOME_OF[f.ruling] for f in required if not f.ignored])
    decided: list[Outcome] = [OUTCOME_OF[f.ruling] for f in required if not f.pending]
    outcome = worst(decided) if decided else None
    return None if outcome == "pass" and len(decided) < len(required) else outcome
