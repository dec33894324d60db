"""The launcher's contract, on a whole bench with nothing named."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.services import ROOT, TESTBENCH, Bench, bare_env, bench, free_port, wait_until

STOP_S = 15
PROCESSES = {"web", "worker", "collector", "clock"}
EMBEDDED = {"postgres", "redis", "mqtt"}


def run(*arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*TESTBENCH, *arguments),
        cwd=ROOT,
        env=env or bare_env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def everything(running: Bench) -> list[psutil.Process]:
    launcher = psutil.Process(running.launcher.pid)
    return [launcher, *launcher.children(recursive=True)]


def assert_gone(processes: list[psutil.Process]) -> None:
    """Zombies count as gone: they only wait to be looked at."""
    end = time.monotonic() + STOP_S
    while left := [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.05)


def is_ready(running: Bench) -> bool:
    try:
        return httpx.get(f"{running.url}/api/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_status_names_every_process_and_service_without_credentials(
    embedded_server: Bench,
) -> None:
    status = embedded_server.status()
    assert status["url"] == embedded_server.url
    assert {entry["name"] for entry in status["processes"]} == PROCESSES
    assert {entry["name"] for entry in status["services"]} == EMBEDDED
    for entry in status["processes"] + status["services"]:
        assert psutil.pid_exists(entry["pid"])
    for entry in status["services"]:
        parts = urlsplit(entry["url"])
        assert parts.hostname == "127.0.0.1"
        assert parts.port
        assert parts.username is None
        assert parts.password is None


def test_the_page_and_the_api_are_served_on_one_port(embedded_server: Bench) -> None:
    page = httpx.get(embedded_server.url)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert httpx.get(f"{embedded_server.url}/api/live").status_code == 200


def shake_hands(running: Bench, host: str, origin: str) -> bytes:
    """The status line a browser would get that opens a live page's socket."""
    request = (
        f"GET /_event/?EIO=4&transport=websocket&token=t HTTP/1.1\r\nHost: {host}\r\n"
        f"Origin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    port = int(running.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request.encode())
        return connection.recv(200).partition(b"\r\n")[0]


@pytest.mark.parametrize("host", ["127.0.0.1:80", "bench.lab:3000", "[::1]:3000"])
def test_a_live_page_is_served_by_whatever_name_it_was_opened(
    embedded_server: Bench, host: str
) -> None:
    assert b" 101 " in shake_hands(embedded_server, host, f"http://{host}")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://bench.lab.evil.example", "null"])
def test_another_sites_page_gets_no_live_socket(embedded_server: Bench, origin: str) -> None:
    assert b" 403 " in shake_hands(embedded_server, "bench.lab", origin)


def test_the_folder_tells_nobody_its_secrets(embedded_server: Bench) -> None:
    for name in ("secrets.json", "state.json"):
        assert stat.S_IMODE((embedded_server.folder / name).stat().st_mode) == 0o600
    logs = (embedded_server.folder / "logs").glob("*.log")
    told = embedded_server.output() + "".join(log.read_text(errors="replace") for log in logs)
    for secret in json.loads((embedded_server.folder / "secrets.json").read_text()).values():
        assert str(secret) not in told
    for process in everything(embedded_server):
        assert embedded_server.admin_password not in " ".join(process.cmdline())


@pytest.mark.parametrize(
    "name", ["web", "worker", "clock", "collector", "postgres", "redis", "mqtt"]
)
def test_a_killed_process_comes_back_and_the_bench_is_ready_again(
    embedded_server: Bench, name: str
) -> None:
    killed = embedded_server.pid(name)
    os.kill(killed, signal.SIGKILL)
    wait_until(
        lambda: _pid(embedded_server, name) not in (None, killed), 30, embedded_server.output
    )
    wait_until(lambda: is_ready(embedded_server), 30, embedded_server.output)
    assert f"[{name}] ended with SIGKILL" in embedded_server.output()


def _pid(running: Bench, name: str) -> int | None:
    status = running.status()
    known = {e["name"]: e["pid"] for e in status["processes"] + status["services"]}
    return known.get(name)


def test_a_second_launcher_on_the_same_folder_is_refused(embedded_server: Bench) -> None:
    refused = run("up", "--data", str(embedded_server.folder), "--port", str(free_port()))
    assert refused.returncode == 1
    assert f"in use by a running bench (pid {embedded_server.launcher.pid})" in refused.stderr
    assert is_ready(embedded_server)


def test_a_taken_port_is_refused(embedded_server: Bench, tmp_path: Path) -> None:
    port = embedded_server.url.rpartition(":")[2]
    refused = run("up", "--data", str(tmp_path), "--port", port)
    assert refused.returncode == 1
    assert f"Port {port} is taken" in refused.stderr


def test_doctor_finds_a_running_bench_well(embedded_server: Bench) -> None:
    found = run("doctor", "--data", str(embedded_server.folder))
    assert found.returncode == 0, found.stdout
    assert re.search(r"ok +postgres +embedded, .*: PostgreSQL 1\d", found.stdout)
    assert re.search(r"ok +mqtt +embedded, .*: MQTT broker", found.stdout)
    assert "@" not in found.stdout


def test_a_person_made_by_command_can_log_in(embedded_server: Bench) -> None:
    made = run(
        *("create-user", "nadia", "--role", "engineer", "--password", "long enough"),
        *("--data", str(embedded_server.folder)),
    )
    assert made.returncode == 0, made.stderr
    person = {"username": "nadia", "password": "long enough"}
    login = httpx.post(f"{embedded_server.url}/api/auth/login", json=person)
    assert login.json()["user"]["role"] == "engineer"
    again = run(
        *("create-user", "Nadia", "--role", "viewer", "--password", "long enough"),
        *("--data", str(embedded_server.folder)),
    )
    assert again.returncode == 1
    assert "taken" in again.stderr


def test_the_first_admin_logs_in_with_the_password_that_was_set(embedded_server: Bench) -> None:
    person = {"username": "admin", "password": embedded_server.admin_password}
    login = httpx.post(f"{embedded_server.url}/api/auth/login", json=person)
    assert login.json()["user"]["role"] == "admin"
    assert embedded_server.admin_password not in embedded_server.output()


def test_a_second_bench_runs_beside_it_and_stops_without_a_trace(
    embedded_server: Bench, folder: Path
) -> None:
    with bench(folder / "beside", {}, workers=2) as other:
        assert is_ready(embedded_server)
        names = [entry["name"] for entry in other.status()["processes"]]
        assert sorted(names) == ["clock", "collector", "web", "worker", "worker-2"]
        all_of_it = everything(other)
        began = time.monotonic()
        other.launcher.send_signal(signal.SIGTERM)
        assert other.launcher.wait(STOP_S) == 0
        assert time.monotonic() - began < STOP_S
        assert_gone(all_of_it)
    assert is_ready(embedded_server)


def test_a_killed_launcher_takes_all_with_it_and_the_next_start_succeeds(folder: Path) -> None:
    with bench(folder / "killed", {}) as first:
        all_of_it = everything(first)
        first.launcher.kill()
        first.launcher.wait()
        assert_gone(all_of_it)
    with bench(folder / "killed", {}) as second:
        assert is_ready(second)


def test_even_launcher_and_undertaker_killed_do_not_block_the_next_start(folder: Path) -> None:
    with bench(folder / "orphaned", {}) as first:
        all_of_it = everything(first)
        undertaker = [p for p in all_of_it if "testbench.launcher.undertaker" in p.cmdline()]
        first.launcher.kill()
        undertaker[0].kill()
        first.launcher.wait()
    with bench(folder / "orphaned", {}) as second:
        assert "an earlier bench had left behind" in second.output()
        assert_gone(all_of_it)


def test_a_folder_that_only_its_owner_may_enter_will_do(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with bench(closed / "bench", {}) as inside:
        assert is_ready(inside)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_pid_file_of_a_stranger_does_not_block_postgres(folder: Path) -> None:
    with bench(folder / "stale", {}):
        pass
    stale = folder / "stale" / "postgres" / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1\n5432\n\n127.0.0.1\n  1  1\nready   \n")
    with bench(folder / "stale", {}) as again:
        assert is_ready(again)


def test_a_made_up_password_is_told_once_and_logs_in(folder: Path) -> None:
    with bench(folder / "first", {"ADMIN_PASSWORD": ""}) as first:
        told = re.search(r"Log in as admin with the password (\S+)", first.output())
        assert told is not None
        person = {"username": "admin", "password": told[1]}
        assert httpx.post(f"{first.url}/api/auth/login", json=person).status_code == 200
    with bench(folder / "first", {"ADMIN_PASSWORD": ""}) as second:
        assert "Log in as admin" not in second.output()
        assert httpx.post(f"{second.url}/api/auth/login", json=person).status_code == 200


def test_ctrl_c_while_starting_leaves_nothing(tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        (*TESTBENCH, "up", "--data", str(tmp_path / "bench"), "--port", str(free_port())),
        cwd=ROOT,
        env=bare_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    me = psutil.Process(launcher.pid)
    wait_until(lambda: len(me.children(recursive=True)) > 2, 20)
    all_of_it = me.children(recursive=True)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(STOP_S) == 0
    assert_gone(all_of_it)


def test_a_failing_migration_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    env = bare_env() | {"DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none"}
    refused = run("up", "--data", str(tmp_path), "--port", str(free_port()), env=env)
    assert refused.returncode == 1
    assert "`prepare` failed" in refused.stderr
    assert not psutil.Process().children(recursive=True) or "refused" in refused.stderr


def test_doctor_tells_what_to_do_about_a_database_that_is_away(tmp_path: Path) -> None:
    env = bare_env() | {"DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/none"}
    found = run("doctor", "--data", str(tmp_path), env=env)
    assert found.returncode == 1
    assert re.search(r"BAD +postgres +named by DATABASE_URL", found.stdout)
    assert "correct DATABASE_URL" in found.stdout
    assert "secret" not in found.stdout


def test_status_of_nothing_says_so(tmp_path: Path) -> None:
    asked = run("status", "--data", str(tmp_path), "--json")
    assert asked.returncode == 1
    assert json.loads(asked.stdout) == {"url": None, "processes": [], "services": []}
