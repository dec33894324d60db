"""`simulate`: devices that speak the real protocols, with made-up or recorded values.

They are registered through the REST API of the bench at --url where a credential is given, else
directly in the bench whose folder is --data. A device that exists gets a new credential.
"""

import argparse
import csv
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite, sin, tau
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, Protocol

import httpx
import msgspec

from testbench.adapters import db
from testbench.domain.errors import BenchError, Conflict
from testbench.domain.identity import BENCH
from testbench.launcher import emulator
from testbench.launcher.instance import Instance, Refused
from testbench.launcher.simulated import HttpFleet, MqttFleet
from testbench.services import devices
from testbench.settings import settings

DRAIN_S = 30.0
CONFLICT = 409

Row = tuple[int | None, dict[str, float | str]]
"""A time in ms (None: the time of receipt) and the values of that time."""


class Sender(NamedTuple):
    """A registered device and its credential."""

    id: str
    token: str


class Fleet(Protocol):
    """Devices that are connected."""

    def send(self, index: int, payload: bytes) -> None:
        """Have device `index` send this message; may wait for room."""
        ...

    def pause(self, seconds: float) -> None:
        """Look after the connections for so long."""
        ...

    def drained(self) -> bool:
        """True once everything sent was acknowledged."""
        ...

    def close(self) -> None:
        """Leave."""
        ...

    @property
    def acknowledged(self) -> int:
        """Messages the bench has taken."""
        ...


def main(arguments: list[str]) -> int:
    """Until Ctrl-C, `--seconds`, or the end of the file. 0: all that was sent was acknowledged."""
    options = _parser().parse_args(arguments)
    if options.kind == "axeos":
        # These are polled: they wait to be asked, and know nothing of the bench.
        return emulator.main(options.devices, seconds=options.seconds)
    stop = Event()

    def stopped(_sign: int, _frame: object) -> None:
        stop.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stopped)
    try:
        return _simulate(options, stop)
    except (BenchError, Refused, OSError, httpx.HTTPError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1


def _simulate(options: argparse.Namespace, stop: Event) -> int:
    _enter(options.data)
    if options.replay:
        next(_replayed(options.replay), None)  # before devices are registered for a file of no use
    senders = _senders(options)
    who = "1 device sends" if len(senders) == 1 else f"{len(senders)} devices send"
    print(f"{who} over {options.kind}. Ctrl-C ends it.", flush=True)
    fleet = _connect(options, senders)
    try:
        sent = _run(fleet, options, stop)
        end = time.monotonic() + DRAIN_S
        while not fleet.drained() and time.monotonic() < end:
            fleet.pause(0.02)
    finally:
        fleet.close()
    print(f"{sent} messages sent, {fleet.acknowledged} acknowledged.", flush=True)
    return int(fleet.acknowledged != sent)


def _run(fleet: Fleet, options: argparse.Namespace, stop: Event) -> int:
    """Sends a message of each device every 1/rate s; rate 0 sends without a pause."""
    began, turn, sent = time.monotonic(), 0, 0
    rows = [_rows(options, index) for index in range(options.devices)]
    while not stop.is_set():
        if options.seconds is not None and time.monotonic() - began >= options.seconds:
            break
        messages = [next(some, None) for some in rows]
        if messages[0] is None:
            break
        for index, row in enumerate(messages):
            if row is not None:
                fleet.send(index, _payload(row, turn))
                sent += 1
        turn += 1
        if options.rate:
            fleet.pause(max(0.0, began + turn / options.rate - time.monotonic()))
    return sent


def _payload(row: Row, seq: int) -> bytes:
    ts, values = row
    timed = {"values": values, "seq": seq}
    return msgspec.json.encode(timed if ts is None else {"ts": ts, **timed})


def _rows(options: argparse.Namespace, index: int) -> Iterator[Row]:
    return _replayed(options.replay) if options.replay else _made_up(index)


def _made_up(index: int) -> Iterator[Row]:
    """A device that warms up and cools down, with noise; each at its own phase."""
    noise = random.Random(index)  # noqa: S311 (no secret)
    while True:
        now = time.time()
        wave = sin(tau * (now / 60 + index / 7))
        yield (
            int(now * 1000),
            {
                "temperature": round(45 + 8 * wave + noise.gauss(0, 0.3), 3),
                "humidity": round(40 - 5 * wave + noise.gauss(0, 0.2), 3),
                "power": round(14 + 1.5 * wave + noise.gauss(0, 0.1), 3),
                "voltage": round(5.1 - 0.05 * wave + noise.gauss(0, 0.01), 4),
            },
        )


def _replayed(path: Path) -> Iterator[Row]:
    """A CSV file: the first column is the time (UTC where it names no zone), the others metrics."""
    try:
        file = path.open(newline="")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        lines = csv.reader(file)
        try:
            _, *metrics = next(lines, [""])
            for time_text, *cells in filter(None, lines):
                moment = datetime.fromisoformat(time_text)
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=UTC)
                values = {m: _value(cell) for m, cell in zip(metrics, cells, strict=True) if cell}
                if values:
                    yield round(moment.timestamp() * 1000), values
        except (ValueError, csv.Error) as error:
            where = f"line {lines.line_num} of {path}"
            raise Refused(f"{where} is no row of a time and values: {error}.") from error


