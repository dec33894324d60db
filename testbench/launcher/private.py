"""The real servers from Debian's packages, run privately below a folder, on ports of their own."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from testbench.launcher import embedded
from testbench.launcher.embedded import is_listening
from testbench.launcher.instance import Instance, Refused
from testbench.launcher.journal import Journal, born
from testbench.launcher.mosquitto import security
from testbench.launcher.process import Process, identity, passing

READY_S = 90.0
STOP_S = 30.0
RABBITMQ = Path("/usr/lib/rabbitmq/lib")
Child = subprocess.Popen[bytes]
PACKAGES = ("postgresql", "rabbitmq-server", "redis-server", "mosquitto", "influxdb")


_outliving: list[Child] = []
"""Kept, so that Python does not warn of children nobody waits for: they outlive this process."""


@dataclass(frozen=True)
class Server:
    """What runs for one name: its processes in order of their start, and the URL it gives."""

    processes: tuple[Process, ...]
    env: dict[str, str]
    is_ready: Callable[[], bool]


def up(folder: Path, names: Iterable[str] = ()) -> dict[str, str]:
    """Starts the named servers (all by default) that do not run yet; returns all their variables.

    They outlive this process; `down` and `stop` end them. The variables are kept in FOLDER/env.
    """
    instance = Instance.at(folder)
    wanted = list(names) or list(SERVERS)
    _start(instance, {n: SERVERS[n](instance) for n in wanted if n not in pids(folder)})
    env: dict[str, str] = _kept(folder, "env.json")
    return env


def down(folder: Path) -> None:
    """Stops all that `up` has started below this folder; the data stays."""
    Journal(folder.resolve()).bury(STOP_S)
    _reap()


def stop(folder: Path, name: str, number: int | None = None) -> None:
    """Stops one server, politely or by the signal given; `up` starts it on the same port."""
    journal = Journal(folder.resolve())
    polite = journal.alive()
    for pid in reversed(_kept(folder, "pids.json").get(name, [])):
        if pid in polite:
            journal.end(pid, polite[pid] if number is None else number, STOP_S)
    _reap()


def pids(folder: Path) -> dict[str, int]:
    """The pid of each server that runs below this folder."""
    alive = Journal(folder.resolve()).alive()
    kept = _kept(folder, "pids.json")
    return {name: group[-1] for name, group in kept.items() if group[-1] in alive}


def add_vhost(folder: Path, name: str) -> str:
    """A virtual host of its own on the RabbitMQ that runs there; returns its URL."""
    base = folder.resolve() / "rabbitmq"
    code = (
        f'rabbit_vhost:add(<<"{name}">>, <<"testbench">>), '
        f'rabbit_auth_backend_internal:set_permissions(<<"testbench">>, <<"{name}">>, '
        '<<".*">>, <<".*">>, <<".*">>, <<"testbench">>).'
    )
    control = next(RABBITMQ.glob("*/sbin/rabbitmqctl"))
    env = os.environ | _erlang(base, _kept(folder, "ports.json")["epmd"])
    subprocess.run((str(control), "eval", code), check=True, capture_output=True, env=env)
    url: str = _kept(folder, "env.json")["RABBITMQ_URL"]
    return url.removesuffix("%2F") + name


def install() -> None:
    """Installs Debian's packages that are missing; needs root or sudo for that alone."""
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Refused(f"Not a Debian system: install {', '.join(missing)} yourself.")
    sudo = () if os.getuid() == 0 else ("sudo", "-n")
    if sudo and (shutil.which("sudo") is None or subprocess.call((*sudo, "true"))):
        raise Refused(f"Packages are missing. As root: apt-get install {' '.join(missing)}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update", "-q"), ("install", "-qy", "--no-install-recommends", *missing)):
        if subprocess.call((*sudo, "apt-get", *command), env=env):
            raise Refused(f"apt-get {command[0]} failed; what it said stands above.")


def _start(instance: Instance, servers: "dict[str, Server]") -> None:
    journal = Journal(instance.folder)
    groups: dict[str, list[Child]] = {}
    try:
        for name, server in servers.items():
            groups[name] = [_spawn(p, instance.folder, journal) for p in server.processes]
        for name, server in servers.items():
            _wait(name, server, groups[name])
    except BaseException:
        for child in (child for group in groups.values() for child in group):
            journal.end(child.pid, signal.SIGTERM, STOP_S)
        raise
    started = {name: [child.pid for child in group] for name, group in groups.items()}
    env = _kept(instance.folder, "env.json")
    for server in servers.values():
        env |= server.env
    _write(instance.folder / "pids.json", json.dumps(_kept(instance.folder, "pids.json") | started))
    _write(instance.folder / "env.json", json.dumps(env))
    _write(instance.folder / "env", "".join(f"export {k}='{v}'\n" for k, v in env.items()))


def _spawn(process: Process, folder: Path, journal: Journal) -> Child:
    descriptor = journal.open()
    with (folder / "logs" / f"{process.name}.log").open("ab") as log:
        child = subprocess.Popen(
            (*passing(process.cwd, process.user), *process.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **process.env},
            cwd=process.cwd,
            start_new_session=True,
            preexec_fn=partial(born, descriptor, process.stop),  # noqa: PLW1509 (no threads here)
            **identity(process.user, process.cwd),
        )
    os.close(descriptor)
    _outliving.append(child)
    return child


