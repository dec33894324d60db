"""Clock and worker really running, over RabbitMQ and over Redis; the web in this process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
import redis

from testbench.adapters import queue
from testbench.api.app import create_app
from testbench.settings import settings
from tests.callers import Api, served
from tests.services import ROOT, TESTBENCH, Env, free_port, wait_until

RUN_S = 20.0
WORKER = (
    sys.executable, "-m", "dramatiq", "testbench.tasks", "--processes", "1", "--threads", "4",
)  # fmt: skip
QUICK: dict[str, Any] = {"duration_s": 0.5, "grace_s": 0.2}
POISON: list[Any] = [
    {"actor_name": "no.such.actor"},
    {"args": []},
    {"args": ["x", "y"]},
    {"args": [None, None, None]},
    {"args": [str(uuid.uuid4()), 10**30]},
    {"args": [str(uuid.uuid4()), -1]},
    {"args": [str(uuid.uuid4()), 0], "kwargs": {"more": 1}},
    {"kwargs": None},
    {"options": None},
    {"options": {"eta": "soon", "pipe_target": {"actor_name": 1}}},
    {"message_timestamp": "now"},
    {"queue_name": None},
    {"more": 1},
]
"""Messages of the right form but for these fields."""
GARBAGE = [b"", b"\xff\xfe\x00", b"{bad", b"{}", b"[]", b"null", b'{"args": 1}', b"x" * 1_000_000]


class Stage:
    """Processes of a bench, its API, and a device that reports by HTTP."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api = api
        self.folder = folder
        self.device = api.device(online=False)

    @contextmanager
    def process(self, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Killed at the end; what it said goes to its own file."""
        log = self.folder / f"{uuid.uuid4().hex}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True
            )
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # a pool's children as well
            child.wait()

    @contextmanager
    def clock(self) -> Iterator["subprocess.Popen[bytes]"]:
        with self.process(*TESTBENCH, "clock") as child:
            yield child

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        with self.process(*WORKER) as child:
            yield child

    def report(self, value: float = 20.0) -> None:
        client = self.api.client(self.device["token"])
        assert client.post("/api/telemetry", json={"temp": value}).status_code == 200

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """The device reports ten times a second."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.1):
                self.report()

        self.report()
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def start(self, **fields: Any) -> dict[str, Any]:
        fields.setdefault("test_case_id", self.api.case(**QUICK)["id"])
        return self.api.run(device_ids=[self.device["id"]], **fields)

    def run(self, run_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.api.viewer.get(f"/api/test-runs/{run_id}").json()
        return document

    def ended(self, run_id: str, seconds: float = RUN_S) -> dict[str, Any]:
        """The run once it is terminal."""
        tell = lambda: f"{self.run(run_id)['timeline']}\n{self.said()}"  # noqa: E731
        wait_until(lambda: self.run(run_id)["ended_at"], seconds, tell)
        return self.run(run_id)

    def said(self) -> str:
        """The last words of every process."""
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))


@pytest.fixture
def make_stage(bench_env: Env, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """A web server and its API, with the settings given."""
    with ExitStack() as stack:

        def make(**variables: str) -> Stage:
            port = free_port()
            bench_env.set(
                MQTT_URL="mqtt://127.0.0.1:1?auth=none",
                PUBLIC_URL=f"http://127.0.0.1:{port}",
                dramatiq_worker_timeout="50",
                **variables,
            )
            app = create_app()
            stack.enter_context(served(app, port))
            return Stage(Api(app), tmp_path)

        yield make


@pytest.fixture(params=["rabbitmq", "redis"])
def stage(request: pytest.FixtureRequest, make_stage: Callable[..., Stage]) -> Stage:
    """Over either broker."""
    if request.param == "redis":
        return make_stage()
    return make_stage(RABBITMQ_URL=request.getfixturevalue("rabbitmq_url"))


def put(body: bytes) -> None:
    """Whatever it is, it stands on the queue."""
    if settings().rabbitmq_url:
        with channel() as opened:
            opened.basic_publish("", queue.QUEUE, body)
        return
    key = uuid.uuid4().hex
    with redis.Redis.from_url(str(settings().redis_url)) as client:
        client.hset(f"dramatiq:{queue.QUEUE}.msgs", key, body)
        client.rpush(f"dramatiq:{queue.QUEUE}", key)


def waiting() -> int:
    """Messages on the queue, or taken and not acknowledged."""
    if settings().rabbitmq_url:
        return queue.depth().waiting
    with redis.Redis.from_url(str(settings().redis_url)) as client:
        return int(client.hlen(f"dramatiq:{queue.QUEUE}.msgs"))


def parked() -> int:
    """Messages among the dead letters."""
    if settings().rabbitmq_url:
        with channel() as opened:
            found = opened.queue_declare(f"{queue.QUEUE}.XQ", passive=True)
            return int(found.method.message_count)
    with redis.Redis.from_url(str(settings().redis_url)) as client:
        return int(client.zcard(f"dramatiq:{queue.QUEUE}.XQ"))


@contextmanager
def channel() -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(str(settings().rabbitmq_url))) as connection:
        yield connection.channel()


def message(**fields: Any) -> bytes:
    """A message in Dramatiq's form."""
    whole = {
        "queue_name": queue.QUEUE,
        "actor_name": "runs.step",
        "args": [str(uuid.uuid4()), 0],
        "kwargs": {},
        "options": {},
        "message_id": str(uuid.uuid4()),
        "message_timestamp": 0,
    }
    return json.dumps({**whole, **fields}).encode()


