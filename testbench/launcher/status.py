"""`status`: what runs and where, for people and for programs; credentials left out."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testbench.launcher.instance import Instance
from testbench.launcher.services import without_credentials

PORTS = {"postgresql": 5432, "redis": 6379, "amqp": 5672, "mqtt": 1883, "http": 80}
LOCAL = ("127.0.0.1", "localhost", "::1")


def show(data: Path, *, as_json: bool) -> int:
    """Prints the status of the bench in this folder; 1 where none runs."""
    known = state(data)
    if as_json:
        print(json.dumps(known, indent=1))
    elif known["url"] is None:
        print(f"No bench runs on {data}.", file=sys.stderr)
    else:
        print(known["url"])
        for entry in known["processes"] + known["services"]:
            pid = entry["pid"] or "elsewhere"
            print(f"  {entry['name']:<12}{pid!s:>10}  {entry.get('url', '')}")
    return 0 if known["url"] else 1


def state(data: Path) -> dict[str, Any]:
    """`{url, processes: [{name, pid}], services: [{name, url, pid}]}`; url is None if none runs."""
    told = Instance(data.expanduser().resolve()).state()
    services = [_service(entry) for entry in told.get("services", [])]
    return {"url": told.get("url"), "processes": told.get("processes", []), "services": services}


def _service(entry: dict[str, Any]) -> dict[str, Any]:
    url = str(entry["url"])
    return {
        "name": entry["name"],
        "url": without_credentials(url),
        "pid": entry["pid"] or _listener(url),
    }


def _listener(url: str) -> int | None:
    """The pid of a named server, where it runs on this machine and may be looked at."""
    import psutil

    parts = urlsplit(url)
    port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname not in LOCAL:
        return None
    try:
        listening = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    local = [c for c in listening if c.status == psutil.CONN_LISTEN and c.pid]
    return next((c.pid for c in local if tuple(c.laddr)[1:2] == (port,)), None)
