"""Runs in figures: how soon one begins, how fast devices are held, how many go on at once."""

import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
import redis

from testbench.adapters import db, stores
from testbench.adapters.stores import Reading
from testbench.domain.errors import Conflict
from testbench.domain.identity import BENCH
from testbench.domain.ids import new_id
from testbench.models import Presence
from testbench.services import devices, reservations, runs, test_cases
from testbench.services.devices import NewDevice
from testbench.services.runs import NewRun
from testbench.services.test_cases import TestCaseBody
from tests.bench.figures import LONG, percentile, tell
from tests.services import ROOT, Env, wait_until

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1500)]

STARTS = 150
CLIENTS, DEVICES, HOLD_S = 16, 50, 10.0
RUNS, STEP_S, LOAD_S = 1000, 5.0, 600.0 if LONG else 45.0
LIMITS = {"kind": "range", "name": "temperature", "metric": "temp", "high": 30.0}
WORKER = ("dramatiq", "testbench.tasks", "--processes", "1", "--threads", "8")
CLOCK = ("testbench", "clock")


# Notes when each step was claimed, and how late.
_CLAIMS = """
CREATE UNLOGGED TABLE claims (run_id uuid, at timestamptz, late_s float8);
CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO claims VALUES (NEW.id, clock_timestamp(),
        extract(epoch FROM clock_timestamp() - greatest(OLD.due_at, OLD.queued_at)));
    RETURN NULL;
END $$;
CREATE TRIGGER claims AFTER UPDATE ON runs FOR EACH ROW
WHEN (NEW.claim IS NOT NULL AND NEW.claim IS DISTINCT FROM OLD.claim)
EXECUTE FUNCTION note_claim();
"""


@contextmanager
def running(folder: Path, *commands: tuple[str, ...]) -> Iterator[list[int]]:
    """The bench's own processes, as this process is configured; their pids."""
    children: list[subprocess.Popen[bytes]] = []
    with (folder / "processes.log").open("wb") as log:
        for command in commands:
            argv = (sys.executable, "-m", *command)
            children.append(subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log))
        try:
            yield [child.pid for child in children]
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(20)


def fleet(count: int) -> list[uuid.UUID]:
    """Devices that stay online."""
    made: list[uuid.UUID] = []
    with db.transaction() as tx:
        for number in range(count):
            new = NewDevice(name=f"dut-{number}", kind="simulated", offline_after_s=86_400)
            made.append(devices.create(tx, BENCH, new).id)
            tx.session.add(Presence(device_id=made[-1], last_seen=tx.now + timedelta(hours=1)))
    return made


def case(duration_s: float) -> str:
    """A test case with one criterion."""
    body = {"name": f"c-{new_id()}", "duration_s": duration_s, "criteria": [LIMITS]}
    made = db.run(lambda tx: test_cases.create(tx, BENCH, TestCaseBody.model_validate(body)))
    return str(made.id)


# --- commit of a start → first step claimed ---------------------------------------------------


def test_commit_of_a_start_to_first_step_claimed(
    bench_env: Env, rabbitmq_url: str, redis_url: str, tmp_path: Path
) -> None:
    bench_env.set(RABBITMQ_URL=rabbitmq_url)
    device, document = str(fleet(1)[0]), case(60.0)
    with db.transaction() as tx:
        tx.cursor().execute(_CLAIMS)
    raw_worker = ("dramatiq", "tests.bench.raw_queue", "--processes", "1", "--threads", "8")
    with running(tmp_path, CLOCK, WORKER, raw_worker):
        send, heard = _raw(redis_url)
        send()
        _first_step(device, document)
        ours: list[float] = []
        for _ in range(STARTS):
            ours.append(_first_step(device, document))
            time.sleep(0.02)
            send()
            time.sleep(0.02)
        raw = heard(STARTS + 1)[1:]
    ratio = median(ours) / median(raw)
    tell(
        "commit of a start → a worker has claimed the first step, RabbitMQ, idle",
        f"p50 {_ms(median(ours))} (p95 {_ms(percentile(ours, 0.95))}); raw dramatiq p50 "
        f"{_ms(median(raw))} (p95 {_ms(percentile(raw, 0.95))}); ratio {ratio:.2f}",
        "≤ 3 × raw",
        ratio <= 3,
    )
    assert len(raw) == len(ours)


