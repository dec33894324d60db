"""A run as JUnit XML: a device is a suite, a criterion a case, so that any CI shows it."""

import re
from typing import Any
from xml.etree import ElementTree as ET

from testbench.services.runs.views import RunDeviceView, RunView

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TAG = {"fail": "failure", "error": "error", "unset": "error"}


def write(run: RunView) -> bytes:
    """`fail` is a failure; `error` and `unset` are errors; a device that ended otherwise is one."""
    seconds = _seconds(run)
    root = ET.Element("testsuites", name=_text(run.name), time=seconds)
    for device in run.devices:
        root.append(_suite(run, device, seconds))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _suite(run: RunView, device: RunDeviceView, seconds: str) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(device.name), time=seconds)
    if run.window_start:
        suite.set("timestamp", run.window_start.strftime("%Y-%m-%dT%H:%M:%S"))
    suite.append(_properties(run, device))
    cases = [_case(run, verdict) for verdict in device.criteria]
    explained = any(case.find("error") is not None for case in cases)
    if device.outcome not in ("pass", "fail") and not explained:
        cases.append(_unfinished(run, device))
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    return suite


def _properties(run: RunView, device: RunDeviceView) -> ET.Element:
    values = {
        "run_id": run.id,
        "device_id": device.device_id,
        "outcome": device.outcome,
        "test_case_revision": run.test_case.get("revision"),
        "environment": (run.environment or {}).get("name"),
    }
    properties = ET.Element("properties")
    for name, value in values.items():
        if value is not None:
            ET.SubElement(properties, "property", name=name, value=_text(value))
    return properties


def _case(run: RunView, verdict: dict[str, Any]) -> ET.Element:
    case = ET.Element(
        "testcase", classname=_text(run.test_case.get("name", "")), name=_text(verdict["name"])
    )
    message, tag = _text(verdict.get("message", "")), TAG.get(verdict["verdict"])
    if tag:
        kind = _text(verdict.get("severity", "required"))
        ET.SubElement(case, tag, message=message, type=kind).text = message
    else:
        ET.SubElement(case, "system-out").text = message
    return case


def _unfinished(run: RunView, device: RunDeviceView) -> ET.Element:
    """Without a verdict of its own such a device would look as if nothing was wrong."""
    case = ET.Element("testcase", classname=_text(run.test_case.get("name", "")), name="outcome")
    message = _text(run.reason or ("The run has not ended." if not device.outcome else ""))
    kind = _text(device.outcome or run.status)
    ET.SubElement(case, "error", message=message or kind, type=kind).text = message
    return case


def _seconds(run: RunView) -> str:
    if not run.started_at or not run.ended_at:
        return "0"
    return f"{(run.ended_at - run.started_at).total_seconds():.3f}"


def _text(value: object) -> str:
    """XML has no word for most control characters."""
    return _NO_XML.sub("\ufffd", str(value))
