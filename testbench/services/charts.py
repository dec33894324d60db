"""Charts of criteria: a window's readings with limits and violations, for pages and reports."""

import uuid
from typing import Any

from pydantic import BaseModel

from testbench.adapters import stores
from testbench.adapters.db import Tx
from testbench.domain.criteria import Verdict, Window
from testbench.domain.errors import NotFound
from testbench.domain.identity import Actor, require
from testbench.domain.judging import metrics_needed
from testbench.domain.plots import MAX_POINTS, Plot, plot
from testbench.domain.test_cases import TestCaseSpec
from testbench.domain.times import ms
from testbench.models import Run, RunDevice
from testbench.services import devices, environments, test_cases
from testbench.services.runs.views import find, parts
from testbench.services.test_cases import Evaluation


class Chart(BaseModel):
    """One criterion on one device; `verdict` is None before there is any."""

    device_id: uuid.UUID
    device: str
    criterion: str
    sentence: str
    verdict: Verdict | None
    plot: Plot


def spec_of(run: Run) -> TestCaseSpec:
    """The run's own copy of the test case, its variables replaced by its environment's."""
    document: dict[str, Any] = run.test_case
    environment: dict[str, Any] = run.environment or {}
    fields = {name: document[name] for name in TestCaseSpec.model_fields if name in document}
    return TestCaseSpec.model_validate(fields).resolve(environment.get("variables", {}))


def of_run(
    tx: Tx,
    actor: Actor,
    run_id: str | uuid.UUID,
    device_id: str | uuid.UUID | None = None,
    max_points: int = MAX_POINTS,
) -> list[Chart]:
    """A chart for each device (or the one named) and criterion; none before the window is fixed."""
    require(actor, "viewer")
    run = find(tx, run_id)
    if run.window_start is None or run.window_end is None:
        return []
    window = Window(ms(run.window_start), ms(run.window_end))
    members = parts(tx, [run.id])[run.id]
    if device_id is not None:
        members = [part for part in members if str(part.device_id) == str(device_id)]
        if not members:
            raise NotFound("This device is not in the run.")
    spec = spec_of(run)
    return [chart for part in members for chart in _of_part(tx, spec, part, window, max_points)]


def _of_part(
    tx: Tx, spec: TestCaseSpec, part: RunDevice, window: Window, max_points: int
) -> list[Chart]:
    verdicts = [Verdict.model_validate(stored) for stored in part.criteria]
    device = (part.device_id, part.name)
    return of_spec(tx, spec, device, window, verdicts, max_points, until=ms(tx.now))


def of_spec(
    tx: Tx,
    spec: TestCaseSpec,
    device: tuple[uuid.UUID, str],
    window: Window,
    verdicts: list[Verdict],
    max_points: int = MAX_POINTS,
    until: int | None = None,
) -> list[Chart]:
    """A chart for each criterion of a resolved document over a device (id, name)'s readings."""
    metrics = sorted(metrics_needed(spec))
    series = stores.store().window(tx, device[0], metrics, window.start, window.end)
    found = {verdict.name: verdict for verdict in verdicts}
    return [
        Chart(
            device_id=device[0],
            device=device[1],
            criterion=criterion.name,
            sentence=criterion.sentence(),
            verdict=found.get(criterion.name),
            plot=plot(
                criterion,
                series,
                window,
                found.get(criterion.name),
                spec.sample_interval_s,
                max_points,
                until,
            ),
        )
        for criterion in spec.criteria
    ]


class Trial(BaseModel):
    """What a document would have said of stored readings, and its charts."""

    outcome: str
    criteria: list[Verdict]
    charts: list[Chart]


def trial(tx: Tx, actor: Actor, spec: TestCaseSpec, body: Evaluation) -> Trial:
    """`test_cases.try_out` with a chart for each criterion; the document need not be saved."""
    found = test_cases.try_out(tx, actor, spec, body)
    device = devices.find(tx, body.device_id)
    variables = environments.find(tx, body.environment_id).variables if body.environment_id else {}
    window = Window(ms(body.start), ms(body.end))
    drawn = of_spec(tx, spec.resolve(variables), (device.id, device.name), window, found.criteria)
    return Trial(outcome=found.outcome, criteria=found.criteria, charts=drawn)
