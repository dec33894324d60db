"""`GET /metrics`: what Prometheus scrapes of the fleet and of the bench itself."""

import json
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from testbench.adapters import db, metrics
from testbench.api.app import create_app
from testbench.domain.axeos import UNITS, Parsed, reading_of
from testbench.domain.identity import BENCH
from testbench.services import devices, telemetry
from testbench.services.devices import NewDevice
from testbench.services.telemetry import Message
from tests.callers import Api, problem, served
from tests.scrapers import prometheus, query
from tests.services import ROOT, Env, Servers, free_port, wait_until

RECORDED = sorted((ROOT / "tests/data/axeos").glob("*.json"))


def imprinted(hostname: str, number: int = 1, /, **info: Any) -> uuid.UUID:
    """An AxeOS device of the bench; `info` is what it said of itself."""
    mac = f"aa:bb:cc:00:00:{number:02x}"
    new = NewDevice(name=f"d-{uuid.uuid4()}", kind="axeos", mac=mac)
    with db.transaction() as tx:
        made = devices.create(tx, BENCH, new)
        row = devices.find(tx, made.id)
        row.info = {"ASICModel": "BM1370", "version": "v2.6.0", **info}
        # Host names come from devices, and are what they are.
        row.hostname = hostname
    return made.id


def polled(device_id: uuid.UUID, **values: Any) -> None:
    """A poll's readings."""
    units = {name: UNITS[name] for name in values if name in UNITS}
    now = time.time_ns() // 1_000_000
    result = telemetry.ingest([Message(device_id, values, "poll", now, units)])
    assert not result.refused, result


def silent(*device_ids: uuid.UUID) -> None:
    """They were last heard of an hour ago."""
    from testbench.adapters import cache, live

    with db.transaction() as tx:
        tx.cursor().execute(
            "UPDATE presence SET last_seen = now() - interval '1 hour' WHERE device_id = ANY(%s)",
            (list(device_ids),),
        )
    cache.client().hdel(live.SEEN, *map(str, device_ids))


def scraped(api: Api) -> dict[str, float]:
    """Every sample: name and labels → value; promtool accepts it."""
    answer = api.nobody.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    check(answer.content)
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    pairs = [line.rpartition(" ") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: float(value) for name, _, value in pairs}


def check(text: bytes) -> None:
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode()


def test_readings_are_there_in_both_styles_in_base_units(api: Api) -> None:
    one = imprinted("bitaxe-1", 1, stratumURL="pool.example", stratumPort=3333)
    polled(one, power=15.5, voltage=5.2, current=2.5, temp=61.0, hashrate=500.0, efficiency=31.0)
    polled(one, shares_accepted=7, shares_rejected=0, overheat_mode=False)

    found = scraped(api)

    own = f'{{device_id="{one}"}}'
    assert found[f"testbench_device_up{own}"] == 1
    assert found[f"testbench_power_watts{own}"] == 15.5
    assert found[f"testbench_temperature_celsius{own}"] == 61
    assert found[f"testbench_overheat_mode{own}"] == 0
    assert {
        name.removeprefix("bitaxe_1_"): value
        for name, value in found.items()
        if name.startswith("bitaxe_1_")
    } == {
        "power_watts": 15.5,
        "voltage_volts": 5.2,
        "current_amps": 2.5,
        "temperature_celsius": 61,
        "hashrate_ghs": 500,
        "efficiency": 31,
        "shares_accepted": 7,
        "shares_rejected": 0,
        "overheat_mode": 0,
    }


def test_overview_adds_up_the_imprinted_devices_that_are_online(api: Api) -> None:
    pool = {"stratumURL": "stratum+tcp://pool.example", "stratumPort": 3333}
    one, two = imprinted("one", 1, **pool), imprinted("two", 2, **pool)
    three = imprinted("three", 3, version="v2.9.0", stratumURL="other.example", stratumPort=1)
    for id, rate in ((one, 400.0), (two, 600.0), (three, 5000.0)):
        polled(id, hashrate=rate, power=rate / 40, shares_accepted=10, shares_rejected=1)
    silent(three)

    found = scraped(api)

    assert {n: v for n, v in found.items() if n.startswith(("total", "average", "hardware"))} == {
        "total_hardware": 3,
        "hardware_online": 2,
        "hardware_offline": 1,
        "total_hashrate": 1000,
        "average_hashrate": 500,
        "total_power_watts": 25,
    }
    assert found['firmware_version_distribution{version="v2.6.0"}'] == 2
    assert found['firmware_version_distribution{version="v2.9.0"}'] == 1
    assert found['shares_by_pool_accepted{pool="pool.example:3333"}'] == 20
    assert found['shares_by_pool_rejected{pool="pool.example:3333"}'] == 2
    assert not [name for name in found if "other.example" in name]


