"""What a run's page shows, made of the run: pure, nothing is asked for here."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from testbench.domain.plots import limits_in_words, measured_unit
from testbench.services import runs
from testbench.services.charts import Chart
from testbench.services.runs import RunView
from testbench.state.drafts import text_of

WORDS = {
    "pass": "Passed",
    "fail": "Failed",
    "error": "Error",
    "timeout": "Timed out",
    "aborted": "Aborted",
}
EVENTS = {
    "queued": "Queued",
    "started": "Started",
    "setup": "Setting up",
    "window": "Time to be judged is fixed",
    "judged": "Judged",
    "teardown": "Clearing the stage",
    "restored": "Restored",
    "maintenance": "Put into maintenance",
    "callback": "Result delivered",
    "cancel": "Cancel",
    "fault": "Fault of the bench",
    "completed": "Completed",
    "failed": "Failed to finish",
    "cancelled": "Cancelled",
}


@dataclass(frozen=True)
class VerdictRow:
    """A criterion's result on one device."""

    name: str
    kind: str
    unit: str
    severity: str
    verdict: str
    marginal: bool
    measured: float | str | bool | None
    limits: str
    samples: int
    violations: int
    message: str


@dataclass(frozen=True)
class Cell:
    """A verdict as the grid shows it: small, for there may be thousands."""

    name: str
    verdict: str
    marginal: bool
    measured: float | str | bool | None
    unit: str


@dataclass(frozen=True)
class DevicePart:
    """A line of the grid."""

    id: str
    name: str
    outcome: str
    cells: list[Cell]


@dataclass(frozen=True)
class ChartView:
    """A criterion's chart as `time_chart` takes it; a closed one has no points."""

    name: str
    sentence: str
    verdict: str
    marginal: bool
    message: str
    open: bool
    series: list[dict[str, Any]]
    start: int
    end: int
    low: float | None
    high: float | None
    measured: float | None
    marks: list[list[float]]
    silences: list[list[int]]
    unit: str


@dataclass(frozen=True)
class Line:
    """A line of the timeline."""

    at: str
    event: str
    detail: str


@dataclass(frozen=True)
class RunFacts:
    """The run itself."""

    id: str = ""
    number: int = 0
    name: str = "Run"
    status: str = ""
    outcome: str = ""
    headline: str = ""
    going: bool = False
    progress: float = 0.0
    until: str = ""
    window_start: str = ""
    window_end: str = ""
    queued_at: str = ""
    ended_at: str = ""
    seconds: float | None = None
    case_id: str = ""
    case: str = ""
    environment: str = ""
    variables: list[list[str]] = field(default_factory=list)
    attempt: int = 1
    message: str = ""
    grafana_url: str = ""
    again: str = ""


def view_of(chart: Chart, is_open: bool = True) -> ChartView:
    """A chart as the page draws it."""
    plot, verdict = chart.plot, chart.verdict
    series = {
        "name": plot.label,
        "metric": plot.label,
        "unit": plot.unit or "",
        "points": [[ts, value] for ts, value in plot.points] if is_open else [],
    }
    return ChartView(
        name=chart.criterion,
        sentence=chart.sentence,
        verdict=verdict.verdict if verdict else "unset",
        marginal=bool(verdict and verdict.marginal),
        message=verdict.message if verdict else "",
        open=is_open,
        series=[series],
        start=plot.start,
        end=plot.end,
        low=plot.low,
        high=plot.high,
        measured=plot.measured,
        marks=[[ts, value] for ts, value in plot.marks] if is_open else [],
        silences=[[begin, end] for begin, end in plot.silences],
        unit=plot.unit or "",
    )


def row_of(verdict: dict[str, Any]) -> VerdictRow:
    """A stored verdict as a row."""
    limits = verdict.get("limits") or {}
    kind, unit = str(verdict.get("kind", "")), verdict.get("unit")
    return VerdictRow(
        name=verdict["name"],
        kind=kind.replace("_", " "),
        unit=measured_unit(kind, unit, limits) or "",
        severity=verdict.get("severity", "required"),
        verdict=verdict["verdict"],
        marginal=bool(verdict.get("marginal")),
        measured=verdict.get("measured"),
        limits=limits_in_words(kind, unit, limits),
        samples=verdict.get("samples", 0),
        violations=verdict.get("violations", 0),
        message=verdict.get("message", ""),
    )


