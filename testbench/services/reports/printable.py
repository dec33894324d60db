"""A run as one self-contained page: no script, nothing loaded, every text escaped."""

from datetime import datetime
from html import escape
from typing import Any

from testbench.domain.plots import limits_in_words, measured_unit
from testbench.services.charts import Chart
from testbench.services.reports.drawings import svg
from testbench.services.runs.views import RunDeviceView, RunView

WORDS = {
    "pass": "✓ Passed",
    "fail": "✗ Failed",
    "error": "! Error",
    "timeout": "⧗ Timed out",
    "aborted": "■ Aborted",
    "unset": "– Not judged",
}
STYLE = """
:root{color-scheme:light}
body{font:14px/1.5 system-ui,sans-serif;color:#1c2024;max-width:60rem}
body{margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.25rem 0}.muted{color:#60646c}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d9d9e0;vertical-align:top}
th{font-weight:600;color:#60646c}td.number{text-align:right}
.tag{font-weight:600;white-space:nowrap}
.pass{color:#1a6b3c}.fail{color:#b42318}.error,.unset{color:#6e3bb0}.timeout{color:#a34b00}
.aborted{color:#60646c}
.outcome{border-left:4px solid;padding:.5rem 1rem;margin:1rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.5rem;margin:1rem 0}
dt{color:#60646c}dd{margin:0}
figure{margin:1rem 0;break-inside:avoid}figcaption{margin-bottom:.25rem}
svg{width:100%;height:auto;font:11px system-ui,sans-serif}
svg text{fill:#60646c}.axis{stroke:#8b8d98}.grid{stroke:#e8e8ec}
.band{fill:#30a46c;fill-opacity:.1}.limit{stroke:#30a46c;stroke-dasharray:4 3}
.curve{fill:none;stroke:#0d74ce;stroke-width:1.5}.dot{fill:#0d74ce}
.violation{fill:#e5484d}.silence{fill:#e5484d;fill-opacity:.12}
.measured{stroke:#8145b5;stroke-dasharray:2 3}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
"""


def write(run: RunView, charts: list[Chart]) -> bytes:
    """UTF-8 HTML, made to be read on a screen and on paper."""
    name = escape(run.name)
    sections = [
        _head(run),
        "<h2>Devices</h2>",
        _devices(run),
        "<h2>Verdicts</h2>",
        *(_verdicts(device) for device in run.devices),
        "<h2>Charts</h2>" if charts else "",
        *(_figure(chart) for chart in charts),
        "<h2>Timeline</h2>",
        _timeline(run),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{name} – test report</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>"
    )
    return page.encode("utf-8", "replace")


def _head(run: RunView) -> str:
    case, environment = run.test_case, run.environment or {}
    word = WORDS.get(run.outcome or "", run.status)
    reason = f": {escape(run.reason)}" if run.reason else ""
    facts = {
        "Test case": f"{case.get('name', '')} (revision {case.get('revision', '')})",
        "Environment": environment.get("name", "none"),
        "Variables": ", ".join(f"{k} = {v}" for k, v in environment.get("variables", {}).items()),
        "Judged window": f"{_moment(run.window_start)} to {_moment(run.window_end)}",
        "Queued": _moment(run.queued_at),
        "Ended": _moment(run.ended_at),
        "Attempt": str(run.attempt),
        "Run": str(run.id),
    }
    rows = "".join(f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items() if v)
    if run.grafana_url:
        link = f'<a href="{escape(run.grafana_url)}" rel="noreferrer">Readings in Grafana</a>'
        rows += f"<dt>Dashboard</dt><dd>{link}</dd>"
    return (
        f'<p class="muted">Test report · run {run.number}</p><h1>{escape(run.name)}</h1>'
        f'<div class="outcome {escape(run.outcome or "unset")}">'
        f"<strong>{escape(word)}</strong>{reason}</div><dl>{rows}</dl>"
    )


def _tag(word: str | None) -> str:
    kind = word if word in WORDS else "unset"
    return f'<span class="tag {kind}">{WORDS[kind]}</span>'


def _devices(run: RunView) -> str:
    rows = "".join(
        f"<tr><td>{escape(device.name)}</td><td>{_tag(device.outcome)}</td></tr>"
        for device in run.devices
    )
    heads = "<tr><th>Device</th><th>Outcome</th></tr>"
    return f"<table><thead>{heads}</thead><tbody>{rows}</tbody></table>"


def _verdicts(device: RunDeviceView) -> str:
    if not device.criteria:
        return f"<h3>{escape(device.name)}</h3><p class=muted>No verdicts.</p>"
    columns = ("Criterion", "Verdict", "Measured", "Limits", "Readings", "What happened")
    heads = "".join(f"<th>{column}</th>" for column in columns)
    rows = "".join(_verdict(verdict) for verdict in device.criteria)
    return (
        f"<h3>{escape(device.name)}</h3><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _verdict(verdict: dict[str, Any]) -> str:
    kind, unit = str(verdict.get("kind", "")), verdict.get("unit")
    limits: dict[str, Any] = verdict.get("limits") or {}
    measured = _figure_text(verdict.get("measured"), measured_unit(kind, unit, limits))
    cells = [
        f"<td>{escape(str(verdict.get('name', '')))}{_notes(verdict)}</td>",
        f"<td>{_tag(verdict.get('verdict'))}</td>",
        f'<td class="number">{escape(measured)}</td>',
        f"<td>{escape(limits_in_words(kind, unit, limits))}</td>",
        f'<td class="number">{escape(str(verdict.get("samples", "")))}</td>',
        f"<td>{escape(str(verdict.get('message', '')))}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _notes(verdict: dict[str, Any]) -> str:
    notes = ["warning only"] if verdict.get("severity") == "warning" else []
    notes += ["marginal"] if verdict.get("marginal") else []
    return f'<br><span class="muted">{", ".join(notes)}</span>' if notes else ""


def _figure_text(value: Any, unit: str | None = None) -> str:
    if value is None:
        return "–"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = f"{value:.6g}" if number else str(value)
    return f"{text} {unit}" if unit and number else text


def _figure(chart: Chart) -> str:
    verdict = chart.verdict.verdict if chart.verdict else None
    return (
        f"<figure><figcaption><strong>{escape(chart.criterion)}</strong> on "
        f"{escape(chart.device)} {_tag(verdict)}<br>"
        f'<span class="muted">{escape(chart.sentence)}</span></figcaption>'
        f"{svg(chart.plot)}</figure>"
    )


def _timeline(run: RunView) -> str:
    rows = "".join(
        f"<tr><td>{_moment(line.at)}</td><td>{escape(line.event)}</td>"
        f"<td>{escape(line.detail)}</td></tr>"
        for line in run.timeline
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC" if at else ""