def _value(cell: str) -> float | str:
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if isfinite(number) else cell


# --- who sends, and where to --------------------------------------------------------------------


def _enter(data: Path) -> None:
    """Takes the URLs of the bench that runs on this folder, where one does."""
    if data.exists():
        state = Instance(data.expanduser().resolve()).state()
        known: dict[str, str] = state.get("env", {})
        if state.get("url"):
            known = {"PUBLIC_URL": state["url"], **known}
        for name, value in known.items():
            os.environ.setdefault(name, value)
        settings.cache_clear()


def _connect(options: argparse.Namespace, senders: list[Sender]) -> Fleet:
    if options.kind == "http":
        return HttpFleet(options.url or settings().public_url, [s.token for s in senders])
    url = options.mqtt_url or settings().mqtt_url
    if not url:
        raise Refused("No MQTT broker is known: name the bench's folder (--data) or --mqtt-url.")
    return MqttFleet(url, [(s.id, s.token) for s in senders])


def _senders(options: argparse.Namespace) -> list[Sender]:
    names = [f"{options.name}-{number:03d}" for number in range(1, options.devices + 1)]
    if options.url or options.token or options.password:
        with _person(options) as client:
            return [_register_by_rest(client, name, options.kind) for name in names]
    if not settings().database_url:
        raise Refused("No bench runs on this folder (--data), and no --url given.")
    return [_register(name, options.kind) for name in names]


def _register(name: str, kind: Any) -> Sender:
    try:
        made = devices.register(BENCH, devices.NewDevice(name=name, kind=kind))
    except Conflict:
        device_id = db.run(lambda tx: _id_of(tx, name))
        _, token = devices.renew_token(BENCH, device_id)
        return Sender(device_id, token)
    return Sender(str(made.id), made.token)


def _id_of(tx: db.Tx, name: str) -> str:
    row = (
        tx.cursor()
        .execute("SELECT id FROM devices WHERE name = %s AND removed_at IS NULL", (name,))
        .fetchone()
    )
    if row is None:
        raise Conflict(f"The device {name} was removed just now; try again.")
    return str(row[0])


def _person(options: argparse.Namespace) -> httpx.Client:
    """Calls of a person who may add devices."""
    url, token = options.url or settings().public_url, options.token
    if not token:
        password = options.password or settings().admin_password
        credentials = {"username": options.username, "password": password}
        answer = httpx.post(f"{url}/api/auth/login", json=credentials, timeout=10)
        token = answer.raise_for_status().json()["token"]
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def _register_by_rest(client: httpx.Client, name: str, kind: str) -> Sender:
    answer = client.post("/api/devices", json={"name": name, "kind": kind})
    if answer.status_code == CONFLICT:
        listed = client.get("/api/devices", params={"q": name, "limit": 500}).raise_for_status()
        known = next(item["id"] for item in listed.json()["items"] if item["name"] == name)
        answer = client.post(f"/api/devices/{known}/token")
    made = answer.raise_for_status().json()
    return Sender(made["id"], made["token"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbench simulate", description=__doc__)
    add = parser.add_argument
    add("--devices", type=int, default=5, metavar="N")
    add("--rate", type=float, default=1.0, metavar="HZ", help="of each device; 0: no pause")
    add("--kind", choices=("mqtt", "http", "axeos"), default="mqtt")
    add("--replay", type=Path, metavar="FILE.csv", help="send this file's rows, with its times")
    add("--seconds", type=float, metavar="S", help="end after so long")
    add("--name", default="sim", help="the devices' names begin so (default: %(default)s)")
    add("--data", type=Path, default=settings().testbench_data, metavar="DIR")
    add("--url", help="the bench (default: the one that runs on DIR)")
    add("--mqtt-url", metavar="URL", help="its broker, mqtt://host:port")
    add("--username", default="admin")
    add("--password", help="of a person who may add devices (default: ADMIN_PASSWORD)")
    add("--token", help="or their access token")
    return parser
