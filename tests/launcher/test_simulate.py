"""`simulate`, as an operator runs it: what it says it sent is stored."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbench.adapters import db
from testbench.domain.identity import BENCH
from testbench.services import devices, telemetry
from tests.brokers import ROOT, collecting, embedded_here, embedded_url, until

if TYPE_CHECKING:
    from tests.conftest import Env

RECORDED = ROOT / "tests/data/telemetry/flatline.csv"


@pytest.fixture
def bench(bench_env: "Env", tmp_path: Path) -> Iterator[Path]:
    """A broker and a collector; the folder is nobody's bench."""
    url = embedded_url()
    bench_env.set(MQTT_URL=url)
    with embedded_here(url), collecting(tmp_path):
        yield tmp_path


def simulate(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "testbench", "simulate", "--data", str(folder), *options)
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )


def stored() -> dict[str, dict[str, list[tuple[datetime, float | str | bool]]]]:
    """Points by device and metric."""
    with db.transaction() as tx:
        return {
            device.name: {
                found.metric: found.points
                for found in telemetry.series(tx, BENCH, device.id, max_points=100_000).series
            }
            for device in devices.list_(tx, BENCH).items
        }


def test_devices_send_as_often_as_told_and_come_again_with_a_new_credential(bench: Path) -> None:
    options = ("--devices", "3", "--rate", "20", "--seconds", "1.5")

    first, second = simulate(bench, *options), simulate(bench, *options)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    counts = {name: len(metrics["power"]) for name, metrics in stored().items()}
    assert counts.keys() == {"sim-001", "sim-002", "sim-003"}
    assert all(40 <= count <= 62 for count in counts.values())


def test_a_recorded_file_arrives_whole_with_its_own_times(bench: Path) -> None:
    said = simulate(bench, "--devices", "1", "--rate", "0", "--replay", str(RECORDED))

    assert said.returncode == 0, said.stderr
    with RECORDED.open() as file:
        rows = list(csv.DictReader(file))
    expected = [
        (datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC), float(row["value"]))
        for row in rows
    ]
    until(lambda: len(stored()["sim-001"]["value"]) == len(expected))
    assert stored()["sim-001"]["value"] == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        ("# Notes\n\nno reading at all\n", "line 3 of"),
        ("timestamp,value\n2014-04-01 00:00:00,1,2\n", "line 2 of"),
    ],
)
def test_a_file_of_no_use_is_refused_before_devices_are_registered(
    bench: Path, tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "file.csv"
    if text is not None:
        file.write_text(text)

    said = simulate(bench, "--replay", str(file))

    assert said.returncode == 1
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr
    assert not stored()


def test_without_a_bench_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    said = simulate(tmp_path / "nothing")

    assert said.returncode == 1
    assert "--data" in said.stderr
    assert "Traceback" not in said.stderr
