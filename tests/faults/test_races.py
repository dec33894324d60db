"""Many at once: for the same devices, and for the end of the same run."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testbench.adapters import queue
from tests.faults import invariants
from tests.faults.stage import Device, Stage
from tests.services import Env

CLIENTS = 50
ROUNDS = 6


def test_fifty_clients_for_overlapping_devices_get_all_or_none(stage: Stage) -> None:
    case, barrier = stage.case(60.0), threading.Barrier(CLIENTS)

    def client(number: int) -> list[int]:
        chance = random.Random(number)
        statuses: list[int] = []
        barrier.wait(30)
        for _ in range(3):
            answer = stage.ask(case, chance.sample(stage.devices, 3))
            statuses.append(answer.status_code)
            if answer.status_code == 201 and chance.random() < 0.8:
                run = answer.json()["id"]
                statuses.append(stage.http.post(f"/api/test-runs/{run}/cancel").status_code)
        return statuses

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = [status for many in pool.map(client, range(CLIENTS)) for status in many]
    invariants.no_device_is_in_two_active_runs(stage.db)
    assert set(statuses) == {200, 201, 409}
    for run in stage.db.execute("SELECT id FROM runs WHERE outcome IS NULL").fetchall():
        assert stage.http.post(f"/api/test-runs/{run[0]}/cancel").status_code == 200


def test_a_cancel_that_races_the_end_leaves_one_end(stage: Stage) -> None:
    case = stage.case(0.3, grace_s=0.0)

    def race(device: Device, pause: float) -> str:
        run = stage.start(case, device)
        time.sleep(pause)
        answer = stage.http.post(f"/api/test-runs/{run}/cancel")
        while (shown := stage.http.get(f"/api/test-runs/{run}").json())["outcome"] is None:
            time.sleep(0.02)
        outcome = str(shown["outcome"])
        assert answer.status_code == (200 if outcome == "aborted" else 409), outcome
        return outcome

    def race_for(number: int) -> list[str]:
        chance = random.Random(number)
        return [race(stage.devices[number], chance.uniform(0.1, 0.8)) for _ in range(ROUNDS)]

    # One thread a device, so that no start finds its device taken.
    with stage.reporting(*stage.devices), ThreadPoolExecutor(len(stage.devices)) as pool:
        outcomes = {one for many in pool.map(race_for, range(len(stage.devices))) for one in many}
    # On busy cores no reading may fall into so short a window: that run says `error`, rightly.
    assert {"aborted", "pass"} <= outcomes <= {"aborted", "pass", "error"}


def test_a_message_delivered_many_times_does_its_step_once(stage: Stage, monkeypatch: Any) -> None:
    env = Env(monkeypatch)
    env.set(RABBITMQ_URL=stage.servers.url("rabbitmq"))
    device = stage.devices[0]
    with stage.reporting(device):
        run = stage.start(stage.case(teardown="restore"), device)
        while stage.run(run, "outcome")[0] is None:
            now = stage.run(run, "step")[0]
            for step in (*range(now + 3), now, now):
                queue.send("runs.step", run, step)
            time.sleep(0.05)
    steps = ["queued", "started", "window", "judged", "teardown", "callback", "completed"]
    assert stage.lines(run) == steps
    queue.broker().close()


def test_poison_on_the_queue_stops_nobody(stage: Stage, monkeypatch: Any) -> None:
    Env(monkeypatch).set(RABBITMQ_URL=stage.servers.url("rabbitmq"))
    poison: list[tuple[Any, ...]] = [(), ("no id", 1), (None, None), ("x" * 10_000, "y"), (1, 2, 3)]
    for arguments in poison * 5:
        queue.send("runs.step", *arguments)
    queue.send("no.such.actor", 1)
    raw: Any = queue.broker()
    raw.channel.basic_publish("", queue.QUEUE, b"\x00 not JSON")
    queue.broker().close()
    device = stage.devices[0]
    with stage.reporting(device):
        assert stage.ended(stage.start(stage.case(), device)) == ["pass"]
