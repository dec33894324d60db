"""A run as CSV: one row for each device and criterion, safe to open in a spreadsheet."""

import csv
import io
import json
from typing import Any

from testbench.services.runs.views import RunDeviceView, RunView

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet run a text as a formula when a cell begins with it."""
VERDICT_COLUMNS = (
    "name",
    "kind",
    "metric",
    "unit",
    "severity",
    "verdict",
    "marginal",
    "measured",
    "limits",
    "samples",
    "violations",
    "longest_violation_s",
    "message",
)
COLUMNS = (
    "run_id",
    "run",
    "run_status",
    "run_outcome",
    "test_case",
    "revision",
    "environment",
    "window_start",
    "window_end",
    "device_id",
    "device",
    "device_outcome",
    *("criterion" if name == "name" else name for name in VERDICT_COLUMNS),
    "first_violation_at",
    "first_violation_value",
)


def write(run: RunView) -> bytes:
    """UTF-8, a header line, CRLF as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for device in run.devices:
        for verdict in device.criteria or [{}]:
            writer.writerow([cell(value) for value in _row(run, device, verdict)])
    return out.getvalue().encode()


def cell(value: Any) -> str | float | int:
    """Numbers stay numbers; a text that a spreadsheet would take for a formula gets a quote."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    text = str(value).replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _row(run: RunView, device: RunDeviceView, verdict: dict[str, Any]) -> list[Any]:
    first: dict[str, Any] = verdict.get("first_violation") or {}
    return [
        run.id,
        run.name,
        run.status,
        run.outcome,
        run.test_case.get("name"),
        run.test_case.get("revision"),
        (run.environment or {}).get("name"),
        run.window_start and run.window_start.isoformat(),
        run.window_end and run.window_end.isoformat(),
        device.device_id,
        device.name,
        device.outcome,
        *(verdict.get(column) for column in VERDICT_COLUMNS),
        first.get("at"),
        first.get("value"),
    ]
