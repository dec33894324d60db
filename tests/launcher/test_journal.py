"""No process outlives what started it: groups are written down, and ended by whoever is left."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil

from testbench.launcher.journal import Journal, born

PARENT = "import subprocess, time; subprocess.Popen(['sleep', '300']); time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"


def start(journal: Journal, code: str) -> "subprocess.Popen[bytes]":
    descriptor = journal.open()
    child = subprocess.Popen(
        (sys.executable, "-c", code),
        start_new_session=True,
        preexec_fn=partial(born, descriptor, signal.SIGTERM),  # noqa: PLW1509 (no threads here)
    )
    os.close(descriptor)
    return child


def family(pid: int, size: int) -> list[psutil.Process]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        parent = psutil.Process(pid)
        found = [parent, *parent.children(recursive=True)]
        if len(found) == size:
            return found
        time.sleep(0.02)
    raise AssertionError("the children did not start")


def are_gone(processes: list[psutil.Process]) -> bool:
    gone, _ = psutil.wait_procs(processes, timeout=5)
    return len(gone) == len(processes)


def test_a_group_is_ended_with_its_children(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    child = start(journal, PARENT)
    members = family(child.pid, 2)
    assert journal.bury() == [child.pid]
    assert are_gone(members)


def test_children_are_ended_though_their_parent_was_killed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    child = start(journal, PARENT)
    members = family(child.pid, 2)
    child.kill()
    child.wait()
    assert journal.bury() == [child.pid]
    assert are_gone(members)


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    child = start(journal, STUBBORN)
    time.sleep(0.3)
    journal.bury(patience_s=0.2)
    assert child.wait(5) == -signal.SIGKILL


def test_a_number_that_was_given_anew_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    stranger = subprocess.Popen(("sleep", "300"), start_new_session=True)
    try:
        journal.path.write_text(f"+{stranger.pid} 15\n")
        long_ago = time.time() - 3600
        os.utime(journal.path, (long_ago, long_ago))
        assert journal.bury() == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_has_died_is_not_looked_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    child = start(journal, PARENT)
    members = family(child.pid, 2)
    journal.died(child.pid)
    assert journal.bury() == []
    assert all(member.is_running() for member in members)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def test_the_undertaker_ends_all_when_the_pipe_closes(tmp_path: Path) -> None:
    child = start(Journal(tmp_path), PARENT)
    members = family(child.pid, 2)
    undertaker = subprocess.Popen(
        (sys.executable, "-m", "testbench.launcher.undertaker", str(tmp_path)),
        stdin=subprocess.PIPE,
    )
    time.sleep(0.3)
    assert all(member.is_running() for member in members)
    undertaker.communicate(timeout=10)
    assert are_gone(members)
