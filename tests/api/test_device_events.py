"""Streams of device events and logs, followed by real clients over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from testbench.adapters import bus, cache, db, device_logs, sessions
from testbench.api import streams
from testbench.api.streams import STREAMS
from testbench.domain.identity import BENCH
from testbench.models import Device
from testbench.services import identity, telemetry, users
from testbench.services.telemetry import Message
from tests.callers import Api, problem, served, signed_in
from tests.services import ROOT, Servers, free_port, wait_until
from tests.sse import Sse, followed

MAC = "c0:fa:38:00:11:22"


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with served(api.app) as address:
        yield address


@pytest.fixture
def token(api: Api) -> str:
    return signed_in("viewer")


def miner(api: Api, mac: str = MAC, **fields: Any) -> dict[str, Any]:
    """An imprinted device."""
    body = {"kind": "axeos", "mac": mac, "ip": "127.0.0.1:9", **fields}
    return api.device(online=False, **body)


def write(device: dict[str, Any], *lines: str) -> None:
    assert device_logs.append({uuid.UUID(device["id"]): lines})


def heard(device: dict[str, Any], **values: Any) -> None:
    message = Message(uuid.UUID(device["id"]), values, "poll", time.time_ns() // 1_000_000)
    telemetry.ingest([message])


def logs(device: dict[str, Any]) -> str:
    return f"/api/devices/{device['id']}/logs"


def test_who_may_not_is_refused_before_a_stream_begins(api: Api) -> None:
    device = miner(api)

    for path in ("/api/devices/events", logs(device), f"{logs(device)}/listening"):
        problem(api.nobody.get(path), 401)
    problem(api.viewer.put(f"{logs(device)}/listening", json={"enabled": True}), 403)
    problem(api.viewer.get(f"/api/devices/{uuid.uuid4()}/logs"), 404)
    problem(api.viewer.get(f"/api/devices/{uuid.uuid4()}/logs/listening"), 404)
    problem(api.viewer.get(f"{logs(device)}?tail=1001"), 422, "tail")
    problem(api.viewer.get(f"{logs(device)}?tail=-1"), 422, "tail")


def test_listening_monitors_the_device_and_reads_its_log(api: Api) -> None:
    device = miner(api)
    api.engineer.put("/api/devices/listen", json={"macs": []})
    door = f"{logs(device)}/listening"

    before = api.viewer.get(door).json()
    on = api.engineer.put(door, json={"enabled": True})
    shown = api.viewer.get(f"/api/devices/{device['id']}").json()

    assert before == {"listening": False}
    assert (on.status_code, on.json()) == (200, {"listening": True})
    assert api.viewer.get(door).json() == {"listening": True}
    assert (shown["monitored"], shown["trace_logs"]) == (True, True)


def test_who_stops_listening_leaves_tracing_that_was_turned_on_apart(api: Api) -> None:
    traced, other = miner(api), miner(api, "c0:fa:38:00:11:23")
    body = {"macs": [MAC, "c0:fa:38:00:11:23"], "trace_logs": False}
    api.engineer.put("/api/devices/listen", json=body)
    with db.transaction() as tx:
        tx.session.get_one(Device, uuid.UUID(traced["id"])).trace_logs = True

    for device in (traced, other):
        api.engineer.put(f"{logs(device)}/listening", json={"enabled": True})
        off = api.engineer.put(f"{logs(device)}/listening", json={"enabled": False})
        assert off.json() == {"listening": False}

    assert api.viewer.get(f"/api/devices/{traced['id']}").json()["trace_logs"] is True
    assert api.viewer.get(f"/api/devices/{other['id']}").json()["trace_logs"] is False


def test_only_devices_with_a_log_can_be_listened_to(api: Api) -> None:
    sensor, nowhere = api.device(), api.device(kind="axeos")

    said = api.engineer.put(f"{logs(sensor)}/listening", json={"enabled": True})
    problem(said, 409)
    problem(api.engineer.put(f"{logs(nowhere)}/listening", json={"enabled": True}), 400)
    problem(api.engineer.put(f"{logs(sensor)}/listening", json={"enabled": 1}), 422, "enabled")
    assert api.engineer.put(f"{logs(sensor)}/listening", json={"enabled": False}).status_code == 200


def test_a_log_is_followed_from_its_tail_on(api: Api, url: str, token: str) -> None:
    device = miner(api)
    write(device, *(f"I ({n}) power: line {n}" for n in range(5)))

    with followed(f"{url}{logs(device)}?tail=2", token) as stream:
        stream.until(lambda: len(stream.events) == 2)
        write(device, "W (6) temp: ₿ 71.5 °C", "E (7) asic: lost")
        stream.until(lambda: len(stream.events) == 4)

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert stream.data() == [
        "I (3) power: line 3",
        "I (4) power: line 4",
        "W (6) temp: ₿ 71.5 °C",
        "E (7) asic: lost",
    ]
    ids = [event.id for event in stream.events]
    assert len(set(ids)) == 4
    assert {event.name for event in stream.events} == {"log"}


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_log_is_resumed_where_it_broke_off(api: Api, url: str, token: str, how: str) -> None:
    device = miner(api)
    write(device, *(f"line {n}" for n in range(1200)))
    place = device_logs.tail(uuid.UUID(device["id"]), 1100)[0].id
    options: dict[str, Any] = {"headers": {"Last-Event-ID": place}}
    if how == "query":
        options = {"params": {"after": place}}

    with followed(f"{url}{logs(device)}", token, **options) as stream:
        stream.until(lambda: len(stream.events) >= 1099)
        write(device, "line 1200")
        stream.until(lambda: len(stream.events) >= 1100)

    assert stream.data() == [f"line {n}" for n in range(101, 1201)]


def test_a_place_that_is_none_is_no_place(api: Api, url: str, token: str) -> None:
    device = miner(api)
    write(device, "one", "two")

    for place in ("x", "1-", "9" * 30, "1 2"):
        headers = {"Last-Event-ID": place}
        with followed(f"{url}{logs(device)}?tail=1", token, headers=headers) as stream:
            stream.until(lambda stream=stream: stream.data() == ["two"])


def test_only_what_is_new_comes_without_a_tail(api: Api, url: str, token: str) -> None:
    device = miner(api)
    write(device, "old")

    with followed(f"{url}{logs(device)}", token) as stream:
        write(device, "new")
        stream.until(lambda: stream.data() == ["new"])


def test_those_who_follow_the_fleet_hear_of_readings_of_imprinted_devices(
    api: Api, url: str, token: str
) -> None:
    device, sensor = miner(api, hostname="bitaxe-1"), api.device(online=False)

    with followed(f"{url}/api/devices/events", token) as stream:
        heard(sensor, temp=20.0)
        heard(device, temp=61.5, power=14.0)
        stream.until(lambda: stream.of("stat_update"))

    (update,) = (json.loads(data) for data in stream.data("stat_update"))
    assert update.keys() == {
        "id", "mac", "ip", "hostname", "state", "online", "info", "latest",
    }  # fmt: skip
    assert (update["id"], update["mac"], update["ip"]) == (device["id"], MAC, "127.0.0.1:9")
    assert (update["hostname"], update["state"], update["online"]) == (
        "bitaxe-1",
        "available",
        True,
    )
    assert update["latest"]["temp"]["value"] == 61.5


def test_those_who_follow_the_fleet_hear_of_polls_that_fail_and_of_removals(
    api: Api, url: str, token: str
) -> None:
    device = miner(api)
    id = uuid.UUID(device["id"])

    with followed(f"{url}/api/devices/events", token) as stream:
        with db.transaction() as tx:
            tx.session.get_one(Device, id).poll_error = "The device does not answer."
        bus.publish([bus.Event("poll_errors", str(id))])
        stream.until(lambda: stream.of("error"))
        with db.transaction() as tx:
            tx.session.get_one(Device, id).removed_at = tx.now
            tx.emit("removed", id)
        stream.until(lambda: stream.of("device_removed"))

    named = {"id": device["id"], "mac": MAC, "ip": "127.0.0.1:9"}
    assert json.loads(stream.data("error")[0]) == {
        **named,
        "error": "The device does not answer.",
    }
    assert json.loads(stream.data("device_removed")[0]) == named


def test_log_lines_are_told_of_devices_that_are_listened_to(api: Api, url: str, token: str) -> None:
    device, other = miner(api), miner(api, "c0:fa:38:00:11:23")
    door = f"{logs(device)}/listening"

    with followed(f"{url}/api/devices/events", token) as stream:
        time.sleep(0.5)  # the collector's side knows by then that somebody listens
        write(device, "before")
        time.sleep(0.6)
        api.engineer.put(door, json={"enabled": True})
        write(device, "one", "two")
        write(other, "not told")
        stream.until(lambda: len(stream.of("logs_update")) == 2)
        api.engineer.put(door, json={"enabled": False})
        write(device, "after")
        time.sleep(1)

    told = [json.loads(data) for data in stream.data("logs_update")]
    assert told == [{"mac": MAC, "ip": "127.0.0.1:9", "info": word} for word in ("one", "two")]


def test_all_streams_get_the_same(api: Api, url: str, token: str) -> None:
    device = miner(api)

    with ExitStack() as stack:
        paths = [f"{url}{logs(device)}"] * 4 + [f"{url}/api/devices/events"] * 4
        open_: list[Sse] = [stack.enter_context(followed(path, token)) for path in paths]
        heard(device, temp=50.0)
        write(device, "I (1) a: 1", "I (2) b: 2")
        for stream in open_[:4]:
            stream.until(lambda stream=stream: len(stream.of("log")) == 2)
        for stream in open_[4:]:
            stream.until(lambda stream=stream: stream.of("stat_update"))

    assert len({str(stream.events) for stream in open_[:4]}) == 1
    assert len({stream.data("stat_update")[0] for stream in open_[4:]}) == 1


@pytest.mark.parametrize("end", ["logout", "disable"])
def test_a_stream_ends_with_its_session(api: Api, url: str, end: str) -> None:
    device, token = miner(api), signed_in("viewer")
    person = identity.authenticate_bearer(token)
    assert person.user_id is not None

    with (
        followed(f"{url}{logs(device)}", token) as log,
        followed(f"{url}/api/devices/events", token) as fleet,
        followed(f"{url}{logs(device)}", signed_in("viewer")) as others,
    ):
        if end == "logout":
            identity.logout(person)
        else:
            db.run(lambda tx: users.disable(tx, BENCH, person.user_id))
        assert log.ended.wait(5)
        assert fleet.ended.wait(5)
        write(device, "still here")
        others.until(lambda: others.data() == ["still here"])


def test_a_stream_ends_also_where_nobody_told_that_its_session_did(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHECK_S", 0.3)
    device, token = miner(api), signed_in("viewer")
    handle = identity.authenticate_bearer(token).session_id

    with followed(f"{url}{logs(device)}", token) as stream:
        time.sleep(1)
        assert not stream.ended.is_set()
        cache.client().delete(sessions._key(str(handle)))
        assert stream.ended.wait(5)


def test_a_person_has_so_many_streams_and_no_more(
    api: Api, url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    path = f"{url}/api/devices/events"
    headers = {"Authorization": f"Bearer {token}"}

    with followed(path, token), followed(path, token):
        refused = httpx.get(path, headers=headers)
        with followed(path, signed_in("viewer")):
            pass
    wait_until(lambda: not STREAMS._open, 10)
    with followed(path, token):
        pass

    assert problem(refused, 429)["detail"].startswith("More than 2 streams")
    assert int(refused.headers["retry-after"]) > 0


def test_head_opens_no_stream(api: Api, url: str, token: str) -> None:
    answer = httpx.head(f"{url}/api/devices/events", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
    wait_until(lambda: not STREAMS._open, 10)


def test_a_quiet_stream_says_that_it_lives(
    api: Api, url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.2)

    with followed(f"{url}/api/devices/events", token) as stream:
        stream.until(lambda: len(stream.comments) >= 3)

    assert not stream.events


def test_a_client_that_takes_nothing_is_cut_off(
    api: Api, url: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_S", 1.0)
    monkeypatch.setattr(streams, "MAX_WAITING", 500_000)
    device = miner(api)
    host, _, port = url.removeprefix("http://").partition(":")
    request = (
        f"GET {logs(device)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    line = "x" * device_logs.MAX_CHARS

    with socket.create_connection((host, int(port))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(request.encode())
        wait_until(lambda: bool(STREAMS._open), 10)
        with followed(f"{url}{logs(device)}", signed_in("viewer")) as other:
            end = time.monotonic() + 60
            while len(STREAMS._open) > 1 and time.monotonic() < end:
                write(device, *[line] * 100)
                time.sleep(0.2)
            assert len(STREAMS._open) == 1
            assert not other.ended.is_set()


def test_without_a_bus_there_is_no_stream(api: Api, url: str, token: str, servers: Servers) -> None:
    device = miner(api)
    headers = {"Authorization": f"Bearer {token}"}

    with servers.paused("redis"):
        answer = httpx.get(f"{url}{logs(device)}", headers=headers, timeout=20)

    problem(answer, 503)
    assert not STREAMS._open


def test_a_stream_outlives_the_bus(api: Api, url: str, servers: Servers) -> None:
    device = miner(api)
    # A personal access token is known to the database, which stays.
    made = api.engineer.post("/api/auth/tokens", json={"name": "reader", "scope": "read"}).json()

    with followed(f"{url}{logs(device)}", made["token"]) as stream:
        write(device, "before")
        stream.until(lambda: stream.data() == ["before"])
        servers.kill("redis")
        servers.start("redis")

        def after() -> bool:
            device_logs.append({uuid.UUID(device["id"]): ["after"]})
            return "after" in stream.data()

        stream.until(after, 30)


def test_sigterm_is_not_held_up_by_open_streams(api: Api, token: str) -> None:
    device, port = miner(api), free_port()
    options = ("--interface", "asgi", "--factory", "--workers", "1", "--port", str(port))
    command = (sys.executable, "-m", "granian", *options, "testbench.api.app:create_app")
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _lives(url), 30)
        with (
            followed(f"{url}{logs(device)}", token) as log,
            followed(f"{url}/api/devices/events", token) as fleet,
        ):
            write(device, "one")
            log.until(lambda: log.data() == ["one"])
            server.send_signal(signal.SIGTERM)
            # No patience is set: it would wait for ever for an answer that does not end.
            server.wait(15)
            assert log.ended.wait(5)
            assert fleet.ended.wait(5)
    finally:
        server.kill()
        server.communicate()

    assert server.returncode == 0


def _lives(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/live").status_code == 200
    except httpx.HTTPError:
        return False
