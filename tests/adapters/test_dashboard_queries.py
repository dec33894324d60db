"""The dashboards' queries, as Grafana would send them, on the real data sources."""

import re
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from testbench.adapters import db, stores
from testbench.api.app import create_app
from testbench.domain.axeos import UNITS
from testbench.domain.dashboards import (
    Source,
    SourceKind,
    Subject,
    device_dashboard,
    fleet_dashboard,
)
from testbench.domain.identity import BENCH
from testbench.services import devices, telemetry
from testbench.services.devices import NewDevice
from testbench.services.telemetry import Message
from tests.scrapers import prometheus, query
from tests.services import Env, wait_until

BENCH_URL = "http://bench.lab:3000"
HOSTILE = {"it's 100%": 7.0, "${device} $x": 8.0, "a\\": 9.0, "温度": 10.0, "x[[y]]": 11.0}
FLAGS = ("overheat_mode", "mining_paused", "using_fallback_pool")
SPAN_MS = 60_000


def device(kind: Any, name: str, values: dict[str, Any], at: int) -> Subject:
    """A device with three readings of each metric within the span that ends at `at`."""
    new = NewDevice(
        name=name,
        kind=kind,
        mac="aa:bb:cc:00:00:01" if kind == "axeos" else None,
        hostname=name if kind == "axeos" else None,
    )
    made = db.run(lambda tx: devices.create(tx, BENCH, new))
    units = {m: UNITS[m] for m in values if m in UNITS}
    messages = [
        Message(made.id, {"ts": at - ago, "values": values}, "poll", at, units)
        for ago in (40_000, 20_000, 500)
    ]
    assert not telemetry.ingest(messages).refused
    return Subject(made.id, name, kind, dict.fromkeys(values, ""))


def fleet() -> tuple[Subject, Subject, int]:
    at = time.time_ns() // 1_000_000
    values = {m: m in FLAGS if m in FLAGS else float(i) for i, m in enumerate(UNITS, 1)}
    return device("axeos", "axe-1", values, at), device("mqtt", "sensor", HOSTILE, at), at


def panels(source: Source, axe: Subject, other: Subject) -> dict[str, list[str]]:
    """Panel → its queries, of all three dashboards."""
    found: dict[str, list[str]] = {}
    for about, made in (
        ("axe", device_dashboard(axe, source, bench_url=BENCH_URL)),
        ("other", device_dashboard(other, source, bench_url=BENCH_URL)),
        ("fleet", fleet_dashboard(source, bench_url=BENCH_URL, public=False)),
        ("public", fleet_dashboard(source, bench_url=BENCH_URL, public=True)),
    ):
        for panel in made["panels"]:
            targets = [t.get("rawSql") or t.get("query") or t["expr"] for t in panel["targets"]]
            found[f"{about}: {panel['title']} ({panel['type']})"] = targets
    return found


def as_sent(kind: SourceKind, text: str, axe: Subject, at: int) -> str:
    """What Grafana makes of its macros and variables (its documentation, "Macros")."""
    first, last = at - SPAN_MS, at
    if kind == "postgres":
        grouped = r"floor(extract(epoch from \1)/5)*5"
        text = re.sub(r"\$__timeGroupAlias\(([^,]*),\$__interval\)", rf'{grouped} AS "time"', text)
        text = re.sub(r"\$__timeGroup\(([^,]*),\$__interval\)", grouped, text)
        between = rf"\1 BETWEEN to_timestamp({first / 1000}) AND to_timestamp({last / 1000})"
        text = re.sub(r"\$__timeFilter\(([^)]*)\)", between, text)
        text = text.replace("${device:sqlstring}", f"'{axe.id}','{uuid.uuid4()}'")
    elif kind == "influxdb":
        text = text.replace("$timeFilter", f"time >= {first}ms and time <= {last}ms")
        text = text.replace("$__interval", "5s")
        text = text.replace("${device:regex}", f"({axe.id}|{uuid.uuid4()})")
    else:
        text = text.replace("${device:regex}", f"({axe.id}|x)")
    assert not re.search(r"\$\w|\$\{|\[\[", text), text
    return text


def test_every_sql_query_finds_its_readings(bench_env: Env) -> None:
    axe, other, at = fleet()

    with psycopg.connect(bench_env_url(), autocommit=True) as connection:
        for panel, queries in panels(Source("postgres", "x"), axe, other).items():
            for text in queries:
                cursor = connection.execute(as_sent("postgres", text, axe, at).encode())
                assert cursor.description is not None
                names = [column.name for column in cursor.description]
                assert names in (["time", "metric", "value"], ["time", "value"]), panel
                rows = cursor.fetchall()
                assert rows, (panel, text)
                assert all(row[-1] is not None for row in rows), panel


def bench_env_url() -> str:
    from testbench.settings import settings

    return db.psycopg_url(settings().database_url or "")


def test_sql_panels_show_each_metric_and_states_as_numbers(bench_env: Env) -> None:
    axe, other, at = fleet()
    found = panels(Source("postgres", "x"), axe, other)

    def last(panel: str) -> dict[str, float]:
        text = as_sent("postgres", found[panel][0], axe, at)
        with psycopg.connect(bench_env_url(), autocommit=True) as connection:
            rows = connection.execute(text.encode()).fetchall()
        return {row[1]: row[2] for row in rows}

    assert set(last("axe: Temperature (timeseries)")) == {"temp", "temp2", "vr_temp"}
    assert last("axe: States (timeseries)") == dict.fromkeys(FLAGS, 1)
    assert last("fleet: Power by device (timeseries)") == {"axe-1": 1}
    shown = [last(f"other: {m.replace('$', '＄')} (timeseries)") for m in sorted(HOSTILE)]
    assert shown == [{m: HOSTILE[m]} for m in sorted(HOSTILE)]


def test_every_influxql_query_finds_its_readings(bench_env: Env, influx: dict[str, str]) -> None:
    bench_env.set(**influx)
    stores.store.cache_clear()
    axe, other, at = fleet()

    for panel, queries in panels(Source("influxdb", "x"), axe, other).items():
        for text in queries:
            answer = httpx.post(
                f"{influx['INFLUXDB_URL']}/query",
                params={"db": influx["INFLUXDB_BUCKET"], "epoch": "ms"},
                data={"q": as_sent("influxdb", text, axe, at)},
            ).json()
            result = answer["results"][0]
            assert "error" not in result, (panel, text, result)
            series = result.get("series", [])
            assert series, (panel, text)
            values = [row[1] for one in series for row in one["values"]]
            assert any(value is not None for value in values), (panel, text)


def test_every_promql_query_finds_its_readings(bench_env: Env, tmp_path: Path) -> None:
    from tests.callers import served

    axe, other, at = fleet()
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE devices SET offline_after_s = 600")
    found = panels(Source("prometheus", "x"), axe, other)

    with served(create_app()) as url, prometheus(url, tmp_path, "none") as server:
        wait_until(lambda: bool(query(server, "testbench_device_up")), 30)
        for panel, queries in found.items():
            for text in queries:
                asked = as_sent("prometheus", text, axe, at)
                answer = httpx.get(f"{server}/api/v1/query", params={"query": asked}).json()
                assert answer["status"] == "success", (panel, asked, answer)
                assert answer["data"]["result"], (panel, asked)
        # Exposed in seconds, shown in the unit that the panel says.
        shown = query(server, found["axe: Pool: response time (timeseries)"][0])
        assert shown[str(axe.id)] == pytest.approx([*UNITS].index("response_time") + 1)
