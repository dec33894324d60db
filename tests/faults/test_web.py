"""The web process dies: what it has accepted goes on, and what it may have accepted is told."""

import threading
import time
import uuid

import httpx

from tests.faults import invariants
from tests.faults.stage import Stage
from tests.services import wait_until


def test_a_run_accepted_just_before_the_kill_is_sent_and_ends(stage: Stage) -> None:
    devices, case = stage.devices[:3], stage.case(2.0)
    with stage.reporting(*devices):
        with stage.frozen("clock"):
            runs = [stage.start(case, device) for device in devices]
            stage.kill("web")
        # Without the web process readings wait at the devices: what is judged may be nothing.
        assert set(stage.ended(*runs)) <= {"pass", "error"}
    for run in runs:
        lines = [line for line in stage.lines(run) if line != "fault"]
        assert lines == ["queued", "started", "window", "judged", "callback", *lines[5:]]
        assert len(lines) == 6


def test_a_start_whose_answer_was_lost_starts_one_run_when_repeated(stage: Stage) -> None:
    case = stage.case()
    bodies = [{"test_case_id": case, "device_ids": [str(d.id)]} for d in stage.devices]
    keys = [uuid.uuid4().hex for _ in bodies]
    answers: dict[str, str] = {}

    def insist(body: dict[str, object], key: str) -> None:
        while key not in answers:
            try:
                headers = {"Idempotency-Key": key}
                answer = stage.http.post("/api/test-runs", json=body, headers=headers)
                if answer.status_code == 201:
                    answers[key] = answer.json()["id"]
            except httpx.HTTPError:
                time.sleep(0.1)

    threads = [
        threading.Thread(target=insist, args=(body, key))
        for body, key in zip(bodies, keys, strict=True)
    ]
    with stage.reporting(*stage.devices):
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 0, 10)
        stage.kill("web")
        for thread in threads:
            thread.join()
        stage.accepted += answers.values()
        stage.ended(*answers.values())
    started = stage.db.execute("SELECT count(*) FROM runs WHERE test_case_id = %s", (case,))
    assert started.fetchone() == (len(bodies),)


def test_readings_acknowledged_over_http_survive_the_kill(stage: Stage) -> None:
    with stage.reporting(*stage.devices[:5]) as sent:
        time.sleep(1)
        stage.kill("web")
        before = sum(map(len, sent.values()))
        wait_until(lambda: sum(map(len, sent.values())) > before + 20, 20)
    invariants.every_reading_is_accounted_for(stage.db, sent)
