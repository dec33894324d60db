"""A whole bench to do harm to: what its users do, and what befalls its processes and servers."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pika
import psycopg

from testbench.adapters import queue
from testbench.adapters.db import Lock
from testbench.launcher.instance import Instance
from tests.faults import invariants
from tests.services import Bench, Servers, wait_until

LEASE_S = 2.0
SETTINGS = {
    "LEASE_S": str(LEASE_S),
    "RESEND_S": "2",
    "STEP_INTERVAL_S": "0.5",
    "RATE_LIMIT": "1000000/minute",
    "LOGIN_LIMIT": "1000/minute",
    "DISCOVERY_NETWORKS": "127.0.0.0/8",
    "TEARDOWN_AWAY_S": "5",
}
WORKERS = 2
PROCESSES = ("web", "worker", "worker-2", "collector", "clock")
HEALED_S = 40.0

# Lets a test stop a run at a place of its choice: whoever is to change the run's row there waits
# for the advisory lock that the test holds. Places: `claim setup`, `setup>observe`, and so on.
_GATE = """
CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE place text;
BEGIN
    IF NEW.step > OLD.step OR NEW.phase <> OLD.phase THEN
        place := OLD.phase || '>' || NEW.phase;
    ELSIF NEW.claim IS NOT NULL AND NEW.claim IS DISTINCT FROM OLD.claim THEN
        place := 'claim ' || OLD.phase;
    ELSE
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(OLD.id || place, 0));
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER gate BEFORE UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION gate();
"""
_KEY = "SELECT hashtextextended(%s || %s, 0)"
_AT_GATE = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1
    AND (classid::bigint << 32) | objid::bigint = %s
"""

_LEADER = """
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objid = %s
"""


@dataclass
class Device:
    """A device and the credential it reports with."""

    id: uuid.UUID
    token: str


