"""Reports of runs: what a spreadsheet, a CI server, a browser and a program read in them."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from testbench.adapters import db
from testbench.domain.errors import NotFound
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.domain.times import ms
from testbench.services import reports, runs
from testbench.services.reports import Format
from testbench.services.reports.sheets import cell
from testbench.services.runs import RunView
from tests import made_runs
from tests.services import Env

pytestmark = pytest.mark.usefixtures("bench_env")


def content(run: RunView, format: Format) -> str:
    return db.run(lambda tx: reports.report(tx, BENCH, run.id, format))[2].decode()


def two_devices() -> RunView:
    """One passed, one failed; a warning that failed on the first; nothing of `humidity` at all."""
    good, bad = made_runs.online_device("bench-07"), made_runs.online_device("bench-08")
    case = made_runs.case(
        made_runs.LIMITS,
        {**made_runs.LIMITS, "name": "cooler", "high": 20.0, "severity": "warning"},
    )
    readings: dict[Any, Any] = {
        good.id: {"temp": [21.0, 22.5, 23.0]},
        bad.id: {"temp": [-4.0, 35.0, 22.0]},
    }
    return made_runs.judged(case.id, readings, name="burn-in")


def test_html_leads_to_the_window_in_grafana_where_there_is_one(bench_env: Env) -> None:
    run = two_devices()
    assert "Grafana" not in content(run, "html")

    bench_env.set(GRAFANA_URL="http://grafana.lab/")

    assert run.window_start is not None
    page = content(run, "html")
    found = re.search(r'<a href="([^"]*)" rel="noreferrer">Readings in Grafana', page)
    assert found is not None
    assert found[1].startswith("http://grafana.lab/d/testbench-fleet?from=")
    assert f"from={ms(run.window_start)}&amp;to=" in found[1]
    assert all(f"var-device={device.device_id}" in found[1] for device in run.devices)


def test_csv_has_a_row_for_each_device_and_criterion_with_plain_numbers() -> None:
    run = two_devices()

    rows = list(csv.DictReader(io.StringIO(content(run, "csv"))))

    assert [(row["device"], row["criterion"], row["verdict"]) for row in rows] == [
        ("bench-07", "temperature", "pass"),
        ("bench-07", "cooler", "fail"),
        ("bench-08", "temperature", "fail"),
        ("bench-08", "cooler", "fail"),
    ]
    assert float(rows[2]["measured"]) == 35.0
    assert float(rows[2]["first_violation_value"]) == 35.0
    assert json.loads(rows[2]["limits"]) == {"high": 30.0}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " ="])
def test_text_that_a_spreadsheet_would_run_is_quoted(start: str) -> None:
    assert cell(f"{start}cmd|'/C calc'!A0") == f"'{start}cmd|'/C calc'!A0"


def test_a_negative_number_stays_a_number_and_a_harmless_text_itself() -> None:
    assert (cell(-4.0), cell(7), cell("temp")) == (-4.0, 7, "temp")


def test_a_device_named_like_a_formula_is_quoted_in_the_report() -> None:
    device = made_runs.online_device('=HYPERLINK("http://x")')
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [20.0]}})

    (row,) = csv.DictReader(io.StringIO(content(run, "csv")))

    assert row["device"] == '\'=HYPERLINK("http://x")'


def test_junit_shows_devices_as_suites_and_failures_where_criteria_failed() -> None:
    root = ET.fromstring(content(two_devices(), "junit"))

    assert [suite.get("name") for suite in root] == ["bench-07", "bench-08"]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "3", "0")
    failure = root.find("testsuite[@name='bench-08']/testcase[@name='temperature']/failure")
    assert failure is not None
    assert "temp reached 35.0 °C" in failure.get("message", "")


def test_junit_calls_missing_readings_an_error() -> None:
    device = made_runs.online_device()
    root = ET.fromstring(content(made_runs.judged(made_runs.case().id, {device.id: {}}), "junit"))

    assert (root.get("failures"), root.get("errors")) == ("0", "1")


def test_junit_of_a_run_without_verdicts_is_no_empty_success() -> None:
    run = made_runs.started(made_runs.case().id, [made_runs.online_device().id])
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))

    root = ET.fromstring(content(run, "junit"))

    assert root.get("errors") == "1"
    error = root.find(".//error")
    assert error is not None
    assert (error.get("type"), error.get("message")) == ("aborted", "Cancelled by testbench.")


def test_junit_stays_well_formed_with_control_characters_in_readings() -> None:
    device = made_runs.online_device()
    case = made_runs.case({"kind": "equals", "name": "mode", "metric": "mode", "value": "idle"})
    run = made_runs.judged(case.id, {device.id: {"mode": ["\x1b[31m<busy>\x02"]}})

    failure = ET.fromstring(content(run, "junit")).find(".//failure")

    assert failure is not None
    assert "\ufffd[31m<busy>\ufffd" in failure.get("message", "")


class Page(HTMLParser):
    """Counts elements, and collects what would load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.classes: list[str] = []
        self.active: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        names = dict(attrs)
        self.classes += (names.get("class") or "").split()
        if tag in ("script", "iframe", "link", "img") or names.keys() & {"src", "onload", "href"}:
            self.active.append(tag)


def test_html_draws_every_criterion_and_marks_the_violations() -> None:
    page = Page(content(two_devices(), "html"))

    assert page.tags["svg"] == 4
    assert page.classes.count("violation") == 1 + 3 + 2
    assert not page.active


def test_html_escapes_what_devices_and_people_call_things() -> None:
    device = made_runs.online_device("<script>alert(1)</script>")
    case = made_runs.case({**made_runs.LIMITS, "unit": "<img src=x onerror=alert(2)>"})
    run = made_runs.judged(
        case.id, {device.id: {"temp": [40.0]}}, name="</title><script>alert(3)</script>"
    )

    page = Page(content(run, "html"))

    assert not page.active
    assert "script" not in page.tags


def test_json_is_the_run_as_the_api_gives_it() -> None:
    run = two_devices()

    assert RunView.model_validate_json(content(run, "json")) == run


def test_file_names_say_which_run_it_is_and_nothing_a_shell_or_header_minds() -> None:
    device = made_runs.online_device()
    run = made_runs.started(made_runs.case().id, [device.id], name='Über "cool"/..; x\\y')

    filename = db.run(lambda tx: reports.report(tx, BENCH, run.id, "junit"))[1]

    assert filename == f"run-{run.number}-ber-cool-x-y.xml"


def test_an_unknown_run_has_no_report() -> None:
    with pytest.raises(NotFound):
        db.run(lambda tx: reports.report(tx, BENCH, new_id(), "json"))


def test_html_draws_readings_at_the_end_of_all_numbers() -> None:
    device = made_runs.online_device()
    run = made_runs.judged(made_runs.case().id, {device.id: {"temp": [1e308, -1e308, 0.0]}})

    page = Page(content(run, "html"))

    assert page.tags["svg"] == 1
    assert "nan" not in content(run, "html").lower().partition("<svg")[2].partition("</svg>")[0]