def rows_of(part: runs.views.RunDeviceView, heads: list[str]) -> list[VerdictRow]:
    """The verdicts in the order of the test case; before there is any, each is unset."""
    found = {verdict["name"]: row_of(verdict) for verdict in part.criteria}
    names = heads if found or not part.outcome else []
    blank = {"verdict": "unset", "message": ""}
    return [found.get(name) or row_of({"name": name, **blank}) for name in names]


def part_of(part: runs.views.RunDeviceView, rows: list[VerdictRow]) -> DevicePart:
    cells = [Cell(row.name, row.verdict, row.marginal, row.measured, row.unit) for row in rows]
    return DevicePart(
        id=str(part.device_id), name=part.name, outcome=part.outcome or "", cells=cells
    )


def deciding(verdicts: list[VerdictRow]) -> str:
    """The first required criterion that is no pass, else the first warning that is none."""
    for severity in ("required", "warning"):
        for row in verdicts:
            if row.severity == severity and row.verdict in ("fail", "error"):
                return row.name
    return ""


def detail_of(line: runs.views.TimelineView) -> str:
    return "" if line.event in ("window", "judged") else line.detail


def facts_of(run: RunView) -> RunFacts:
    case, environment = run.test_case, run.environment or {}
    ended, began = run.ended_at, run.started_at
    grace = float(case.get("grace_s", 0.0))
    return RunFacts(
        id=str(run.id),
        number=run.number,
        name=run.name,
        status=run.status,
        outcome=run.outcome or "",
        headline=_headline(run),
        going=run.ended_at is None,
        progress=run.progress,
        until=iso(run.window_end, grace),
        window_start=iso(run.window_start),
        window_end=iso(run.window_end),
        queued_at=iso(run.queued_at),
        ended_at=iso(run.ended_at),
        seconds=(ended - began).total_seconds() if ended and began else None,
        case_id=str(case.get("id", "")),
        case=f"{case.get('name', '')} · revision {case.get('revision', '')}",
        environment=str(environment.get("name", "")),
        variables=[[k, text_of("value", v)] for k, v in environment.get("variables", {}).items()],
        attempt=run.attempt,
        message=run.message or "",
        grafana_url=run.grafana_url or "",
        again=_again(run),
    )


def age_s(run: RunView) -> float:
    """Seconds of readings that a chart shows by now."""
    now = datetime.now(UTC)
    return max(0.0, (now - run.window_start).total_seconds()) if run.window_start else 0.0


def iso(at: datetime | None, plus_s: float = 0.0) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at.timestamp() + plus_s, UTC).isoformat()


def _again(run: RunView) -> str:
    ids = [str(part.device_id) for part in run.devices]
    query = {"device": ",".join(ids), "case": run.test_case.get("id", "")}
    if run.environment:
        query["environment"] = run.environment.get("id", "")
    return f"/runs/new?{urlencode(query)}"


def _headline(run: RunView) -> str:
    """The outcome in words, or how far the run is."""
    if run.outcome == "pass":
        return f"Passed: {_held(run)}"
    if run.outcome:
        return f"{WORDS[run.outcome]}: {run.reason}" if run.reason else WORDS[run.outcome]
    if run.phase in ("teardown", "callback"):
        return run.message if run.message and run.phase == "teardown" else "Finishing"
    if run.window_start is None or run.window_end is None:
        waits = "Waiting for a worker" if run.status == "queued" else "Setting the stage"
        return run.message or ("The runner has it" if run.phase == "external" else waits)
    now = datetime.now(UTC)
    if now < run.window_start:
        return "Warming up: readings are recorded, not judged"
    return "Waiting for late readings" if now > run.window_end else f"Observing{_so_far(run)}"


def _held(run: RunView) -> str:
    required = [c for c in run.test_case.get("criteria", []) if c.get("severity") == "required"]
    count, devices = len(required), len(run.devices)
    what = "the required criterion" if count == 1 else f"all {count} required criteria"
    return f"{what} held" + (f" on all {devices} devices" if devices > 1 else "")


def _so_far(run: RunView) -> str:
    verdicts = [verdict for part in run.devices for verdict in part.criteria]
    broken = sum(verdict["verdict"] == "fail" for verdict in verdicts)
    return f": {broken} of {len(verdicts)} criteria violated so far" if broken else ""
