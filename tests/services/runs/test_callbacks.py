"""The door of results below HTTP: what happens around teardown, and how the worker delivers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from testbench.adapters import db
from testbench.domain.errors import Conflict
from testbench.domain.identity import BENCH
from testbench.services import runs
from testbench.services.runs import Callback, Heartbeat, RunView, tokens
from testbench.services.runs.finishing import DeviceResult
from tests.services import Env
from tests.stepped_runs import age, claim, events, held_by, row, started, step, view

pytestmark = pytest.mark.usefixtures("bench_env")


def external(**fields: Any) -> RunView:
    run = started(**fields)
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE runs SET phase = 'external', due_at = NULL")
    return run


def call_back(run: RunView, outcome: Any, reason: str | None = None) -> RunView:
    body = Callback(
        attempt=1,
        outcome=outcome,
        devices=[DeviceResult(device_id=d.device_id, outcome=outcome) for d in run.devices],
        reason=reason,
    )
    token = tokens.issue(run.id, 1)
    return db.run(lambda tx: runs.callback(tx, str(run.id), token, body))


def test_an_external_result_goes_through_the_teardown() -> None:
    run = external(teardown="restore")

    called = call_back(run, "pass")
    held = held_by(run.devices[0].device_id)
    repeated = call_back(run, "pass")
    with pytest.raises(Conflict):
        call_back(run, "fail")
    step(run.id)

    assert (called.status, called.phase) == (repeated.status, repeated.phase)
    assert called.phase == "teardown"
    assert held == run.id
    assert (view(run.id).status, view(run.id).outcome) == ("completed", "pass")
    assert call_back(run, "pass") == view(run.id)


def test_a_runner_that_beats_during_the_teardown_is_told_to_stop() -> None:
    run = external(teardown="restore")
    beat = Heartbeat(attempt=1)
    token = tokens.issue(run.id, 1)
    db.run(lambda tx: runs.heartbeat(tx, str(run.id), token, beat))
    db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))

    assert db.run(lambda tx: runs.heartbeat(tx, str(run.id), token, beat))
    with pytest.raises(Conflict):
        call_back(run, "pass")
    step(run.id)
    assert view(run.id).outcome == "aborted"


# --- delivering ---------------------------------------------------------------------------------


@contextmanager
def door(status: int, take: bool = False) -> Iterator[tuple[str, list[Any]]]:
    """A web server that answers every callback with `status`; its URL, and what it heard."""
    heard: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            token = self.headers["Authorization"].removeprefix("Bearer ")
            heard.append(json.loads(body))
            if take:
                run_id = self.path.split("/")[3]
                parsed = Callback.model_validate_json(body)
                db.run(lambda tx: runs.callback(tx, run_id, token, parsed))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


def judged() -> RunView:
    """A run whose callback is due."""
    run = started(duration_s=1, grace_s=0)
    step(run.id)
    age(run.id, 2)
    step(run.id)
    assert row(run.id).phase == "callback"
    return run


def deliver(run: RunView) -> None:
    claimed = claim(run.id)
    assert claimed is not None
    runs.deliver(claimed)


def test_the_worker_delivers_through_the_public_door(bench_env: Env) -> None:
    run = judged()
    with door(200, take=True) as (url, heard):
        bench_env.set(PUBLIC_URL=url)
        deliver(run)

    assert [body["outcome"] for body in heard] == ["error"]
    assert view(run.id).status == "failed"


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_door_that_does_not_take_it_now_is_asked_again(bench_env: Env, status: int) -> None:
    run = judged()
    with door(status) as (url, heard):
        bench_env.set(PUBLIC_URL=url)
        for _ in range(6):
            deliver(run)
            age(run.id, 31)
    with door(200, take=True) as (url, _):
        bench_env.set(PUBLIC_URL=url)
        deliver(run)

    assert len(heard) == 6
    assert events(view(run.id)).count("fault") == 6
    assert (view(run.id).status, view(run.id).outcome) == ("failed", "error")


def test_a_door_that_is_away_is_asked_again(bench_env: Env) -> None:
    bench_env.set(PUBLIC_URL="http://127.0.0.1:1")
    run = judged()

    deliver(run)

    assert (view(run.id).status, row(run.id).phase) == ("running", "callback")
    assert claim(run.id) is None  # not at once


def test_a_result_no_door_will_take_ends_the_run_as_it_was_judged(bench_env: Env) -> None:
    run = judged()
    with door(413) as (url, _):
        bench_env.set(PUBLIC_URL=url)
        deliver(run)

    ended = view(run.id)
    assert (ended.status, ended.outcome) == ("failed", "error")
    assert ended.devices[0].criteria[0]["name"] == "temperature"
    assert held_by(run.devices[0].device_id) is None


def test_a_run_that_ended_otherwise_is_left_alone(bench_env: Env) -> None:
    run = judged()
    claimed = claim(run.id)
    assert claimed is not None
    cancelled = db.run(lambda tx: runs.cancel(tx, BENCH, str(run.id)))
    for status in (409, 503, 413):
        with door(status) as (url, _):
            bench_env.set(PUBLIC_URL=url)
            runs.deliver(claimed)

    assert view(run.id) == cancelled
