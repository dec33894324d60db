"""The emulator as a program: many devices, a control endpoint, an end on request."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from testbench.launcher import emulator
from testbench.launcher.emulator import Plan, emulate


def free_ports(count: int) -> int:
    """The first of `count` ports that follow each other."""
    with socket.socket() as taken:
        taken.bind(("127.79.0.1", 0))
        return min(taken.getsockname()[1], 65_000 - count)


def program(call: str) -> subprocess.Popen[str]:
    code = f"import sys; from testbench.launcher import emulator; sys.exit(emulator.main({call}))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_it_serves_until_it_is_told_to_end() -> None:
    port = free_ports(21)
    running = program(f"20, host='127.79.0.1', port={port + 1}, control_port={port}")
    try:
        assert running.stdout is not None
        assert f"20 AxeOS devices at 127.79.0.1:{port + 1}" in running.stdout.readline()
        shown = httpx.get(f"http://127.79.0.1:{port}/devices").json()
        assert len({device["mac"] for device in shown}) == 20
        assert {device["version"] for device in shown} == set(emulator.ALL)
        for device in shown:
            info = httpx.get(f"http://{device['address']}/api/system/info").json()
            assert info["macAddr"].lower().replace("-", ":") == device["mac"]
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)
    assert running.returncode == 0


def test_an_address_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.79.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = program(f"1, host='127.79.0.1', port={port}, control_port=None")
        out, _ = running.communicate(timeout=20)

    assert running.returncode == 1
    assert out.startswith("simulate: ")


def test_it_ends_after_its_seconds() -> None:
    running = program(f"1, host='127.79.0.2', port={free_ports(1)}, control_port=None, seconds=0.2")
    running.communicate(timeout=20)

    assert running.returncode == 0


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no firmware version"), emulate(1, ["latest"]):
        pass


def test_places_are_ports_of_a_host_or_addresses_of_a_network() -> None:
    assert list(Plan(2, port=9800).places()) == [("127.0.0.1", 9800), ("127.0.0.1", 9801)]
    assert list(Plan(2, network="127.80.0.0/24", port=80).places()) == [
        ("127.80.0.1", 80),
        ("127.80.0.2", 80),
    ]


def test_a_restart_over_the_control_endpoint_cuts_everything_off() -> None:
    with emulate(1, control_port=0, restart_s=0.1) as fleet:
        with connect(f"ws://{fleet.addresses[0]}/api/ws") as log:
            httpx.post(f"{fleet.control_url}/devices/0/restart").raise_for_status()
            with pytest.raises(ConnectionClosedError):
                list(log)
        end = time.monotonic() + 5
        while fleet.devices[0].restarts == 0:
            assert time.monotonic() < end
            time.sleep(0.02)

        assert fleet.devices[0].restarts == 1


def test_time_may_run_faster() -> None:
    with emulate(1, ["2.12.0"], speed=1000) as fleet:
        time.sleep(0.3)
        info = httpx.get(f"http://{fleet.addresses[0]}/api/system/info").json()

    assert info["uptimeSeconds"] > 250
    assert 55 < info["temp"] < 65
    assert info["sharesAccepted"] > 10
