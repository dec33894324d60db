"""The least a collector can be: paho, json, COPY, acknowledge. Run as a program by the bench."""

import json
import sys
import time
from collections import deque
from urllib.parse import urlsplit

import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 0.05
MAX_BATCH = 2000


def main(broker: str, database: str, count: int) -> None:
    """Take `count` messages; prints `listens`, then `stored`."""
    parts = urlsplit(broker)
    queue: deque[MQTTMessage] = deque()
    client = Client(CallbackAPIVersion.VERSION2, client_id="bare", manual_ack=True)
    if parts.username:
        client.username_pw_set(parts.username, parts.password)
    client.on_connect = lambda c, *_: c.subscribe("devices/+/telemetry", 1)
    client.on_subscribe = lambda *_: print("listens", flush=True)
    client.on_message = lambda _c, _d, message: queue.append(message)
    client.connect(parts.hostname or "", parts.port or 0)
    client.loop_start()
    with psycopg.connect(database) as connection:
        while count > 0:
            time.sleep(WAIT_S)
            batch = [queue.popleft() for _ in range(min(len(queue), MAX_BATCH))]
            _copy(connection, batch)
            for message in batch:
                client.ack(message.mid, message.qos)
            count -= len(batch)
    print("stored", flush=True)
    time.sleep(0.5)
    client.disconnect()


def _copy(connection: psycopg.Connection, batch: list[MQTTMessage]) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY bare_readings FROM STDIN") as copy:
        for message in batch:
            device = message.topic.split("/")[1]
            document = json.loads(message.payload)
            for metric, value in document["values"].items():
                copy.write_row((device, metric, document["ts"], value))
    connection.commit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
