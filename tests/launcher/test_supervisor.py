"""Processes are kept running, restarted with pauses that grow, and stopped tier by tier."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from testbench.launcher import embedded, processes
from testbench.launcher import supervisor as module
from testbench.launcher.instance import Instance, Refused
from testbench.launcher.logs import KEPT, MAX_BYTES, Log
from testbench.launcher.process import Process
from testbench.launcher.supervisor import Supervisor

SLEEPER = "import time; print('here', flush=True); time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here'); time.sleep(300)"
PARENT = "import subprocess; subprocess.run(['sleep', '300'])"


def python(name: str, code: str, patience_s: float = 5) -> Process:
    return Process(name, (sys.executable, "-c", code), patience_s=patience_s)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
def keeper(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path, lambda: None)


def test_a_killed_process_is_started_again(keeper: Supervisor) -> None:
    async def scene() -> tuple[int, int]:
        keeper.start(python("one", SLEEPER))
        await until(lambda: "one" in keeper.pids())
        first = keeper.pids()["one"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.pids().get("one", first) != first)
        second = keeper.pids()["one"]
        await keeper.stop()
        return first, second

    first, second = asyncio.run(scene())
    assert first != second
    assert not psutil.pid_exists(second)


def test_pauses_double_while_a_process_keeps_dying(
    keeper: Supervisor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.04)

    async def scene() -> None:
        keeper.start(python("dying", "raise SystemExit(3)"))
        await asyncio.sleep(1.0)
        await keeper.stop()

    asyncio.run(scene())
    told = [line for line in capfd.readouterr().err.splitlines() if "dying" in line]
    pauses = [line.rpartition("again in ")[2] for line in told]
    assert pauses[:4] == ["0.01 s", "0.02 s", "0.04 s", "0.04 s"]
    assert "ended with code 3" in told[0]


def test_a_process_that_ran_for_long_is_started_again_at_the_shortest_pause(
    keeper: Supervisor, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "STEADY_S", 0.0)

    async def scene() -> None:
        keeper.start(python("steady", "raise SystemExit(3)"))
        await asyncio.sleep(0.6)
        await keeper.stop()

    asyncio.run(scene())
    told = [line for line in capfd.readouterr().err.splitlines() if "steady" in line]
    assert len(told) > 2
    assert {line.rpartition("again in ")[2] for line in told} == {"0.01 s"}


def test_no_child_outlives_its_killed_parent(keeper: Supervisor) -> None:
    async def scene() -> psutil.Process:
        keeper.start(python("parent", PARENT))
        await until(lambda: "parent" in keeper.pids())
        parent = psutil.Process(keeper.pids()["parent"])
        await until(lambda: bool(parent.children()))
        child = parent.children()[0]
        parent.kill()
        await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        await keeper.stop()
        return child

    asyncio.run(scene())


def test_the_last_tier_stops_first_and_the_stubborn_are_killed(
    keeper: Supervisor, tmp_path: Path
) -> None:
    order: list[set[str]] = []
    keeper._changed = lambda: order.append(set(keeper.pids()))

    async def scene() -> None:
        keeper.start(python("service", SLEEPER))
        keeper.start(python("app", STUBBORN, patience_s=0.5))
        log = tmp_path / "logs" / "app.log"
        await until(lambda: len(keeper.pids()) == 2 and log.exists())
        await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            await keeper.stop()

    asyncio.run(scene())
    assert order[-2:] == [{"service"}, set()]


def test_a_bench_that_does_not_listen_is_stopped_within_15_s_all_the_same(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    tiers = [
        (embedded.valkey(instance).process, embedded.postgres(instance).process),
        (embedded.broker(instance).process,),
        (*processes.workers(2), processes.collector(), processes.clock()),
        (processes.demo(),),
    ]
    assert sum(max(process.patience_s for process in tier) for tier in tiers) < 14


def test_a_failing_command_is_refused_with_its_last_words(keeper: Supervisor) -> None:
    async def scene() -> None:
        await keeper.once(python("migration", "print('column missing'); raise SystemExit(1)"))

    with pytest.raises(Refused, match="column missing"):
        asyncio.run(scene())


def test_logs_are_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "one.log", "one")
    for _ in range(KEPT + 3):
        log.write(b"x" * (MAX_BYTES - 10) + b"\n")
    log.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == KEPT + 1
    assert all(file.stat().st_size <= MAX_BYTES for file in files)


def test_errors_come_to_the_console_even_in_pieces(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path / "one.log", "one")
    log.write(b"all is well\nFAT")
    log.write(b"AL: no memory\n2026 [error    ] broken\nan error-free day\n")
    log.close()
    assert capfd.readouterr().err == "[one] FATAL: no memory\n[one] 2026 [error    ] broken\n"
    assert b"all is well" in (tmp_path / "one.log").read_bytes()
