"""A URL replaces the embedded part: a bench on PostgreSQL, RabbitMQ, Redis and Mosquitto."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from testbench.launcher import private
from tests.services import ROOT, TESTBENCH, Bench, bare_env


def test_named_services_are_used_and_none_is_embedded(app_server: Bench) -> None:
    assert app_server.servers is not None
    status = app_server.status()
    pids = private.pids(app_server.servers.folder)
    shown = {entry["name"]: entry for entry in status["services"]}
    assert set(shown) == {"postgres", "redis", "rabbitmq", "mqtt"}
    for name, entry in shown.items():
        named = urlsplit(app_server.servers.url(name))
        assert urlsplit(entry["url"]).port == named.port
        assert entry["pid"] == pids[name]
    assert not (app_server.folder / "postgres").exists()
    assert not (app_server.folder / "redis").exists()


def test_doctor_reaches_each_named_service(app_server: Bench) -> None:
    found = subprocess.run(
        (*TESTBENCH, "doctor", "--data", str(app_server.folder)),
        cwd=ROOT,
        env=app_server.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout
    for name in ("postgres", "redis", "rabbitmq", "mqtt"):
        assert re.search(rf"^ok +{name} +named by", found.stdout, re.MULTILINE), found.stdout


def test_make_services_prints_what_a_shell_can_take(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = (*TESTBENCH, "services", "up", "--dir", str(tmp_path))
    try:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        shell = f"set -e; . {tmp_path}/env; echo $DATABASE_URL $RABBITMQ_URL $REDIS_URL $MQTT_URL"
        urls = subprocess.run(("sh", "-c", shell), capture_output=True, text=True, check=True)
        assert len(urls.stdout.split()) == 4
        assert said.stdout == (tmp_path / "env").read_text()
        assert set(private.pids(tmp_path)) == set(private.SERVERS)
    finally:
        subprocess.run(
            (*TESTBENCH, "services", "down", "--dir", str(tmp_path)), cwd=ROOT, check=True
        )
    assert private.pids(tmp_path) == {}


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "install.sh").write_bytes((ROOT / "install.sh").read_bytes())
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "dirname", "sha256sum", "sh"):
        found = next(p for p in ("/usr/bin", "/bin") if os.path.exists(f"{p}/{name}"))
        (programs / name).symlink_to(f"{found}/{name}")
    env = bare_env() | {"PATH": str(programs)}
    env.pop("PYTHON", None)
    told = subprocess.run(
        ("/bin/sh", "install.sh", "requirements.txt"),
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "Python 3.11" in told.stderr
    assert "apt-get install" in told.stderr
