"""A real Prometheus, Debian's, that scrapes a bench."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services import free_port


@contextmanager
def prometheus(target: str, folder: Path, token: str) -> Iterator[str]:
    """Debian's Prometheus, which scrapes `target` twice a second; its URL."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [
            {
                "job_name": "testbench",
                "authorization": {"credentials": token},
                "static_configs": [{"targets": [target.removeprefix("http://")]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def query(url: str, expression: str) -> dict[str, float]:
    """device_id (or nothing) → value."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": expression})
    except httpx.ConnectError:
        return {}
    if answer.status_code != 200:
        return {}
    found = answer.json()["data"]["result"]
    return {one["metric"].get("device_id", ""): float(one["value"][1]) for one in found}
