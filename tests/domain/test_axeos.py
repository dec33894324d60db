"""AxeOS answers of every firmware, and what each firmware does with a configuration."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbench.domain import axeos
from testbench.domain.errors import BadGateway
from testbench.domain.telemetry import check

DATA = Path(__file__).parents[1] / "data" / "axeos"
NOW = 1_790_000_000_000


def recorded(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"info_{name}.json").read_text())


ALL = sorted(path.stem.removeprefix("info_") for path in DATA.glob("*.json"))


def values(name: str) -> dict[str, float | bool]:
    return {key: value for key, (value, _) in axeos.reading_of(recorded(name)).metrics.items()}


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_firmware_gives_the_common_metrics_and_passes_the_ingest(name: str) -> None:
    reading = axeos.reading_of(recorded(name))

    assert {"power", "voltage", "current", "temp", "hashrate", "expected_hashrate", "frequency",
            "shares_accepted", "shares_rejected", "efficiency", "fan_rpm", "uptime",
            "best_diff"} <= reading.metrics.keys()  # fmt: skip
    assert all(axeos.UNITS[metric] == unit for metric, (_, unit) in reading.metrics.items())
    sent = check({"ts": NOW, "values": {k: v for k, (v, _) in reading.metrics.items()}}, NOW)
    assert len(sent.points) == len(reading.metrics)
    assert reading.mac is not None
    assert reading.model
    assert axeos.version_of(reading.version) is not None


def test_2_12_is_read_with_units_scaled_to_volts_and_amps() -> None:
    reading = axeos.reading_of(recorded("v2.12.0_BM1370"))

    assert reading.mac == "d8:3b:da:00:12:a0"
    assert reading.hostname == "bitaxe_C0D1"
    assert reading.model == "BM1370"
    assert reading.version == "v2.12.0"
    assert reading.pool == ("test.hydrapool.org", 3333)
    assert reading.metrics["power"] == (23.6954327, "W")
    assert reading.metrics["voltage"] == (pytest.approx(5.0078125), "V")
    assert reading.metrics["current"] == (pytest.approx(15.640625), "A")
    assert reading.metrics["core_voltage"] == (pytest.approx(1.2), "V")
    assert reading.metrics["temp"] == (59.75, "°C")
    assert reading.metrics["hashrate"] == (1234.3735352, "GH/s")
    assert reading.metrics["expected_hashrate"] == (1224.0, "GH/s")
    assert reading.metrics["shares_rejected"] == (0.0, ""), "zeros are kept"
    assert reading.metrics["efficiency"] == (pytest.approx(23.6954327 / 1.2343735352), "J/TH")
    assert "temp2" not in reading.metrics, "-1 says that there is no sensor"


def test_2_4_5_gives_its_git_version_and_the_expected_hashrate_is_worked_out() -> None:
    reading = axeos.reading_of(recorded("v2.4.5_BM1368"))

    assert axeos.version_of(reading.version) == (2, 4, 5)
    assert reading.metrics["expected_hashrate"] == (pytest.approx(490 * 1276 / 1000), "GH/s")
    assert reading.metrics["best_diff"] == (483_000.0, "")
    assert reading.metrics["current"] == (pytest.approx(0.52125), "A")


def test_2_0_4_has_its_fan_under_the_old_name_and_its_wifi_password_removed() -> None:
    reading = axeos.reading_of(recorded("v2.0.4_BM1366"))

    assert reading.mac == "c0:fa:38:00:12:a1"
    assert reading.metrics["fan_rpm"] == (3583.0, "rpm")
    assert reading.metrics["best_diff"] == (4.29e9, "")
    assert "vr_temp" not in reading.metrics
    assert "lab-secret" not in json.dumps(reading.info)


def test_2_11_changes_difficulties_to_numbers_and_nothing_changes_for_us() -> None:
    assert values("v2.10.0_BM1370")["best_diff"] == pytest.approx(3.47e9)
    assert values("v2.11.0_BM1370")["best_diff"] == 3468978118.0


def test_2_14_changes_integers_to_bools_and_both_read_as_bools() -> None:
    assert values("v2.12.0_BM1370")["overheat_mode"] is False
    assert values("v2.14.0_BM1370")["overheat_mode"] is False
    assert values("v2.14.0_BM1370")["mining_paused"] is False
    assert "mining_paused" not in values("v2.12.0_BM1370")


def test_2_15_names_its_pool_in_a_list_whose_passwords_are_removed() -> None:
    reading = axeos.reading_of(recorded("v2.15.0_BM1370"))

    assert reading.pool == ("test.hydrapool.org", 3333)
    assert [sorted(pool) for pool in reading.info["pools"]] == [["port", "url", "user"]] * 2


def test_a_nerdqaxe_is_told_apart_and_its_amps_and_second_fan_are_found() -> None:
    reading = axeos.reading_of(recorded("nerdqaxe_v1.0.30"))

    assert reading.family == "nerdqaxe"
    assert reading.model == "NerdQAxe++"
    assert reading.metrics["current"] == (pytest.approx(6.3529), "A")
    assert reading.metrics["fan2_rpm"] == (3980.0, "rpm")
    assert reading.metrics["expected_hashrate"] == (pytest.approx(600 * 2040 * 4 / 1000), "GH/s")


def test_unknown_fields_are_kept_in_info() -> None:
    info = recorded("v2.12.0_BM1370") | {"flux": {"level": 88}, "novelty": "yes"}

    assert axeos.reading_of(info).info["flux"] == {"level": 88}
    assert axeos.reading_of(info).info["novelty"] == "yes"
    assert "novelty" not in axeos.reading_of(info).metrics


@pytest.mark.parametrize(
    ("sent", "number"),
    [("4.29G", 4.29e9), ("483k", 483_000.0), ("0", 0.0), ("1.5 T", 1.5e12), (" 7 ", 7.0),
     ("1e3", 1000.0), (12, 12.0), ("2P", 2e15), ("3M", 3e6)],
)  # fmt: skip
def test_numbers_are_read_also_from_text(sent: object, number: float) -> None:
    assert axeos.number_of(sent) == pytest.approx(number)


@pytest.mark.parametrize(
    "sent",
    ["hot", "", "G", "1.2.3", "nan", "inf", "9" * 400, None, True, [], {}, math.nan, 10**400],
)
def test_what_is_no_number_is_absent(sent: object) -> None:
    assert axeos.number_of(sent) is None


def test_wrong_types_leave_their_metric_out_and_the_rest_in() -> None:
    info = recorded("v2.12.0_BM1370") | {
        "power": "a lot", "voltage": None, "hashRate": [1], "macAddr": 5, "overheat_mode": "no",
        "version": {"a": 1}, "pools": {"url": 1}, "hostname": 7, "stratumPort": "x",
    }  # fmt: skip
    reading = axeos.reading_of(info)

    assert reading.mac is None
    assert reading.hostname is None
    assert reading.version is None
    assert not {"power", "voltage", "hashrate", "efficiency", "overheat_mode"} & set(
        reading.metrics
    )
    assert reading.metrics["temp"] == (59.75, "°C")


@pytest.mark.parametrize("answer", [None, [], "x", 5, {}, {"ASICModel": 3}, {"ASICModel": "\x00"}])
def test_what_is_no_axeos_answer_is_a_bad_gateway(answer: object) -> None:
    with pytest.raises(BadGateway, match="AxeOS"):
        axeos.reading_of(answer)


def test_no_hashes_have_no_efficiency() -> None:
    metrics = axeos.reading_of(recorded("v2.12.0_BM1370") | {"hashRate": 0}).metrics

    assert metrics["hashrate"] == (0.0, "GH/s")
    assert "efficiency" not in metrics


@pytest.mark.parametrize(
    "key",
    ["wifiPass", "wifiPassword", "stratumPassword", "fallbackStratumPassword", "password",
     "mqttPassword", "influxToken", "apiKey", "WIFIPASS"],
)  # fmt: skip
def test_secrets_are_removed_at_any_depth(key: str) -> None:
    kept = axeos.without_secrets({"a": [{"b": {key: "hush", "c": 1}}], key: "hush"})

    assert kept == {"a": [{"b": {"c": 1}}]}


def test_a_password_within_a_url_is_hidden() -> None:
    kept = axeos.without_secrets({"stratumURL": "stratum+tcp://me:hush@pool.example:3333"})

    assert kept == {"stratumURL": "stratum+tcp://me:*****@pool.example:3333"}


def test_hostile_strings_stay_text_a_database_can_hold() -> None:
    info = recorded("v2.12.0_BM1370") | {
        "hostname": "<script>\x00\x1b[31m\r\n" + "x" * 10_000,
        "note": "a\x00b\ud800" + "y" * 10_000, "nan": math.nan,
    }  # fmt: skip
    reading = axeos.reading_of(info)

    assert reading.hostname is not None
    assert reading.hostname.startswith("<script>[31mxxx")
    assert len(reading.hostname) == 200
    stored = json.dumps(reading.info, allow_nan=False, ensure_ascii=False).encode()
    assert b"\\u0000" not in stored
    assert len(reading.info["note"]) <= 4096


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(recorded("v2.15.0_BM1370"))), json_values))
def test_no_answer_breaks_the_reader(changes: dict[str, Any]) -> None:
    info = recorded("v2.15.0_BM1370") | changes | {"ASICModel": "BM1370"}
    reading = axeos.reading_of(info)

    assert all(math.isfinite(value) for value, _ in reading.metrics.values())
    json.dumps(reading.info, allow_nan=False).encode()


# --- configuration --------------------------------------------------------------------------------

POOL = {"stratumURL": "pool.example", "stratumPort": 3333, "stratumPassword": "hush"}


def test_before_2_15_pool_fields_are_sent_and_need_a_restart() -> None:
    plan = axeos.plan("v2.12.0", POOL)

    assert plan == axeos.Plan(send=POOL, ignored=[], restart=True)


def test_from_2_15_top_level_pool_fields_are_ignored() -> None:
    plan = axeos.plan("v2.15.0", POOL | {"frequency": 525})

    assert plan.send == {"frequency": 525}
    assert plan.ignored == list(POOL)
    assert not plan.restart
    assert axeos.why_ignored("v2.15.0", "stratumURL") == "ignored by this firmware; pools counts"


@pytest.mark.parametrize(
    ("version", "send", "ignored"),
    [("v2.10.9", "fanspeed", "manualFanSpeed"), ("v2.11.0", "manualFanSpeed", "fanspeed")],
)
def test_the_manual_fan_speed_changed_its_name_with_2_11(
    version: str, send: str, ignored: str
) -> None:
    plan = axeos.plan(version, {"fanspeed": 60, "manualFanSpeed": 60})

    assert plan.send == {send: 60}
    assert plan.ignored == [ignored]


def test_of_an_unknown_version_or_key_nothing_is_held_back() -> None:
    assert axeos.plan(None, POOL).send == POOL
    assert axeos.plan("nightly", POOL).ignored == []
    assert axeos.plan("v1.0.30", {"manualFanSpeed": 60}).send == {"manualFanSpeed": 60}
    assert axeos.plan("v2.15.0", {"future": 1}) == axeos.Plan({"future": 1}, [], restart=False)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("temptarget", 34, "must be 35 to 66"), ("temptarget", 67, "must be 35 to 66"),
        ("temptarget", 66, None), ("hostname", "", "must be 1 to 32 characters"),
        ("hostname", "x" * 33, "must be 1 to 32 characters"), ("hostname", "x" * 32, None),
        ("hostname", "\ud800", None),
        ("frequency", "600", "must be a number"), ("frequency", 600.5, None),
        ("autofanspeed", "yes", "must be true or false"), ("autofanspeed", 1, None),
        ("pools", {}, "must be a list"), ("future", object(), None),
    ],
)  # fmt: skip
def test_what_a_device_would_refuse_is_known_before(key: str, value: object, fault: str) -> None:
    assert axeos.fault_of(key, value) == fault


def test_desired_and_reported_are_compared_field_by_field() -> None:
    reported = recorded("v2.12.0_BM1370")
    desired = {
        "frequency": 600.0, "coreVoltage": 1250, "autofanspeed": True, "fanspeed": 80,
        "stratumPassword": "hush", "future": 1, "hostname": "bitaxe_C0D1",
    }  # fmt: skip

    found = {entry.key: entry for entry in axeos.differences(desired, reported)}

    assert found["frequency"].standing == "same"
    assert found["coreVoltage"] == ("coreVoltage", 1250, 1200, "differs")
    assert found["autofanspeed"].standing == "same", "1 is true"
    assert found["fanspeed"].standing == "ignored"
    assert found["stratumPassword"] == ("stratumPassword", None, None, "write_only")
    assert found["future"].standing == "not_reported"
    assert found["hostname"].standing == "same"


def test_pools_compare_without_their_passwords() -> None:
    reported = recorded("v2.15.0_BM1370")
    pool = {"url": "test.hydrapool.org", "port": "3333", "password": "hush"}

    same = axeos.differences({"pools": [pool]}, reported)
    other = axeos.differences({"pools": [pool | {"port": 4444}]}, reported)

    assert [entry.standing for entry in same + other] == ["same", "differs"]
    assert "hush" not in repr(same + other)


def test_single_precision_is_no_difference() -> None:
    reported = recorded("v2.12.0_BM1370") | {"frequency": 600.0999755859375}

    assert axeos.differences({"frequency": 600.1}, reported)[0].standing == "same"