def _first_step(device: str, document: str) -> float:
    """Start a run, wait until a worker has it, stop it again; seconds from commit to claim."""
    new = NewRun(test_case_id=document, device_ids=[device])
    committed: list[float] = []

    def start(tx: db.Tx) -> uuid.UUID:
        tx.after_commit(lambda: committed.append(time.time()))
        return runs.start(tx, BENCH, new).id

    run = db.run(start)
    claimed: list[float] = []
    query = "SELECT extract(epoch FROM min(at))::float8 FROM claims WHERE run_id = %s"

    def seen() -> bool:
        with db.transaction() as tx:
            (moment,) = tx.cursor().execute(query, (run,)).fetchone() or (None,)
        claimed.extend([moment] if moment else [])
        return moment is not None

    wait_until(seen, 10)
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run)))
    return claimed[0] - committed[0]


def _raw(redis_url: str) -> tuple[Callable[[], None], Callable[[int], list[float]]]:
    from tests.bench.raw_queue import note

    client = redis.Redis.from_url(redis_url)

    def heard(count: int) -> list[float]:
        wait_until(lambda: client.llen("raw") >= count, 10)
        return [float(value) for value in client.lrange("raw", 0, -1)]

    return lambda: note.send(time.time()), heard


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


# --- reserve and release ------------------------------------------------------------------------

_RESERVE = """
INSERT INTO reservations (device_id, run_id)
SELECT device_id, %s FROM unnest(%s::uuid[]) AS device_id
ON CONFLICT (device_id) DO NOTHING RETURNING device_id
"""


def test_reserve_and_release_with_sixteen_clients(bench_env: Env, database: str) -> None:
    bench_env.set(DB_POOL_SIZE=str(CLIENTS))
    pool, document = fleet(DEVICES), case(60.0)
    holders = [
        db.run(lambda tx, d=device: runs.start(tx, BENCH, _new(document, d))).id
        for device in fleet_of(CLIENTS)
    ]
    rates: dict[str, list[float]] = {"bare": [], "service": []}
    doubles = 0
    with ExitStack() as stack:
        connections = {run: stack.enter_context(psycopg.connect(database)) for run in holders}
        for _ in range(3):
            for name, cycle in (("bare", _bare(connections)), ("service", _service)):
                rate, seen = _cycles(cycle, holders, pool)
                rates[name].append(rate)
                doubles += seen
    bare, service = median(rates["bare"]), median(rates["service"])
    tell(
        f"reserve + release, {CLIENTS} clients, {DEVICES} devices",
        f"{service:.0f} cycles/s; bare SQL {bare:.0f} cycles/s; ratio {service / bare:.2f}; "
        f"{doubles} double reservations",
        "≥ 0.5 × bare, 0 double",
        service >= bare / 2 and doubles == 0,
    )
    assert doubles == 0


def fleet_of(count: int) -> list[uuid.UUID]:
    """Other devices, each for a run that holds reservations in the bench."""
    made: list[uuid.UUID] = []
    with db.transaction() as tx:
        for number in range(count):
            new = NewDevice(name=f"holder-{number}", kind="simulated", offline_after_s=86_400)
            made.append(devices.create(tx, BENCH, new).id)
            tx.session.add(Presence(device_id=made[-1], last_seen=tx.now + timedelta(hours=1)))
    return made


def _new(document: str, device: uuid.UUID) -> NewRun:
    return NewRun(test_case_id=document, device_ids=[str(device)])


Cycle = Callable[[uuid.UUID, list[uuid.UUID], Callable[[], None]], bool]


def _service(run: uuid.UUID, wanted: list[uuid.UUID], held: Callable[[], None]) -> bool:
    try:
        with db.transaction() as tx:
            reservations.reserve(tx, run, wanted)
    except Conflict:
        return False
    held()
    with db.transaction() as tx:
        reservations.release(tx, run)
    return True


def _bare(connections: dict[uuid.UUID, psycopg.Connection[Any]]) -> Cycle:
    def cycle(run: uuid.UUID, wanted: list[uuid.UUID], held: Callable[[], None]) -> bool:
        connection = connections[run]
        got = connection.execute(_RESERVE, (run, sorted(wanted)), prepare=True).fetchall()
        if len(got) < len(wanted):
            connection.rollback()
            return False
        connection.commit()
        held()
        connection.execute("DELETE FROM reservations WHERE run_id = %s", (run,), prepare=True)
        connection.commit()
        return True

    return cycle