@dataclass
class Stage:
    """A running bench, its administrator, and a fleet that reports without end."""

    bench: Bench
    servers: Servers
    accepted: list[str] = field(default_factory=list[str])
    devices: list[Device] = field(default_factory=list[Device])
    token: str = ""

    def __post_init__(self) -> None:
        self._clients = threading.local()
        self._opened: list[httpx.Client] = []
        self.db = self.connect()
        self.db.execute(_GATE)
        self.log_in()
        self.devices = [self.register(f"dut-{number}") for number in range(1, 11)]

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of the test's own."""
        return psycopg.connect(self.servers.url("postgres"), autocommit=True)

    @property
    def http(self) -> httpx.Client:
        """This thread's own connections, with the administrator's token."""
        client = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = httpx.Client(base_url=self.bench.url, timeout=15)
            self._opened.append(client)
        client.headers["Authorization"] = f"Bearer {self.token or None}"
        return client

    # --- what people and devices do -----------------------------------------------------------

    def log_in(self) -> None:
        """As the administrator, whose session may have been lost."""
        body = {"username": "admin", "password": self.bench.admin_password}
        answer = self.http.post("/api/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["token"]

    def register(self, name: str, kind: str = "http") -> Device:
        """A device that was heard once and counts as online for the rest of the day."""
        body = {"name": name, "kind": kind, "offline_after_s": 86_400}
        made = self.http.post("/api/devices", json=body)
        assert made.status_code == 201, made.text
        device = Device(uuid.UUID(made.json()["id"]), made.json()["token"])
        assert self.report(device, {"temp": 21.5}).status_code == 200
        return device

    def report(self, device: Device, payload: Any) -> httpx.Response:
        """Readings over HTTP."""
        headers = {"Authorization": f"Bearer {device.token}"}
        return self.http.post("/api/telemetry", json=payload, headers=headers)

    def case(self, duration_s: float = 1.0, **fields: Any) -> str:
        """A test case; its one criterion is a temperature below 30."""
        limits = {"kind": "range", "name": "temperature", "metric": "temp", "high": 30.0}
        body = {"name": uuid.uuid4().hex, "duration_s": duration_s, "grace_s": 0.5}
        made = self.http.post("/api/test-cases", json=body | {"criteria": [limits]} | fields)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def ask(self, case: str, devices: Sequence[Device]) -> httpx.Response:
        """Start a run, and remember it if it was accepted."""
        body = {"test_case_id": case, "device_ids": [str(device.id) for device in devices]}
        answer = self.http.post("/api/test-runs", json=body)
        if answer.status_code == 201:
            self.accepted.append(answer.json()["id"])
        return answer

    def start(self, case: str, *devices: Device) -> str:
        """Start a run that must be accepted; its id."""
        answer = self.ask(case, devices)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    @contextmanager
    def reporting(self, *devices: Device) -> Iterator[dict[uuid.UUID, set[tuple[str, int]]]]:
        """The devices send five readings a second, each until it is acknowledged; what was."""
        sent: dict[uuid.UUID, set[tuple[str, int]]] = {device.id: set() for device in devices}
        done = threading.Event()

        def report(device: Device) -> None:
            while not done.is_set():
                ts = time.time_ns() // 1_000_000
                payload = {"ts": ts, "values": {"temp": 20 + ts % 10 / 10}}
                while not (taken := self._taken(device, payload)) and not done.is_set():
                    time.sleep(0.2)
                if taken:
                    sent[device.id].add(("temp", ts))
                time.sleep(0.2)

        threads = [threading.Thread(target=report, args=(device,)) for device in devices]
        for thread in threads:
            thread.start()
        try:
            yield sent
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def _taken(self, device: Device, payload: Any) -> bool:
        try:
            return self.report(device, payload).status_code == 200
        except httpx.HTTPError:
            return False

    # --- what one sees of a run ---------------------------------------------------------------

    def run(self, run: str, *columns: str) -> Any:
        """Columns of a run's row."""
        names = ", ".join(columns)
        return self.db.execute(f"SELECT {names} FROM runs WHERE id = %s", (run,)).fetchone()

    def lines(self, run: str) -> list[str]:
        """The events of its timeline, in order."""
        rows = self.db.execute("SELECT event FROM run_events WHERE run_id = %s ORDER BY id", (run,))
        return [row[0] for row in rows]

    def ended(self, *runs: str, within_s: float = 20.0) -> list[str]:
        """Wait for the ends of these runs; their outcomes."""

        def outcomes() -> list[Any]:
            return [self.run(run, "outcome")[0] for run in runs]

        wait_until(lambda: None not in outcomes(), within_s, lambda: str(self._story(runs)))
        return outcomes()

    def _story(self, runs: Sequence[str]) -> list[Any]:
        rows = self.db.execute(
            "SELECT id, phase, step, due_at - now(), sent_until - now(), lease_until - now()"
            " FROM runs WHERE id = ANY(%s::uuid[]) AND outcome IS NULL LIMIT 5",
            (list(runs),),
        )
        return [(*map(str, row), self.lines(str(row[0]))) for row in rows]

    # --- what befalls it ----------------------------------------------------------------------

    def kill(self, *processes: str) -> None:
        """SIGKILL to processes and all they have started."""
        for group in map(self.pid, processes):
            assert group is not None, f"one of {processes} does not run"
            os.killpg(group, signal.SIGKILL)

    @contextmanager
    def frozen(self, process: str) -> Iterator[None]:
        """A process hangs for a while."""
        group = self.pid(process)
        assert group is not None, f"{process} does not run"
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    def leader(self) -> str | None:
        """The name of the process that is the clock."""
        row = self.db.execute(_LEADER, (int(Lock.CLOCK),)).fetchone()
        return str(row[0]).removeprefix("testbench ") if row else None

    @contextmanager
    def run_up_to(self, place: str, case: str, *devices: Device) -> Iterator[tuple[str, "Gate"]]:
        """Start a run that comes no further than `place` within this block."""
        with ExitStack() as stack:
            with self.frozen("clock"):
                run = self.start(case, *devices)
                gate = stack.enter_context(self.closed(run, place))
            yield run, gate

    @contextmanager
    def closed(self, run: str, place: str) -> Iterator["Gate"]:
        """Whoever brings the run to `place` waits there, until the end of this block."""
        with self.connect() as keeper:
            key = keeper.execute(_KEY, (run, place)).fetchone()
            assert key
            keeper.execute("SELECT pg_advisory_lock(%s)", key)
            yield Gate(self, int(key[0]), place)

    def close(self) -> None:
        """Give all connections back."""
        self.db.close()
        for client in self._opened:
            client.close()

    # --- healing ------------------------------------------------------------------------------

    def healed(self) -> None:
        """Wait until everything runs, nothing is under way, and check every promise."""
        if self.db.closed:
            self.db = self.connect()
        wait_until(self._is_ready, HEALED_S, self.bench.output)
        active = "SELECT count(*) FROM runs WHERE status IN ('queued', 'running')"
        wait_until(lambda: self.db.execute(active).fetchone() == (0,), HEALED_S)
        invariants.hold(self.db, self.accepted)

    def pid(self, process: str) -> int | None:
        """The pid of one of the bench's processes; None while it is dead."""
        state = Instance.at(self.bench.folder).state()
        return {p["name"]: p["pid"] for p in state["processes"]}.get(process)

    def _is_ready(self) -> bool:
        if None in map(self.pid, PROCESSES) or self._consumers() < WORKERS:
            return False
        try:
            return self.http.get("/api/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def _consumers(self) -> int:
        """How many workers wait for messages."""
        parameters = pika.URLParameters(self.servers.url("rabbitmq"))
        with pika.BlockingConnection(parameters) as connection:
            declared = connection.channel().queue_declare(queue.QUEUE, passive=True)
        return int(declared.method.consumer_count)


@dataclass(frozen=True)
class Gate:
    """A closed gate in a run's way."""

    stage: Stage
    key: int
    place: str

    def waiting(self) -> list[str]:
        """The names of the processes that stand before it."""
        rows = self.stage.db.execute(_AT_GATE, (self.key,)).fetchall()
        return [row[0].removeprefix("testbench ") for row in rows]

    def reached(self, within_s: float = 15.0) -> str:
        """Wait until somebody stands before it; who."""
        wait_until(self.waiting, within_s, lambda: f"Nobody came to {self.place}.")
        return self.waiting()[0]
