"""MQTT QoS 1 → validated, stored, acknowledged, against a bare paho → COPY loop in the same run."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg
import pytest

from testbench.adapters import db, stores
from testbench.domain.identity import BENCH
from testbench.services import devices
from testbench.services.devices import NewDevice
from tests.bench.figures import tell
from tests.bench.mqtt_load import blast, payloads
from tests.brokers import ROOT, Peer, collecting, embedded, embedded_url, is_open, peer, until
from tests.services import Env, Servers

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

DEVICES = 50
ROUNDS = 3
BETWEEN_KILLS = 4000
METRICS = 4
MESSAGES = {"mosquitto": 40_000, "embedded": 12_000}


@contextmanager
def plain_amqtt(folder: Path) -> Iterator[str]:
    """amqtt as it comes, for anybody."""
    url = embedded_url().replace("testbench:secret@", "").partition("?")[0]
    port = int(url.rpartition(":")[2])
    program = (
        "import asyncio\nfrom amqtt.broker import Broker\n"
        "async def main():\n"
        f"    listeners = {{'default': {{'type': 'tcp', 'bind': '127.0.0.1:{port}'}}}}\n"
        "    anybody = {'amqtt.plugins.authentication.AnonymousAuthPlugin': {}}\n"
        "    await Broker({'listeners': listeners, 'plugins': anybody}).start()\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with (folder / "amqtt.log").open("wb") as log:
        running = subprocess.Popen((sys.executable, "-c", program), stdout=log, stderr=log)
    try:
        until(lambda: is_open("127.0.0.1", port), 20)
        yield url
    finally:
        running.kill()
        running.wait()


@contextmanager
def broker(kind: str, env: Env, servers: Servers, folder: Path) -> Iterator[tuple[str, str]]:
    """(the bench's broker, the bare loop's broker): the same Mosquitto, or the two amqtts."""
    if kind == "mosquitto":
        url = servers.url("mqtt")
        env.set(MQTT_URL=url)
        yield url, url
        return
    url = embedded_url()
    env.set(MQTT_URL=url)
    with embedded(url, folder), plain_amqtt(folder) as bare:
        yield url, bare


def plain(database: str) -> str:
    """The URL as libpq has it."""
    return db.psycopg_url(database)


def topics() -> list[str]:
    new = (NewDevice(name=f"load-{uuid.uuid4().hex}", kind="mqtt") for _ in range(DEVICES))
    made = [db.run(lambda tx, n=one: devices.create(tx, BENCH, n)) for one in new]
    return [f"devices/{device.id}/telemetry" for device in made]


def stored() -> int:
    with db.transaction() as tx:
        row = tx.cursor().execute("SELECT count(*) FROM readings").fetchone()
    return int(row[0]) if row else 0


def is_stored(topic: str, ts: int) -> bool:
    """True once this message is; those before it are too, for a collector keeps their order."""
    with db.transaction() as tx:
        row = tx.cursor().execute(
            "SELECT count(*) FROM readings r JOIN series s ON s.id = r.series_id"
            " WHERE s.device_id = %s AND r.ts = to_timestamp(%s)",
            (topic.split("/")[1], ts / 1000),
        )
        return row.fetchone() == (METRICS,)


def of_bench(url: str, folder: Path, start: int, count: int, where: list[str]) -> float:
    """Messages a second, until the last is in the table."""
    before = stored()
    messages = list(payloads(count, start, DEVICES))
    with collecting(folder):
        began = time.perf_counter()
        blast(url, f"load-{uuid.uuid4().hex}", where, messages)
        until(lambda: is_stored(where[(count - 1) % DEVICES], start + count - 1), 120)
        rate = count / (time.perf_counter() - began)
    assert stored() - before == METRICS * count
    return rate


def of_bare(url: str, database: str, start: int, count: int, where: list[str]) -> float:
    """The same of the bare loop."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bare_readings")
        connection.execute(
            "CREATE TABLE bare_readings (device text, metric text, ts bigint, value float8)"
        )
    messages = list(payloads(count, start, DEVICES))
    command = (sys.executable, "-m", "tests.bench.bare_collector", url, database, str(count))
    loop = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE)
    assert loop.stdout is not None
    assert loop.stdout.readline() == b"listens\n"
    began = time.perf_counter()
    blast(url, f"load-{uuid.uuid4().hex}", where, messages)
    assert loop.stdout.readline() == b"stored\n"
    rate = count / (time.perf_counter() - began)
    loop.communicate()
    return rate


@pytest.mark.parametrize(("kind", "goal"), [("mosquitto", 0.5), ("embedded", 0.6)])
def test_ingest_over_mqtt(
    kind: str, goal: float, bench_env: Env, database: str, servers: Servers, tmp_path: Path
) -> None:
    count = MESSAGES[kind]
    now = int(time.time() * 1000)
    stores.prepare(1)
    where = topics()
    rates: list[tuple[float, float]] = []
    with broker(kind, bench_env, servers, tmp_path) as (url, bare_url):
        for turn in range(ROUNDS):
            start = now - (turn + 1) * count
            mine = of_bench(url, tmp_path, start, count, where)
            rates.append((mine, of_bare(bare_url, plain(database), start, count, where)))
    ratio = median(mine / bare for mine, bare in rates)
    mine, bare = (median(column) for column in zip(*rates, strict=True))
    tell(
        f"MQTT QoS 1 → stored → acknowledged, {kind}, {METRICS} metrics a message",
        f"{mine * METRICS / 1000:.1f}k rows/s, bare loop {bare * METRICS / 1000:.1f}k: {ratio:.0%}",
        f">= {goal:.0%}",
        reached=ratio >= goal,
    )


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_acknowledged_and_lost_over_three_kills(
    kind: str, bench_env: Env, servers: Servers, tmp_path: Path
) -> None:
    with broker(kind, bench_env, servers, tmp_path) as (url, _):
        mine = devices.register(BENCH, NewDevice(name=uuid.uuid4().hex, kind="mqtt"))
        with peer(url, str(mine.id), mine.token, inflight=1000) as sender:
            first = int(time.time() * 1000) - 4 * BETWEEN_KILLS
            for kill in range(3):
                with collecting(tmp_path) as collector:
                    _publish(sender, mine.id, first + kill * BETWEEN_KILLS)
                    time.sleep(0.3)
                    collector.send_signal(signal.SIGKILL)
            with collecting(tmp_path):
                _publish(sender, mine.id, first + 3 * BETWEEN_KILLS)
                until(lambda: len(sender.acknowledged) == 4 * BETWEEN_KILLS, 60)
                until(lambda: is_last(mine.id, first + 4 * BETWEEN_KILLS - 1), 60)
    lost = len(sender.acknowledged) - stored()
    tell(
        f"acknowledged readings lost over three kill -9, {kind}",
        f"{lost} of {len(sender.acknowledged)}",
        "0",
        reached=lost == 0,
    )


def _publish(sender: Peer, device_id: uuid.UUID, first: int) -> None:
    for ts in range(first, first + BETWEEN_KILLS):
        sender.publish(f"devices/{device_id}/telemetry", b'{"ts":%d,"values":{"a":1}}' % ts)


def is_last(device_id: uuid.UUID, ts: int) -> bool:
    """True once that reading is stored."""
    with db.transaction() as tx:
        newest = stores.store().latest(tx, [device_id]).get(device_id, {})
    return bool(newest) and newest["a"].ts == ts