def _cycles(cycle: Cycle, holders: list[uuid.UUID], pool: list[uuid.UUID]) -> tuple[float, int]:
    """Full cycles a second, and how often a device was held by two at once."""
    owner: dict[uuid.UUID, uuid.UUID] = {}
    until = time.perf_counter() + HOLD_S / 6
    doubles: list[uuid.UUID] = []

    def client(run: uuid.UUID) -> int:
        chance, done = random.Random(run.int), 0
        while time.perf_counter() < until:
            wanted = chance.sample(pool, 2)

            def held(wanted: list[uuid.UUID] = wanted) -> None:
                doubles.extend(device for device in wanted if device in owner)
                owner.update(dict.fromkeys(wanted, run))
                for device in wanted:
                    owner.pop(device, None)

            done += cycle(run, wanted, held)
        return done

    with ThreadPoolExecutor(CLIENTS) as threads:
        total = sum(threads.map(client, holders))
    return total / (HOLD_S / 6), len(doubles)


# --- a thousand runs at once --------------------------------------------------------------------


def test_a_thousand_runs_at_once(bench_env: Env, rabbitmq_url: str, tmp_path: Path) -> None:
    bench_env.set(RABBITMQ_URL=rabbitmq_url, STEP_INTERVAL_S=str(STEP_S))
    members, document = fleet(RUNS), case(LOAD_S + 600)
    with db.transaction() as tx:
        tx.cursor().execute(_CLAIMS)
    with running(tmp_path, CLOCK, WORKER, WORKER) as pids, reporting(members):
        _start_all(members, document)
        time.sleep(2 * STEP_S)
        began, before = _now(), _memory(pids)
        cpu = _cpu_s(pids)
        time.sleep(LOAD_S)
        cpu = _cpu_s(pids) - cpu
        late, after = _late_since(began), _memory(pids)
        active = _active()
        _stop_all()
    rate, p95 = len(late) / LOAD_S, percentile(late, 0.95)
    growth = (after - before) / before
    tell(
        f"{RUNS:,} runs at once, one step each {STEP_S:g} s, two worker processes, {LOAD_S:g} s",
        f"{rate:.0f} steps/s of {RUNS / STEP_S:.0f}; lateness p50 {_ms(median(late))}, p95 "
        f"{_ms(p95)}, max {_ms(max(late))}; {RUNS - active} runs lost; memory "
        f"{before:.0f} → {after:.0f} MB; {cpu / LOAD_S:.2f} cores",
        "p95 < 1 s, no run lost, memory flat",
        p95 < 1 and active == RUNS and growth < 0.05 and rate > 0.9 * RUNS / STEP_S,
    )
    assert active == RUNS


@contextmanager
def reporting(members: list[uuid.UUID]) -> Iterator[None]:
    """One reading a device and second, as an ingest would store them."""
    done = threading.Event()

    def report() -> None:
        while not done.wait(1.0):
            ts = time.time_ns() // 1_000_000
            batch = [Reading(device, "temp", ts, 21.5) for device in members]
            with db.transaction() as tx:
                stores.store().write(tx, batch)

    stores.prepare(days_ahead=1)
    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _start_all(members: list[uuid.UUID], document: str) -> None:
    """Spread over one interval, as runs are in life."""
    pause = STEP_S / len(members)
    began = time.monotonic()
    for number, device in enumerate(members):
        db.run(lambda tx, d=device: runs.start(tx, BENCH, _new(document, d)))
        time.sleep(max(0.0, began + number * pause - time.monotonic()))


def _now() -> Any:
    with db.transaction() as tx:
        return tx.now


def _late_since(began: Any) -> list[float]:
    with db.transaction() as tx:
        rows = tx.cursor().execute("SELECT late_s FROM claims WHERE at > %s", (began,))
        return [row[0] for row in rows]


def _active() -> int:
    with db.transaction() as tx:
        rows = tx.cursor().execute("SELECT count(*) FROM runs WHERE status = 'running'")
        return int((rows.fetchone() or (0,))[0])


def _stop_all() -> None:
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE runs SET due_at = NULL")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _memory(pids: list[int]) -> float:
    """Resident MB of these processes and their children."""
    pages = [
        int(Path(f"/proc/{member}/statm").read_text().split()[1])
        for pid in pids
        for member in _family(pid)
    ]
    return sum(pages) * 4096 / 1e6


def _cpu_s(pids: list[int]) -> float:
    """CPU seconds they have used."""
    total = 0
    for member in (member for pid in pids for member in _family(pid)):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100