def test_a_run_is_sent_stepped_judged_delivered_and_finished(stage: Stage) -> None:
    with stage.clock(), stage.worker(), stage.reporting():
        run = stage.start()
        ended = stage.ended(run["id"])

    assert (ended["status"], ended["outcome"], ended["reason"]) == ("completed", "pass", None)
    assert [event["event"] for event in ended["timeline"]] == [
        "queued", "started", "window", "judged", "callback", "completed",
    ]  # fmt: skip
    assert ended["devices"][0]["criteria"][0]["samples"] >= 1
    body = {
        "device_id": stage.device["id"],
        "start": ended["window_start"],
        "end": ended["window_end"],
    }
    path = f"/api/test-cases/{ended['test_case']['id']}/evaluate"
    again = stage.api.viewer.post(path, json=body).json()
    assert again["criteria"] == ended["devices"][0]["criteria"]
    assert stage.api.viewer.get(f"/api/devices/{stage.device['id']}").json()["run_id"] is None


def test_poison_on_the_queue_is_parked_or_dropped_and_the_rest_goes_on(stage: Stage) -> None:
    with stage.worker() as worker, stage.reporting():
        wait_until(_is_consumed, 20, stage.said)
        for body in [*GARBAGE, *(message(**fields) for fields in POISON)]:
            put(body)
        with stage.clock():
            ended = stage.ended(stage.start()["id"])
            wait_until(lambda: waiting() == 0, 10, stage.said)
        alive = worker.poll() is None
        found = parked()

    assert ended["outcome"] == "pass"
    assert alive
    assert found >= len(GARBAGE)
    assert "Restarting consumer" not in stage.said()
    assert "unexpected error" not in stage.said()


def _is_consumed() -> bool:
    with contextlib.suppress(*queue.Away):
        return queue.depth().consumers > 0
    return False


def test_another_clock_leads_when_the_leader_is_killed(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(RESEND_S="2")
    with stage.worker(), stage.reporting(), stage.clock() as first:
        stage.ended(stage.start()["id"])
        with stage.clock():
            time.sleep(1)
            first.kill()
            ended = stage.ended(stage.start()["id"])

    assert ended["outcome"] == "pass"


def test_silence_and_waiting_too_long_are_noticed_by_the_clock(
    make_stage: Callable[..., Stage],
) -> None:
    stage = make_stage(QUEUE_TIMEOUT_S="1")
    short = stage.api.device(online=False, offline_after_s=1)
    stage.api.client(short["token"]).post("/api/telemetry", json={"temp": 1})
    stage.report()
    run = stage.api.run(device_ids=[short["id"], stage.device["id"]])
    with stage.clock():
        ended = stage.ended(run["id"])
    shown = stage.api.viewer.get(f"/api/devices/{short['id']}").json()

    assert (ended["status"], ended["outcome"]) == ("failed", "timeout")
    assert (shown["state"], shown["run_id"]) == ("offline", None)


# --- external runners ---------------------------------------------------------------------------


def next_job() -> dict[str, Any]:
    """The next job, acknowledged."""
    end = time.monotonic() + RUN_S
    with channel() as opened:
        opened.queue_declare(queue.JOBS, durable=True)
        while time.monotonic() < end:
            method, _, body = opened.basic_get(queue.JOBS, auto_ack=True)
            if method is not None:
                job: dict[str, Any] = json.loads(body)
                return job
            time.sleep(0.05)
    raise AssertionError("no job came")


@pytest.fixture
def elsewhere(make_stage: Callable[..., Stage], rabbitmq_url: str) -> Stage:
    """A bench whose external runners lose their heartbeat after a second, twice."""
    return make_stage(RABBITMQ_URL=rabbitmq_url, HEARTBEAT_TIMEOUT_S="1", MAX_ATTEMPTS="2")


def external(stage: Stage) -> dict[str, Any]:
    stage.report()
    environment = {"name": "elsewhere", "runner": "external", "variables": {"max": 30}}
    made = stage.api.made("/api/environments", environment)
    return stage.start(environment_id=made["id"])


def test_an_external_runner_takes_its_job_and_calls_back(elsewhere: Stage) -> None:
    stage = elsewhere
    with stage.clock():
        run = external(stage)
        job = next_job()
        runner = stage.api.client(job["token"])
        path = f"/api/test-runs/{run['id']}"
        beat = runner.post(f"{path}/heartbeat", json={"attempt": 1, "progress": 0.5})
        running = stage.run(run["id"])
        result = {"device_id": job["devices"][0]["id"], "outcome": "fail", "criteria": []}
        body = {"attempt": job["attempt"], "outcome": "fail", "devices": [result]}
        called = runner.post(job["callback_url"], json=body)

    assert job["callback_url"] == f"{os.environ['PUBLIC_URL']}{path}/callback"
    assert (job["run_id"], job["environment"]["variables"]) == (run["id"], {"max": 30})
    assert job["test_case"] == run["test_case"]
    assert beat.json() == {"cancel": False}
    assert (running["status"], running["progress"]) == ("running", 0.5)
    assert (called.status_code, called.json()["outcome"]) == (200, "fail")


def test_a_runner_that_is_lost_is_replaced_and_then_the_run_fails(elsewhere: Stage) -> None:
    stage = elsewhere
    with stage.clock():
        run = external(stage)
        path = f"/api/test-runs/{run['id']}/heartbeat"
        first = next_job()
        stage.api.client(first["token"]).post(path, json={"attempt": 1})
        second = next_job()
        stale = stage.api.client(first["token"]).post(path, json={"attempt": 1})
        stage.api.client(second["token"]).post(path, json={"attempt": 2})
        ended = stage.ended(run["id"])

    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert stale.status_code == 409
    assert (ended["status"], ended["outcome"], ended["attempt"]) == ("failed", "error", 2)
    events = [event["event"] for event in ended["timeline"]]
    assert events.count("dispatched") == 2
    assert "heartbeat lost" in events
