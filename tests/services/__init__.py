"""The real servers of one test process: started when first asked for, gone with the process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from testbench.launcher import private
from testbench.launcher.instance import PORTS, is_free

ROOT = Path(__file__).resolve().parents[2]
UP_S = 180.0
"""With the first build of the front end."""
LAB = f"127.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}.0/27"
"""The network of this test process's emulated devices: `emulate(n, network=LAB, port=LAB_PORT)`."""
LAB_PORT = 9880


@dataclass(frozen=True)
class Servers:
    """PostgreSQL, RabbitMQ, Redis, Mosquitto and InfluxDB below one folder.

    Nothing is shared between two test processes: one may stop its broker while another works.
    """

    folder: Path

    def url(self, name: str) -> str:
        """The URL of a server, which is started where it does not run."""
        variable = {
            "postgres": "DATABASE_URL",
            "redis": "REDIS_URL",
            "rabbitmq": "RABBITMQ_URL",
            "mqtt": "MQTT_URL",
            "influxdb": "INFLUXDB1_URL",
        }[name]
        return private.up(self.folder, [name])[variable]

    def start(self, name: str) -> None:
        """Starts it again, on the port it had."""
        private.up(self.folder, [name])

    def stop(self, name: str) -> None:
        """Politely."""
        private.stop(self.folder, name)

    def kill(self, name: str) -> None:
        """By SIGKILL."""
        private.stop(self.folder, name, signal.SIGKILL)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """The server and its children hang: they hold their connections and say nothing."""
        group = _family(private.pids(self.folder)[name])
        for pid in group:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in group:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def vhost(self, name: str) -> str:
        """A new virtual host on RabbitMQ; returns its URL."""
        self.url("rabbitmq")
        return private.add_vhost(self.folder, name)

    def down(self) -> None:
        """Stops all."""
        private.down(self.folder)


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    task = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in task.read_text().split()] if task.exists() else []
    return [pid, *(member for child in children for member in _family(child))]


@contextmanager
def undertaker(folder: Path) -> Iterator[None]:
    """Whatever runs below `folder` ends with this process, however it ends."""
    command = (sys.executable, "-m", "testbench.launcher.undertaker", str(folder))
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True)
    try:
        yield
    finally:
        guard.communicate()


@dataclass
class Bench:
    """A whole bench, run by `python -m testbench up`, as an operator does."""

    url: str
    folder: Path
    admin_password: str
    env: dict[str, str]
    servers: Servers | None
    launcher: "subprocess.Popen[bytes]"

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        command = (*TESTBENCH, "status", "--data", str(self.folder), "--json")
        said = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, check=True)
        status: dict[str, Any] = json.loads(said.stdout)
        return status

    def pid(self, process: str) -> int:
        """The pid of one of its processes or services."""
        status = self.status()
        known = {e["name"]: e["pid"] for e in status["processes"] + status["services"]}
        return int(known[process])

    def output(self) -> str:
        """What the launcher has said so far."""
        return (self.folder / "up.out").read_text()


TESTBENCH = (sys.executable, "-m", "testbench")


def free_port() -> int:
    """A port nobody listens on; different test processes look at different places."""
    start = PORTS.start + os.getpid() * 7 % len(PORTS)
    return next(p for p in [*range(start, PORTS.stop), *PORTS] if is_free(p))


def bare_env() -> dict[str, str]:
    """This process's environment without anything that configures a bench."""
    from testbench.settings import Settings

    names = {name.upper() for name in Settings.model_fields}
    return {k: v for k, v in os.environ.items() if k.upper() not in names}


@contextmanager
def bench(
    folder: Path,
    env: dict[str, str],
    servers: Servers | None = None,
    workers: int = 1,
    *,
    demo: bool = False,
) -> Iterator[Bench]:
    """Runs a bench below `folder` with `env` on top of a bare environment; ready when yielded."""
    folder.mkdir(parents=True, exist_ok=True)
    port, password = free_port(), "correct horse battery"
    full = bare_env() | {"ADMIN_PASSWORD": password} | env
    options = ("--data", str(folder), "--port", str(port), "--workers", str(workers))
    options += ("--demo",) if demo else ()
    with (folder / "up.out").open("wb") as out:
        launcher = subprocess.Popen(
            (*TESTBENCH, "up", *options), cwd=ROOT, env=full, stdout=out, stderr=subprocess.STDOUT
        )
    running = Bench(f"http://127.0.0.1:{port}", folder, password, full, servers, launcher)
    try:
        wait_until(lambda: _is_ready(running), UP_S, running.output)
        yield running
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(30)


def _is_ready(bench: Bench) -> bool:
    if bench.launcher.poll() is not None:
        raise AssertionError(f"The bench ended:\n{bench.output()}")
    return f"Testbench ready at {bench.url}" in bench.output()


def wait_until(true: Any, seconds: float, tell: Any = lambda: "") -> None:
    """Returns once `true()` is; fails after `seconds` with what `tell()` says."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"Not so within {seconds} s. {tell()}")
        time.sleep(0.05)


def forget() -> None:
    """Empties every cache of settings, pools and clients in `testbench`."""
    from testbench.adapters import db

    if db.engine.cache_info().currsize:
        db.engine().dispose()
    for module in [m for name, m in sys.modules.items() if name.startswith("testbench.")]:
        for value in list(vars(module).values()):
            # Asked by type: a Reflex Var answers to any attribute's name with an error.
            if isinstance(value, _lru_cache_wrapper) and value.__module__.startswith("testbench."):
                value.cache_clear()


@dataclass(frozen=True)
class Env:
    """What this test's process is configured with; `set` adds to it."""

    patch: pytest.MonkeyPatch

    def set(self, **variables: str) -> None:
        """Sets environment variables, and forgets what was made of the old ones."""
        for name, value in variables.items():
            self.patch.setenv(name, value)
        forget()


class _Shim(BaseHTTPRequestHandler):
    """InfluxDB 2's write door in front of a real InfluxDB 1; all else goes through as it is."""

    protocol_version = "HTTP/1.1"
    upstream = ""

    def _forward(self) -> None:
        split = urlsplit(self.path)
        path, query = split.path, {k: v[0] for k, v in parse_qs(split.query).items()}
        if path == "/api/v2/write":
            path = "/write"
            query = {"db": query["bucket"], "precision": query.get("precision", "ns")}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kept = {k: v for k, v in self.headers.items() if k in ("Content-Type", "Content-Encoding")}
        request = urllib.request.Request(
            f"{self.upstream}{path}?{urlencode(query)}", body or None, kept, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._answer(answer.status, answer.headers, answer.read())
        except HTTPError as error:
            self._answer(error.code, error.headers, error.read())
        except OSError:
            self._answer(503, {}, b"{}")

    def _answer(self, status: int, headers: Any, body: bytes) -> None:
        self.send_response(status)
        for name in ("Content-Type", "X-Influxdb-Version", "X-Influxdb-Error"):
            if headers.get(name):
                self.send_header(name, headers[name])
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    do_GET = do_POST = _forward

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@contextmanager
def influx_shim(upstream: str) -> Iterator[str]:
    """The URL of a door to `upstream` that takes `/api/v2/write`."""
    handler = type("Shim", (_Shim,), {"upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