def test_empty_bench_has_zeros(api: Api) -> None:
    found = scraped(api)

    assert found["total_hardware"] == found["total_hashrate"] == found["average_hashrate"] == 0
    assert found["testbench_parked_notifications"] == 0
    assert found["testbench_ingest_lag_seconds"] == 0


def test_offline_device_says_so_and_shows_no_old_value(api: Api) -> None:
    one = imprinted("axe")
    polled(one, power=15.0)
    silent(one)

    found = scraped(api)

    assert found[f'testbench_device_up{{device_id="{one}"}}'] == 0
    assert not [name for name in found if "power_watts" in name and name != "total_power_watts"]
    assert any(name.startswith(f'testbench_device_info{{device_id="{one}"') for name in found)


def test_removed_devices_series_vanish_at_once(api: Api) -> None:
    one = imprinted("axe")
    polled(one, power=15.0)
    assert "axe_power_watts" in scraped(api)

    with db.transaction() as tx:
        devices.remove(tx, BENCH, str(one))

    found = scraped(api)
    assert not [name for name in found if str(one) in name or name.startswith("axe_")]
    assert found["total_hardware"] == 0


def test_other_kinds_have_labelled_metrics_only(api: Api) -> None:
    device = api.device(online=False)
    api.client(device["token"]).post("/api/telemetry", json={"temp": 21.5, "door": "open"})

    found = scraped(api)

    assert found[f'testbench_temp{{device_id="{device["id"]}"}}'] == 21.5
    assert found["total_hardware"] == 0
    assert not [name for name in found if "door" in name]


def test_hosts_alike_are_told_apart_by_their_macs(api: Api) -> None:
    for number in (1, 2):
        polled(imprinted("bitaxe", number), power=float(number))

    found = scraped(api)

    assert found["bitaxe_aabbcc000001_power_watts"] == 1
    assert found["bitaxe_aabbcc000002_power_watts"] == 2
    assert "bitaxe_power_watts" not in found


@pytest.mark.parametrize(
    "hostname", ["<script>alert(1)</script>", 'a"}\n# EOF', "\\", "x" * 10_000, "\x1b[31m", "总"]
)
def test_hostile_hostname_breaks_nothing(api: Api, hostname: str) -> None:
    one = imprinted(hostname, 1, version='v"\\\n', deviceModel="<b>")
    polled(one, power=15.0)

    found = scraped(api)

    assert found[f'testbench_power_watts{{device_id="{one}"}}'] == 15
    assert sum(name.endswith("_power_watts") for name in found) == 2


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_every_recorded_firmware_is_told_whole(api: Api, path: Path) -> None:
    info: dict[str, Any] = json.loads(path.read_text())
    parsed: Parsed = reading_of(info)
    one = imprinted("axe", 1, **parsed.info)
    polled(one, **{name: value for name, (value, _) in parsed.metrics.items()})

    found = scraped(api)

    labelled = [name for name in found if name.endswith(f'{{device_id="{one}"}}')]
    assert len(labelled) == len(parsed.metrics) + 1
    assert sum(name.startswith("axe_") for name in found) == len(parsed.metrics)
    assert any(f'version="{parsed.version}"' in name for name in found)


def test_without_hostname_prefix_there_is_one_style(api: Api, bench_env: Env) -> None:
    bench_env.set(METRICS_HOSTNAME_PREFIX="false")
    polled(imprinted("axe"), power=15.0)

    found = scraped(api)

    assert [name for name in found if "power_watts" in name] == [
        name for name in found if name.startswith("testbench_power_watts{")
    ]
    assert "total_hardware" not in found


def test_token_is_asked_for_where_one_is_set(api: Api, bench_env: Env) -> None:
    bench_env.set(METRICS_TOKEN="s3cret")

    refused = problem(api.nobody.get("/metrics"), 401)
    assert "METRICS_TOKEN" in refused["detail"]
    problem(api.client("wrong").get("/metrics"), 401)
    problem(api.viewer.get("/metrics"), 401)
    assert api.client("s3cret").get("/metrics").status_code == 200


