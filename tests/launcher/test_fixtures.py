"""The servers the other tests stand on."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as paho
import pika
import psycopg
import redis

from testbench.settings import settings
from tests.services import Env, Servers


def test_a_database_is_migrated_and_empty(database: str) -> None:
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'users'")
        assert tables.fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)


def test_a_bench_environment_names_the_tests_own_servers(bench_env: Env, database: str) -> None:
    assert settings().database_url == database
    bench_env.set(RATE_LIMIT="3/minute")
    assert settings().rate_limit == "3/minute"


def test_every_test_has_a_virtual_host_of_its_own(rabbitmq_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("mine", durable=True)
        channel.basic_publish("", "mine", b"1")
        assert channel.basic_get("mine", auto_ack=True)[2] == b"1"


def test_redis_starts_again_on_its_port_with_what_it_kept(servers: Servers, redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.set("kept", "1")
    servers.stop("redis")
    servers.start("redis")
    assert client.get("kept") == b"1"


def test_mosquitto_lets_in_only_whom_it_knows(mqtt_url: str) -> None:
    parts = urlsplit(mqtt_url)
    answers: list[bool] = []
    for password in (parts.password, "wrong"):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.username_pw_set(parts.username, password)
        client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(reason.is_failure)
        client.connect(parts.hostname or "", parts.port or 0)
        while client.loop() == 0 and not answers[1 if password == "wrong" else 0 :]:
            pass
        client.disconnect()
    assert answers == [False, True]


def test_influxdb_takes_version_2_writes_and_answers_influxql(influx: dict[str, str]) -> None:
    url, bucket = influx["INFLUXDB_URL"], influx["INFLUXDB_BUCKET"]
    written = httpx.post(
        f"{url}/api/v2/write",
        params={"org": "any", "bucket": bucket, "precision": "ms"},
        content="temp value=21.5 1700000000000",
    )
    assert written.status_code == 204
    query = {"db": bucket, "q": "SELECT value FROM temp", "epoch": "ms"}
    series = httpx.get(f"{url}/query", params=query).json()["results"][0]["series"][0]
    assert series["values"] == [[1700000000000, 21.5]]


def test_the_folder_can_be_passed_by_every_user(folder: Path) -> None:
    assert folder.stat().st_mode & 0o001
