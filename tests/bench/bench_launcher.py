"""The launcher in figures: how soon a bench is up again, and what it costs while nobody asks."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import tell
from tests.services import ROOT, TESTBENCH, UP_S, bare_env, free_port, wait_until

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

IDLE_S = 15.0


@contextmanager
def made_up(folder: Path) -> Iterator[float]:
    """`make up`, as an operator runs it; seconds until it was ready."""
    port = free_port()
    options = f"--data {folder} --port {port}"
    began = time.monotonic()
    with (folder / "up.out").open("wb") as out:
        make = subprocess.Popen(
            ("make", "up", f"ARGS={options}"),
            cwd=ROOT,
            env=bare_env(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> bool:
        assert make.poll() is None, (folder / "up.out").read_text()
        return "Testbench ready at" in (folder / "up.out").read_text()

    try:
        wait_until(ready, UP_S, (folder / "up.out").read_text)
        yield time.monotonic() - began
    finally:
        os.killpg(make.pid, signal.SIGINT)
        make.wait(30)


def test_up_again_and_idle(folder: Path) -> None:
    data = folder / "up-again"
    data.mkdir(mode=0o755)
    with made_up(data) as first:
        pass
    with made_up(data) as again:
        time.sleep(IDLE_S)
        sizes = _sizes(data)
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
    tell("`make up` again", f"{again:.1f} s (the first time {first:.1f} s)", "≤ 10 s", again <= 10)
    tell(
        "all own processes idle, without the database",
        f"{total:.0f} MB resident: {parts}",
        "≤ 700 MB",
        total <= 700,
    )


def _sizes(data: Path) -> dict[str, float]:
    """Resident MB of each process with its children, and of the launcher."""
    command = (*TESTBENCH, "status", "--data", str(data), "--json")
    said = subprocess.run(command, cwd=ROOT, env=bare_env(), capture_output=True, check=True)
    status: dict[str, Any] = json.loads(said.stdout)
    entries = [e for e in status["processes"] + status["services"] if e["pid"]]
    sizes = {e["name"]: _resident(e["pid"]) for e in entries if e["name"] != "postgres"}
    launcher = int((data / "lock").read_text())
    database = next((e["pid"] for e in entries if e["name"] == "postgres"), None)
    assert database is not None
    known = {int(e["pid"]) for e in entries}
    own = [pid for pid in _children(launcher) if pid not in known]
    sizes["launcher"] = _alone(launcher) + sum(map(_resident, own))
    return sizes


def _resident(pid: int) -> float:
    return _alone(pid) + sum(map(_resident, _children(pid)))


def _alone(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
