"""Two thousand devices polled every five seconds by one collector; and what storing adds."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from testbench.adapters import db, stores
from testbench.domain.ids import new_id
from testbench.domain.sharing import phase
from tests.bench.figures import LONG, tell
from tests.brokers import ROOT, process, until
from tests.processes.polling import LAB, NO_BROKER
from tests.services import Env

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

DEVICES, INTERVAL_S, HANGING = 2000, 5.0, 20
SECONDS = 600 if LONG else 60
WARM_S = 12.0
BARE_S = 15.0
LATE_S = 0.5
HOST = "127.66.0.1"
_FLEET = """
INSERT INTO devices (id, name, kind, ip, tags, offline_after_s, maintenance, info, desired,
    tracing, trace_logs, log_listening, demo, created_at)
SELECT id, ip, 'axeos', ip, '{}', 15, false, '{}', '{}', true, false, false, false, now()
FROM unnest(%s::uuid[], %s::text[]) AS made (id, ip)
"""
# When each device's readings of the window came, and how many.
_TURNS = """
SELECT s.device_id, array_agg(extract(epoch FROM r.ts)::float8 ORDER BY r.ts)
FROM readings r JOIN series s ON s.id = r.series_id
WHERE s.metric = 'uptime' AND r.ts BETWEEN to_timestamp(%s) AND to_timestamp(%s)
GROUP BY s.device_id
"""


@contextmanager
def emulator(count: int) -> Iterator[tuple[str, list[str]]]:
    """Devices in a process of their own: the URL that switches faults, and their addresses."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        control = min(free.getsockname()[1], 60_000 - count)
    code = (
        "import sys; from testbench.launcher import emulator;"
        f"sys.exit(emulator.main({count}, host={HOST!r}, port={control + 1},"
        f" control_port={control}))"
    )
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert b"AxeOS devices at" in running.stdout.readline()
        addresses = [f"{HOST}:{control + 1 + number}" for number in range(count)]
        yield f"http://{HOST}:{control}/devices", addresses
    finally:
        running.terminate()
        running.communicate()


def bare(addresses: list[str], folder: Path) -> tuple[int, float]:
    """Polls made, and the share of a core, without anything stored."""
    (folder / "addresses").write_text("\n".join(addresses))
    command = (sys.executable, "-m", "tests.bench.bare_poller", str(folder / "addresses"))
    said = subprocess.run(
        (*command, str(INTERVAL_S), str(BARE_S)),
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        check=True,
    )
    polls, cpu = said.stdout.split()
    return int(polls), float(cpu)


def cpu_s(pid: int) -> float:
    """Seconds of processor it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def on_time(ids: list[uuid.UUID], start: float, end: float) -> tuple[int, int]:
    """Turns between two times, and those whose answer came within half a second.

    Told from outside: by the times of what is stored, against when each device's turn is.
    """
    with db.transaction() as tx:
        answers = dict(tx.cursor().execute(_TURNS, (start, end + LATE_S)).fetchall())
    turns = kept = 0
    for id in ids:
        times = answers.get(id, [])
        due = start + (phase(id) * INTERVAL_S - start) % INTERVAL_S
        while due < end:
            turns += 1
            kept += any(0 <= at - due + 0.02 <= LATE_S for at in times)
            due += INTERVAL_S
    return turns, kept


def stored() -> int:
    with db.transaction() as tx:
        row = tx.cursor().execute("SELECT count(*) FROM readings").fetchone()
    return int(row[0]) if row else 0


def test_polling_of_a_fleet(bench_env: Env, tmp_path: Path) -> None:
    bench_env.set(DISCOVERY_NETWORKS=LAB, POLL_INTERVAL_S=str(INTERVAL_S), MQTT_URL=NO_BROKER)
    stores.prepare(1)
    ids = [new_id() for _ in range(DEVICES)]
    with emulator(DEVICES) as (faults, addresses):
        polls, bare_cpu = bare(addresses, tmp_path)
        for number in range(HANGING):
            httpx.patch(f"{faults}/{number}", json={"hanging": True}).raise_for_status()
        with db.transaction() as tx:
            tx.cursor().execute(_FLEET, (ids, addresses))
        with process("collector", tmp_path) as running:
            until(lambda: stored() > DEVICES, 60)
            time.sleep(WARM_S)
            start, cpu, first = time.time(), cpu_s(running.pid), memory_mb(running.pid)
            marks = [(0.0, first)]
            while (left := start + SECONDS - time.time()) > 0:
                time.sleep(min(left, SECONDS / 6))
                marks.append((time.time() - start, memory_mb(running.pid)))
            end, used = time.time(), cpu_s(running.pid) - cpu
            time.sleep(2)
        for log in tmp_path.glob("collector-*.log"):
            print(log.read_text()[-800:])
    turns, kept = on_time(ids[HANGING:], start, end)
    share, core = kept / turns, used / (end - start)
    tell(
        f"{DEVICES} devices every {INTERVAL_S:g} s, {HANGING} of them hanging, one collector",
        f"{share:.2%} of {turns} polls on time, {core:.0%} of a core"
        f" (bare polls without storing: {polls / BARE_S:.0f}/s, {bare_cpu:.0%}),"
        f" memory {', '.join(f'{mb:.0f}' for _, mb in marks)} MB over {SECONDS} s",
        ">= 99 %, memory flat",
        reached=share >= 0.99 and marks[-1][1] < first * 1.15,
    )
