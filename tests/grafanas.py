"""Grafana as its API is documented for versions 11 and 12: recorded exchanges, played back.

Each file of tests/data/grafana is one request as the bench must send it and the answer it gets.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.services import ROOT

RECORDED = ROOT / "tests/data/grafana"
TOKEN = "glsa_recorded_1234"


@dataclass
class Grafana:
    """Answers in the order of `expect`, or by request where `answer` says so."""

    url: str = ""
    faults: list[str] = field(default_factory=list[str])
    bodies: list[Any] = field(default_factory=list[Any])
    asked: list[str] = field(default_factory=list[str])
    authorization: str = f"Bearer {TOKEN}"
    _next: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _always: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def expect(self, *names: str, **fill: str) -> None:
        """The exchanges that come next; `{uid}` and the like stand for what `fill` says."""
        self._next += [self._read(name, fill) for name in names]

    def always(self, *names: str) -> None:
        """What is answered whenever it is asked, for any dashboard."""
        for name in names:
            exchange = self._read(name, {})
            self._always[exchange["request"]["method"] + _kind(exchange["request"]["path"])] = (
                exchange
            )

    def nothing_left(self) -> None:
        """Every expected request came, and as it was expected."""
        assert self.faults == []
        assert [one["request"] for one in self._next] == []

    def _read(self, name: str, fill: dict[str, str]) -> dict[str, Any]:
        text = (RECORDED / f"{name}.json").read_text()
        for key, value in fill.items():
            text = text.replace(f"{{{key}}}", value)
        exchange: dict[str, Any] = json.loads(text)
        return exchange

    def answer(self, method: str, path: str, headers: Any, body: Any) -> dict[str, Any]:
        """What the recording says to this request."""
        self.asked.append(f"{method} {path}")
        self.bodies.append(body)
        if headers.get("Authorization") != self.authorization:
            self.faults.append(f"{method} {path}: Authorization is {headers.get('Authorization')}")
        if body is not None and headers.get("Content-Type") != "application/json":
            self.faults.append(f"{method} {path}: Content-Type is {headers.get('Content-Type')}")
        if not self._next:
            found = self._always.get(method + _kind(path))
            if found is None:
                self.faults.append(f"{method} {path} was not expected")
            return (found or {"response": {"status": 599, "body": {}}})["response"]
        exchange = self._next.pop(0)
        wanted = exchange["request"]
        if (method, path) != (wanted["method"], wanted["path"]):
            self.faults.append(f"{method} {path}, expected {wanted['method']} {wanted['path']}")
        if not _holds(wanted.get("body"), body):
            self.faults.append(f"{method} {path}: {body}, expected {wanted.get('body')}")
        response: dict[str, Any] = exchange["response"]
        return response


def _kind(path: str) -> str:
    """The path without what names one dashboard."""
    parts = path.split("/")
    return "/".join("*" if i in (4, 6) else part for i, part in enumerate(parts))


def _holds(wanted: Any, sent: Any) -> bool:
    """Every key of what was recorded is there, with its value."""
    if isinstance(wanted, dict):
        return isinstance(sent, dict) and all(
            key in sent and _holds(value, sent[key]) for key, value in wanted.items()
        )
    return bool(wanted == sent)


@contextmanager
def recorded() -> Iterator[Grafana]:
    """A server that plays back; what was not as recorded is in `faults`."""
    grafana = Grafana()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            body = json.loads(content) if content else None
            said = grafana.answer(self.command, self.path, self.headers, body)
            time.sleep(said.get("delay_s", 0))
            answer = said["body"]
            sent = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(said["status"])
            for name, value in said.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                """The bench does not wait for ever."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield grafana
    finally:
        server.shutdown()
        server.server_close()