def test_own_health_is_told(api: Api) -> None:
    case, device = api.case(), api.device()
    api.run(test_case_id=case["id"], device_ids=[device["id"]])
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE runs SET due_at = now() - interval '90 seconds'")
    polled(imprinted("axe"), power=15.0)

    found = scraped(api)

    assert 90 <= found["testbench_outbox_age_seconds"] < 150
    assert 90 <= found["testbench_step_lateness_seconds"] < 150
    assert 0 < found["testbench_ingest_lag_seconds"] < 60
    assert found['testbench_queue_depth{queue="testbench"}'] == 0
    assert found["testbench_database_up"] == found["testbench_cache_up"] == 1
    assert found["process_resident_memory_bytes"] > 1e6


def test_sent_step_is_late_but_no_longer_in_the_outbox(api: Api) -> None:
    api.run()
    with db.transaction() as tx:
        tx.cursor().execute(
            "UPDATE runs SET due_at = now() - interval '90 seconds',"
            " sent_until = now() + interval '1 hour'"
        )

    found = scraped(api)

    assert found["testbench_outbox_age_seconds"] == 0
    assert found["testbench_step_lateness_seconds"] >= 90


def test_readings_that_cannot_be_stored_age(api: Api) -> None:
    metrics.note_ingest(0.0, time.time() - 30)

    assert 30 <= scraped(api)["testbench_ingest_lag_seconds"] < 90


def test_waiting_messages_are_counted_on_rabbitmq(
    api: Api, bench_env: Env, rabbitmq_url: str
) -> None:
    from testbench.adapters import queue

    bench_env.set(RABBITMQ_URL=rabbitmq_url)
    queue.send("runs.step", "nobody", 1)
    queue.Jobs().publish(b"{}")

    # The broker counts what it has a moment later.
    wait_until(
        lambda: {
            name: value for name, value in scraped(api).items() if "queue_depth" in name
        } == {
            'testbench_queue_depth{queue="testbench"}': 1,
            'testbench_queue_depth{queue="testbench.jobs"}': 1,
        },
        15,
    )  # fmt: skip


def test_without_redis_the_rest_is_told(api: Api, bench_env: Env, servers: Servers) -> None:
    one = imprinted("axe")
    polled(one, power=15.0)
    bench_env.set(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    found = scraped(api)

    assert found["testbench_cache_up"] == 0
    assert found[f'testbench_device_up{{device_id="{one}"}}'] == 1
    assert found["total_hardware"] == 1
    assert "total_hashrate" not in found


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_server_that_hangs_does_not_hold_up_a_scrape(api: Api, servers: Servers, name: str) -> None:
    polled(imprinted("axe"), power=15.0)
    scraped(api)

    with servers.paused(name):
        found = scraped(api)

    assert found["testbench_cache_up"] == (name != "redis")
    assert found["testbench_database_up"] == (name != "postgres")


def test_without_the_database_own_health_is_told(api: Api, bench_env: Env) -> None:
    bench_env.set(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none")

    found = scraped(api)

    assert found["testbench_database_up"] == 0
    assert found["testbench_cache_up"] == 1
    assert "process_cpu_seconds_total" in found
    assert not [name for name in found if name.startswith("testbench_device")]


# --- a real Prometheus


def test_prometheus_scrapes_the_bench_and_answers_with_its_values(
    bench_env: Env, tmp_path: Path
) -> None:
    bench_env.set(METRICS_TOKEN="s3cret")
    one, two = imprinted("axe-1", 1), imprinted("axe-2", 2)
    for id, rate in ((one, 500.0), (two, 700.0)):
        with db.transaction() as tx:
            row = devices.find(tx, id)
            row.offline_after_s = 300
        polled(id, hashrate=rate, temp=60.0)

    with served(create_app()) as url, prometheus(url, tmp_path, "s3cret") as server:

        def log() -> str:
            return (tmp_path / "prometheus.log").read_text()

        wait_until(lambda: query(server, "total_hashrate") == {"": 1200}, 30, log)
        assert query(server, "testbench_hashrate_ghs") == {str(one): 500, str(two): 700}
        assert query(server, "axe_1_temperature_celsius") == {"": 60}
        assert query(server, "up") == {"": 1}

        with db.transaction() as tx:
            devices.remove(tx, BENCH, str(two))
        wait_until(lambda: query(server, "total_hashrate") == {"": 500}, 30, log)
        assert query(server, "axe_2_temperature_celsius") == {}
        assert query(server, "testbench_device_up") == {str(one): 1}
