"""`doctor`: each dependency, embedded or named, reachable or not, and what to do about it."""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbench.adapters.probes import PROBES
from testbench.launcher import embedded, frontend
from testbench.launcher.instance import Instance, Refused, is_free
from testbench.launcher.services import CRITICAL, VARIABLES, without_credentials
from testbench.settings import settings

INSTEAD = {
    "rabbitmq": "jobs go over Redis",
    "influxdb": "readings are kept in the database",
    "grafana": "links and publishing are off",
}
"""What the bench does without a service that is not named; the others are embedded."""


@dataclass(frozen=True)
class Finding:
    """`ok`: as it should be. A critical one that is not keeps the bench from running."""

    name: str
    ok: bool
    what: str
    advice: str = ""
    critical: bool = True


def examine(data: Path) -> int:
    """Prints all findings; 1 if something critical is wrong."""
    findings = list(_findings(data))
    for finding in findings:
        mark = "ok " if finding.ok else "BAD" if finding.critical else "bad"
        print(f"{mark}  {finding.name:<10} {finding.what}")
        if finding.advice:
            print(f"     {'':<10} → {finding.advice}")
    return int(any(finding.critical and not finding.ok for finding in findings))


def _findings(data: Path) -> Iterator[Finding]:
    """`settings()` are those of the configuration, not of a running bench: names stay names."""
    instance = Instance(data.expanduser().resolve())
    running = instance.state()
    known = {entry["name"]: entry for entry in running.get("services", [])}
    for name in (*VARIABLES, "grafana"):
        named = getattr(settings(), VARIABLES.get(name, "GRAFANA_URL").lower())
        if named:
            yield _asked(name, named, f"named by {VARIABLES.get(name, 'GRAFANA_URL')}")
        elif name in known:
            how = "named when the bench was started" if known[name]["named"] else "embedded"
            yield _asked(name, known[name]["url"], how)
        elif name in INSTEAD:
            yield Finding(name, True, f"not named: {INSTEAD[name]}")
        else:
            yield _program(name)
    yield _frontend()
    yield _folder(instance.folder)
    yield _port(running)


def _asked(name: str, url: str, how: str) -> Finding:
    where = f"{how}, {without_credentials(url)}"
    critical = name in CRITICAL
    try:
        return Finding(name, True, f"{where}: {PROBES[name](url)}", critical=critical)
    except Exception as error:  # noqa: BLE001 (whatever a client raises is the finding)
        said = " ".join(str(error).split()) or type(error).__name__
        return Finding(name, False, f"{where}: {said}", _advice(name, how), critical)


def _advice(name: str, how: str) -> str:
    if how == "embedded":
        return f"Look into logs/{name}.log below the bench's folder; the launcher keeps trying."
    variable = VARIABLES.get(name, "GRAFANA_URL")
    return f"Start the server, or correct {variable} (user, password, host, port), or unset it."


def _program(name: str) -> Finding:
    """An embedded service that is not running now: is what it needs installed?"""
    try:
        embedded.program(name)
    except Refused as error:
        return Finding(name, False, "embedded, not installed", str(error))
    return Finding(name, True, "embedded, not running: starts with the bench")


def _frontend() -> Finding:
    if frontend.is_built():
        return Finding("front end", True, "built")
    if shutil.which("npm", path=sysconfig.get_path("scripts")):
        return Finding("front end", True, "not built yet: the next start builds it")
    return Finding("front end", False, "not built, and no Node to build it", "Run `make install`.")


def _folder(folder: Path) -> Finding:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return Finding("folder", True, f"{folder}, writable")
    return Finding("folder", False, f"{folder} is not writable", "Choose another with --data.")


def _port(running: dict[str, object]) -> Finding:
    if running.get("url"):
        return Finding("web", True, f"running at {running['url']}")
    port = settings().port
    if is_free(port, settings().listen):
        return Finding("web", True, f"port {port} is free")
    advice = "Stop the other program, or choose another port with --port or PORT."
    return Finding("web", False, f"port {port} is taken", advice)
