"""The AxeOS driver against emulated devices of every firmware, on real sockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from ipaddress import ip_network
from typing import Any, TypeVar

import httpx
import pytest
from websockets.sync.client import connect

from testbench.adapters.drivers.axeos import Axeos
from testbench.adapters.drivers.base import DeviceFailed
from testbench.domain import axeos
from testbench.domain.errors import Forbidden
from testbench.launcher.emulator import ALL, Device, Fleet, emulate, firmware

T = TypeVar("T")
LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture(scope="module")
def served() -> Iterator[Fleet]:
    with emulate(len(ALL), restart_s=0.3, log_every_s=0.02, control_port=0) as fleet:
        yield fleet


@pytest.fixture
def fleet(served: Fleet) -> Iterator[Fleet]:
    yield served
    for device in served.devices:
        device.reset()


def at(version: str) -> int:
    return ALL.index(version)


def ask(fleet: Fleet, number: int, work: Callable[[Axeos], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        return await work(Axeos(fleet.addresses[number], LOOPBACK, **options))

    return asyncio.run(run())


def info(fleet: Fleet, number: int, **options: Any) -> dict[str, Any]:
    return ask(fleet, number, lambda device: device.info(), **options)


def configure(fleet: Fleet, number: int, **changes: Any) -> None:
    ask(fleet, number, lambda device: device.configure(changes))


@pytest.mark.parametrize("version", ALL)
def test_each_firmware_is_read(fleet: Fleet, version: str) -> None:
    reading = axeos.reading_of(info(fleet, at(version)))

    assert reading.mac == fleet.devices[at(version)].mac
    assert reading.version == f"v{version.removeprefix('nerdqaxe-')}"
    assert {"power", "temp", "hashrate", "expected_hashrate", "fan_rpm"} <= reading.metrics.keys()


def answering(reply: bytes, message: str) -> None:
    """Ask a server that sends `reply` to whoever connects."""

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(DeviceFailed, match=message):
                await Axeos(f"127.0.0.1:{port}", LOOPBACK).info()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "does not answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "cut off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "not a JSON object"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000, "not valid JSON"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"a": "\xff"}', "not valid JSON"),
        (b"HTTP/1.1 418 Teapot\r\n\r\n<b>\x1b[31mno\n", r"answered 418: <b>\[31mno$"),
        (b"HTTP/1.1 401 X\r\n\r\nUnauthorized", "answered 401: Unauthorized"),
    ],
)
def test_a_stranger_at_the_address_is_a_bad_gateway(reply: bytes, message: str) -> None:
    answering(reply, message)


@pytest.mark.parametrize("version", ["2.12.0", "2.4.5", "nerdqaxe-1.0.30"])
def test_a_change_of_frequency_is_taken_and_read_back(fleet: Fleet, version: str) -> None:
    configure(fleet, at(version), frequency=525, temptarget=55)

    assert info(fleet, at(version))["frequency"] == 525


def test_2_15_answers_200_to_top_level_pool_fields_and_changes_nothing(fleet: Fleet) -> None:
    number = at("2.15.0")
    wanted = {"stratumURL": "other.example", "stratumPort": 4444, "stratumPassword": "hush"}

    configure(fleet, number, **wanted)

    found = {entry.key: entry.standing for entry in axeos.differences(wanted, info(fleet, number))}
    assert found == dict.fromkeys(wanted, "ignored")
    assert info(fleet, number)["stratumURL"] == "test.hydrapool.org"


def test_2_15_takes_its_pools_as_a_list(fleet: Fleet) -> None:
    pools = [{"url": "other.example", "port": 4444, "password": "hush"}]

    configure(fleet, at("2.15.0"), pools=pools)

    found = info(fleet, at("2.15.0"))
    assert axeos.differences({"pools": pools}, found)[0].standing == "same"
    assert found["pools"][0]["password"] == "*****"


def test_before_2_15_pool_fields_are_taken_and_act_after_a_restart(fleet: Fleet) -> None:
    number, device = at("2.13.0"), fleet.devices[at("2.13.0")]

    configure(fleet, number, stratumURL="other.example")
    assert info(fleet, number)["stratumURL"] == "other.example"
    assert device.mining_at == "test.hydrapool.org"

    ask(fleet, number, lambda one: one.restart())
    until(lambda: device.restarts == 1)
    assert device.mining_at == "other.example"


@pytest.mark.parametrize(("version", "counts"), [("2.10.0", True), ("2.11.0", False)])
def test_fanspeed_counts_until_2_10(fleet: Fleet, version: str, counts: bool) -> None:
    configure(fleet, at(version), autofanspeed=0, fanspeed=33)

    assert (info(fleet, at(version))["fanspeed"] == 33) is counts


def test_unknown_keys_are_ignored_with_200(fleet: Fleet) -> None:
    configure(fleet, at("2.12.0"), novelty=1)

    assert axeos.differences({"novelty": 1}, info(fleet, at("2.12.0")))[0].standing == (
        "not_reported"
    )


@pytest.mark.parametrize(
    "bad", [{"temptarget": 67}, {"temptarget": 34}, {"hostname": "x" * 33}, {"frequency": "600"}]
)
def test_since_2_11_one_bad_value_refuses_all(fleet: Fleet, bad: dict[str, Any]) -> None:
    with pytest.raises(DeviceFailed, match="The device answered 400: Wrong API input") as refused:
        configure(fleet, at("2.14.0"), minFanSpeed=31, **bad)

    assert refused.value.answer == 400
    assert refused.value.status == 502
    assert info(fleet, at("2.14.0"))["minFanSpeed"] != 31


def test_before_2_11_the_good_ones_are_taken(fleet: Fleet) -> None:
    configure(fleet, at("2.4.5"), frequency=444, hostname="x" * 33)

    assert info(fleet, at("2.4.5"))["frequency"] == 444


def test_a_body_of_10_kilobytes_is_too_long(fleet: Fleet) -> None:
    with pytest.raises(DeviceFailed, match="The device answered 500: content too long"):
        configure(fleet, at("2.12.0"), stratumUser="x" * 10_240)


def test_invalid_json_is_answered_400(fleet: Fleet) -> None:
    answer = httpx.patch(f"http://{fleet.addresses[0]}/api/system", content=b"{")

    assert (answer.status_code, answer.text) == (400, "Invalid JSON")


@pytest.mark.parametrize(("version", "kind"), [("2.12.0", "text/html"), ("2.13.0", "application/")])
def test_a_restart_takes_the_device_away_and_counts_from_zero(
    fleet: Fleet, version: str, kind: str
) -> None:
    number, device = at(version), fleet.devices[at(version)]
    before = device.restarts

    answer = httpx.post(f"http://{fleet.addresses[number]}/api/system/restart")
    assert answer.headers["content-type"].startswith(kind)
    time.sleep(0.15)
    with pytest.raises(DeviceFailed, match="does not answer") as gone:
        info(fleet, number)
    assert gone.value.answer is None
    until(lambda: device.restarts > before)

    assert info(fleet, number)["uptimeSeconds"] == 0


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 401), ("http://8.8.8.8", 401), ("null", 401), ("http://1.2.3", 401),
     ("http://192.168.1.7", 200), ("http://10.0.0.1:8080/", 200)],
)  # fmt: skip
def test_a_foreign_origin_is_unauthorized(fleet: Fleet, origin: str, status: int) -> None:
    url = f"http://{fleet.addresses[0]}/api/system/info"

    assert httpx.get(url, headers={"Origin": origin}).status_code == status


# --- faults ---------------------------------------------------------------------------------------


def test_a_hanging_device_fails_by_the_deadline(fleet: Fleet) -> None:
    fleet.switch([0], hanging=True)

    took = failing(fleet, "did not answer within 0.3 s")

    assert took < 1


def test_a_device_that_drips_fails_by_the_same_deadline(fleet: Fleet) -> None:
    fleet.switch([0], drip=True)

    assert failing(fleet, "did not answer within 0.3 s") < 1


def test_a_slow_device_is_waited_for(fleet: Fleet) -> None:
    fleet.switch([0], slow_s=0.3)

    assert info(fleet, 0, info_s=2)["ASICModel"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [({"garbage": True}, "not valid JSON"), ({"huge": True}, "larger than 1 MiB"),
     ({"dead": True}, "does not answer"), ({"redirect": "http://127.0.0.1/"}, "answered 302")],
)  # fmt: skip
def test_bad_answers_are_bad_gateways(fleet: Fleet, fault: dict[str, Any], message: str) -> None:
    fleet.switch([0], **fault)

    failing(fleet, message, info_s=5)


def test_wrong_types_read_as_absent(fleet: Fleet) -> None:
    fleet.switch([0], wrong_types=True)

    reading = axeos.reading_of(info(fleet, 0))

    assert reading.mac == fleet.devices[0].mac
    assert reading.hostname is None
    assert len(reading.metrics) < 8


def test_a_changing_mac_is_seen(fleet: Fleet) -> None:
    fleet.switch([0], changing_mac=True)

    macs = {axeos.reading_of(info(fleet, 0)).mac for _ in range(3)}

    assert len(macs) == 3
    assert fleet.devices[0].mac not in macs


def test_faults_are_switched_over_http_too(fleet: Fleet) -> None:
    shown = httpx.patch(f"{fleet.control_url}/devices/0", json={"garbage": True}).json()
    assert [device["faults"]["garbage"] for device in shown][:2] == [True, False]
    failing(fleet, "not valid JSON")

    assert httpx.patch(f"{fleet.control_url}/devices", json={"bogus": 1}).status_code == 422
    assert httpx.get(f"{fleet.control_url}/devices/99").status_code == 404
    assert httpx.patch(f"{fleet.control_url}/devices", json={"garbage": False}).is_success
    assert info(fleet, 0)["ASICModel"]


def test_a_device_outside_the_allowed_networks_is_never_called(fleet: Fleet) -> None:
    polls = fleet.devices[0].polls

    async def run() -> None:
        await Axeos(fleet.addresses[0], [ip_network("10.0.0.0/8")]).info()

    with pytest.raises(Forbidden):
        asyncio.run(run())
    assert fleet.devices[0].polls == polls


def test_the_log_follows_no_redirect_and_no_foreign_network(fleet: Fleet) -> None:
    fleet.switch([1], redirect=f"http://{fleet.addresses[2]}/api/ws")

    with pytest.raises(DeviceFailed, match="answered 302"):
        lines(fleet, 1, 1)


# --- logs -----------------------------------------------------------------------------------------


def lines(fleet: Fleet, number: int, count: int) -> list[str]:
    async def run() -> list[str]:
        found: list[str] = []
        async with aclosing(Axeos(fleet.addresses[number], LOOPBACK).logs()) as logs:
            async for line in logs:
                found.append(line)
                if len(found) == count:
                    break
        return found

    return asyncio.run(run())


def test_chunks_that_end_anywhere_are_joined_into_whole_lines(fleet: Fleet) -> None:
    found = lines(fleet, at("2.12.0"), 100)

    assert all(line.startswith("₿ (") and "\x1b" not in line for line in found)
    assert all(line.split(") ")[1].split(":")[0] in
               {"power_management", "stratum_task", "asic_result"} for line in found)  # fmt: skip
    assert any("°C" in line for line in found)
    assert "\ufffd" not in "".join(found), "no character was torn"


def test_ten_follow_the_log_and_the_eleventh_is_told_429(fleet: Fleet) -> None:
    number = at("2.11.0")
    sockets = [connect(f"ws://{fleet.addresses[number]}/api/ws") for _ in range(10)]
    try:
        with pytest.raises(DeviceFailed, match="429: Max WebSocket clients reached") as refused:
            lines(fleet, number, 1)
        assert refused.value.answer == 429
    finally:
        for socket in sockets:
            socket.close()
    until(lambda: bool(lines_or_none(fleet, number)))


def test_a_restart_cuts_the_log_off(fleet: Fleet) -> None:
    number = at("2.1.8")

    async def run() -> None:
        async for _ in Axeos(fleet.addresses[number], LOOPBACK).logs():
            fleet.restart(number)

    with pytest.raises(DeviceFailed, match="cut off"):
        asyncio.run(run())


# --- the chip -------------------------------------------------------------------------------------


def after_five_minutes(**settings: Any) -> dict[str, float | bool]:
    now = 0.0
    device = Device(firmware("2.12.0"), seed=3, clock=lambda: now)
    device.settings |= settings
    for _ in range(300):
        now += 1
        found = device.info()
    return {name: value for name, (value, _) in axeos.reading_of(found).metrics.items()}


def test_600_mhz_at_1200_mv_is_cool_and_fast() -> None:
    metrics = after_five_minutes()

    assert metrics["temp"] < 65
    assert metrics["hashrate"] > 0.95 * metrics["expected_hashrate"]


def test_too_little_voltage_costs_hashes() -> None:
    metrics = after_five_minutes(frequency=700, coreVoltage=1200)

    assert metrics["hashrate"] < 0.95 * metrics["expected_hashrate"]


def test_more_voltage_makes_heat_and_a_slow_fan_keeps_it() -> None:
    cool = after_five_minutes(autofanspeed=False, manualFanSpeed=100)
    slow_fan = after_five_minutes(autofanspeed=False, manualFanSpeed=10)
    volts = after_five_minutes(coreVoltage=1300, autofanspeed=False, manualFanSpeed=100)

    assert cool["temp"] < volts["temp"] < slow_fan["temp"]
    assert slow_fan["temp"] > 65
    assert volts["power"] > cool["power"]


def test_overheating_throttles_until_a_person_resets_it() -> None:
    metrics = after_five_minutes(frequency=900, coreVoltage=1400)

    assert metrics["overheat_mode"] is True
    assert metrics["frequency"] == 50


def test_the_same_seed_gives_the_same_figures() -> None:
    assert after_five_minutes() == after_five_minutes()


def until(done: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def failing(fleet: Fleet, message: str, info_s: float = 0.3) -> float:
    began = time.monotonic()
    with pytest.raises(DeviceFailed, match=message):
        info(fleet, 0, info_s=info_s)
    return time.monotonic() - began


def lines_or_none(fleet: Fleet, number: int) -> list[str] | None:
    with suppress(DeviceFailed):
        return lines(fleet, number, 1)
    return None
