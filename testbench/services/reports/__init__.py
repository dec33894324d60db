"""A run's report, as a file to keep: JSON, CSV, JUnit XML, or a page to read and print."""

import re
import uuid
from typing import Literal

from testbench.adapters.db import Tx
from testbench.domain.identity import Actor, require
from testbench.services import charts
from testbench.services.reports import junit, printable, sheets
from testbench.services.runs.views import RunView, get

Format = Literal["json", "csv", "junit", "html"]
FORMATS: tuple[Format, ...] = ("json", "csv", "junit", "html")
MAX_CHARTS = 60
"""More would make a page that no browser likes to open; every verdict is in its table."""
_SUFFIX: dict[Format, str] = {"json": "json", "csv": "csv", "junit": "xml", "html": "html"}
_MEDIA: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "junit": "application/xml",
    "html": "text/html; charset=utf-8",
}


def report(tx: Tx, actor: Actor, run_id: str | uuid.UUID, format: Format) -> tuple[str, str, bytes]:
    """Media type, file name and content; NotFound if there is no such run."""
    require(actor, "viewer")
    run = get(tx, actor, run_id)
    return _MEDIA[format], _filename(run, format), _content(tx, actor, run, format)


def _content(tx: Tx, actor: Actor, run: RunView, format: Format) -> bytes:
    if format == "json":
        return run.model_dump_json(indent=2).encode()
    if format == "csv":
        return sheets.write(run)
    if format == "junit":
        return junit.write(run)
    return printable.write(run, _charts(tx, actor, run))


def _charts(tx: Tx, actor: Actor, run: RunView) -> list[charts.Chart]:
    """What decided against a pass first, until there are enough."""
    if len(run.devices) * len(run.test_case.get("criteria", [])) <= MAX_CHARTS:
        return charts.of_run(tx, actor, run.id)
    chosen: list[charts.Chart] = []
    for device in sorted(run.devices, key=lambda part: part.outcome == "pass"):
        chosen += charts.of_run(tx, actor, run.id, device.device_id)
        if len(chosen) >= MAX_CHARTS:
            break
    return chosen[:MAX_CHARTS]


def _filename(run: RunView, format: Format) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", run.name).strip("-").lower()[:60]
    stem = "-".join(part for part in ("run", str(run.number), words) if part)
    return f"{stem}.{_SUFFIX[format]}"
