"""Charts of a run's criteria: limits, violations and gaps where they are."""

import pytest

from testbench.adapters import db
from testbench.domain.errors import NotFound
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.services import charts
from testbench.services.charts import Chart
from testbench.services.runs import RunView
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")


def of(run: RunView) -> dict[str, Chart]:
    found = db.run(lambda tx: charts.of_run(tx, BENCH, run.id))
    return {chart.criterion: chart for chart in found}


def test_limits_from_the_environment_are_drawn_as_numbers() -> None:
    device = made_runs.online_device()
    case = made_runs.case({**made_runs.LIMITS, "high": "{{hot}}"})
    warm = made_runs.environment(hot=25.0)

    run = made_runs.judged(case.id, {device.id: {"temp": [20.0, 26.0]}}, warm.id)

    plot = of(run)["temperature"].plot
    assert (plot.low, plot.high, plot.unit) == (None, 25.0, "°C")
    assert [value for _, value in plot.marks] == [26.0]


def test_every_kind_is_drawn_in_what_it_judges() -> None:
    device = made_runs.online_device()
    run = made_runs.judged(
        made_runs.case(
            {"kind": "increase", "name": "rise", "metric": "n", "low": 1.0},
            {"kind": "ratio", "name": "ratio", "metric": "a", "other_metric": "b", "high": 2.0},
            {"kind": "rate_of_change", "name": "rate", "metric": "n", "max_per_s": 1.0},
            {"kind": "equals", "name": "mode", "metric": "mode", "value": "idle"},
            {"kind": "aggregate", "name": "mean", "metric": "a", "statistic": "mean", "high": 9.0},
            {"kind": "coverage", "name": "gaps", "metric": "a", "max_gap_s": 0.04},
            {"kind": "settle", "name": "settles", "metric": "a", "high": 3.0, "within_s": 0.06},
        ).id,
        {device.id: {
            "n": [5, 9, 2],
            "a": [4.0, 4.0, 8.0],
            "b": [2.0, 1.0, 2.0],
            "mode": ["idle", "busy", "idle"],
        }},
    )  # fmt: skip

    plots = {name: chart.plot for name, chart in of(run).items()}

    values = {name: [value for _, value in plot.points] for name, plot in plots.items()}
    assert values["rise"] == [0.0, 4.0, 6.0]
    assert values["ratio"] == [2.0, 4.0, 4.0]
    assert [v for _, v in plots["ratio"].marks] == [4.0, 4.0]
    assert values["rate"] == pytest.approx([0.0, 80.0, 140.0])
    assert values["mode"] == [1.0, 0.0, 1.0]
    assert plots["mean"].measured == pytest.approx(16 / 3)
    assert [end - start for start, end in plots["gaps"].silences] == [50, 50]
    assert [v for _, v in plots["settles"].marks] == [8.0], "before its deadline nothing violates"


def test_many_readings_are_thinned_but_their_extremes_stay() -> None:
    device = made_runs.online_device()
    values = [20.0 + i % 7 for i in range(100)]
    values[37] = 99.0
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": values}})

    (chart,) = db.run(lambda tx: charts.of_run(tx, BENCH, run.id, max_points=20))

    assert len(chart.plot.points) <= 22
    assert 99.0 in [value for _, value in chart.plot.points]
    assert [value for _, value in chart.plot.marks] == [99.0]


def test_a_hole_in_the_readings_is_drawn_as_a_gap() -> None:
    device = made_runs.online_device()
    case = made_runs.case(
        {"kind": "coverage", "name": "enough", "metric": "temp", "min_samples": 2},
        sample_interval_s=0.01,
    )
    run = made_runs.judged(case.id, {device.id: {"temp": [20.0, 21.0]}})

    assert [value for _, value in of(run)["enough"].plot.points] == [20.0, None, 21.0]


def test_nothing_is_drawn_before_the_window_is_fixed() -> None:
    run = made_runs.started(made_runs.case().id, [made_runs.online_device().id])

    assert of(run) == {}


def test_a_device_of_another_run_has_no_chart() -> None:
    device = made_runs.online_device()
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [20.0]}})

    with pytest.raises(NotFound):
        db.run(lambda tx: charts.of_run(tx, BENCH, run.id, new_id()))


def test_what_is_yet_to_come_is_no_silence() -> None:
    device = made_runs.online_device()
    gaps = {"kind": "coverage", "name": "gaps", "metric": "temp", "max_gap_s": 30.0}
    run = made_runs.started(made_runs.case(gaps, duration_s=600.0).id, [device.id])
    made_runs.step(run.id)

    assert of(run)["gaps"].plot.silences == []