def _reap() -> None:
    """Forgets the children that have ended."""
    _outliving[:] = [child for child in _outliving if child.poll() is None]


def _wait(name: str, server: Server, group: list[Child]) -> None:
    end = time.monotonic() + READY_S
    while not server.is_ready():
        if time.monotonic() > end or any(child.poll() is not None for child in group):
            raise Refused(f"{name} did not start; see its log.")
        time.sleep(0.05)


def _postgres(instance: Instance) -> Server:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise Refused("PostgreSQL is not installed; run `make services`.")
    return _of(embedded.postgres(instance, found[-1]))


def _redis(instance: Instance) -> Server:
    return _of(embedded.valkey(instance, _program("redis-server")))


def _of(service: embedded.Service) -> Server:
    return Server((service.process,), {service.variable: service.url}, service.is_ready)


def _rabbitmq(instance: Instance) -> Server:
    """RabbitMQ and an epmd of its own, both on the loopback only."""
    found = sorted(RABBITMQ.glob("*/sbin/rabbitmq-server"))
    if not found:
        raise Refused("RabbitMQ is not installed; run `make services`.")
    base = _folder(instance, "rabbitmq")
    port, dist, epmd = (instance.port(name) for name in ("rabbitmq", "rabbitmq_dist", "epmd"))
    password = instance.secret("rabbitmq_password")
    (base / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\n"
        f"default_user = testbench\ndefault_pass = {password}\n"
    )
    (base / "rabbitmq.conf").chmod(0o600)
    (base / "plugins").write_text("[].\n")
    env = _erlang(base, epmd) | {
        "RABBITMQ_DIST_PORT": str(dist),
        "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
        "RABBITMQ_LOG_BASE": str(base / "log"),
        "RABBITMQ_PID_FILE": str(base / "pid"),
        "RABBITMQ_SERVER_START_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        "RABBITMQ_ALLOW_INPUT": "",
        "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the server: its pid is the server's
    }
    mapper = Process(
        "epmd", (str(_program("epmd")), "-port", str(epmd), "-address", "127.0.0.1"), env, cwd=base
    )
    # The server would start an epmd that stays behind, were there none when it looks.
    server = Process(
        "rabbitmq",
        (
            "/bin/sh",
            "-c",
            f'until epmd -names; do sleep 0.05; done; exec "{found[-1]}"',
        ),
        env,
        cwd=base,
    )
    url = f"amqp://testbench:{password}@127.0.0.1:{port}/%2F"
    return Server((mapper, server), {"RABBITMQ_URL": url}, lambda: is_listening(port))


def _erlang(base: Path, epmd: int) -> dict[str, str]:
    """How a node and its tools find each other, away from any other RabbitMQ."""
    return {
        "HOME": str(base),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "testbench@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }


def _mosquitto(instance: Instance) -> Server:
    """Mosquitto with its dynamic security; the bench is its administrator."""
    base = _folder(instance, "mosquitto")
    port, password = instance.port("mqtt"), instance.secret("mqtt_password")
    rules = base / "dynamic-security.json"
    if not rules.exists():
        _write(rules, json.dumps(security("testbench", password)))
    plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)
    if plugin is None:
        raise Refused("Mosquitto is not installed; run `make services`.")
    config = base / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\nper_listener_settings false\n"
        f"plugin {plugin}\nplugin_opt_config_file {rules}\n"
        f"persistence true\npersistence_location {base}/\nautosave_interval 5\n"
        "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\nlog_type error\n"
        + ("user root\n" if os.getuid() == 0 else "")
    )
    process = Process("mosquitto", (str(_program("mosquitto")), "-c", str(config)), cwd=base)
    url = f"mqtt://testbench:{password}@127.0.0.1:{port}"
    return Server((process,), {"MQTT_URL": url}, lambda: is_listening(port))


def _influxdb(instance: Instance) -> Server:
    """InfluxDB 1: its variable has another name, because the bench itself writes by 2's door."""
    base = _folder(instance, "influxdb")
    port, rpc = instance.port("influxdb"), instance.port("influxdb_rpc")
    config = base / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n'
        f'[meta]\ndir = "{base}/meta"\n'
        f'[data]\ndir = "{base}/data"\nwal-dir = "{base}/wal"\nquery-log-enabled = false\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n'
        "[monitor]\nstore-enabled = false\n"
    )
    process = Process("influxdb", (str(_program("influxd")), "-config", str(config)), cwd=base)
    url = f"http://127.0.0.1:{port}"
    return Server((process,), {"INFLUXDB1_URL": url}, lambda: is_listening(port))


SERVERS: dict[str, Callable[[Instance], Server]] = {
    "postgres": _postgres,
    "rabbitmq": _rabbitmq,
    "redis": _redis,
    "mqtt": _mosquitto,
    "influxdb": _influxdb,
}


def _kept(folder: Path, name: str) -> dict[str, Any]:
    path = folder.resolve() / name
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def _program(name: str) -> Path:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        raise Refused(f"{name} is not installed; run `make services`.")
    return Path(found)


def _folder(instance: Instance, name: str) -> Path:
    folder = instance.folder / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _is_installed(package: str) -> bool:
    asked = ("dpkg-query", "-W", "-f=${Status}", package)
    if shutil.which("dpkg-query") is None:
        return False
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return said.endswith("ok installed")


def _write(path: Path, text: str) -> None:
    """A file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(text)
