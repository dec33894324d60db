"""What devices' readings are called in Prometheus, whatever the devices are called."""

import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbench.domain.axeos import UNITS
from testbench.domain.metrics import Exposition, Member, exposed, label, prefixes, sanitised
from testbench.domain.metrics.words import LABELS, in_order, label_of

MACS = ["aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02", "aa:bb:cc:00:00:03"]


def stored(value: object, unit: str | None = None) -> str:
    """A value as the snapshot has it."""
    shown = [value] if unit is None else [value, unit]
    return f"1780272000000|{json.dumps(shown, ensure_ascii=False, separators=(',', ':'))}"


def exposition(*devices: dict[str, object], prefix: str = "", axeos: bool = False) -> str:
    """What is written of devices 0, 1, …; a value may be a pair with its unit."""
    told = Exposition()
    for number, values in enumerate(devices):
        readings = [
            (metric, stored(*value) if isinstance(value, tuple) else stored(value))
            for metric, value in values.items()
        ]
        told.add(Member(f'{{device_id="{number}"}} ', prefix, axeos), readings)
    return told.text()


def samples(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def check(text: str) -> None:
    """promtool has nothing to say against it."""
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode() + text


def test_metrics_of_axeos_have_the_names_that_dashboards_know() -> None:
    names = {metric: exposed(metric, "", axeos=True).name for metric in UNITS}

    assert names["power"] == "power_watts"
    assert names["voltage"] == "voltage_volts"
    assert names["current"] == "current_amps"
    assert names["temp"] == "temperature_celsius"
    assert names["hashrate"] == "hashrate_ghs"
    assert names["shares_accepted"] == "shares_accepted"
    assert names["shares_rejected"] == "shares_rejected"
    assert names["efficiency"] == "efficiency"
    assert names["fan_rpm"] == "fan_rpm"
    assert len(set(names.values())) == len(names)
    assert all(name.isidentifier() for name in names.values())


def test_unit_of_another_device_is_what_it_said() -> None:
    assert exposed("temp", "").name == "temp"
    assert exposed("temp", "°C").name == "temperature_celsius"
    assert exposed("fanSpeed", "%").name == "fan_speed_percent"
    assert exposed("power_watts", "W").name == "power_watts"


def test_milliseconds_become_seconds() -> None:
    text = exposition({"response_time": (42.0, "ms")}, axeos=True, prefix="axe")

    assert samples(text) == [
        'testbench_response_time_seconds{device_id="0"} 0.042',
        "axe_response_time_seconds 0.042",
    ]


def test_both_styles_are_written_with_zeros_and_without_what_is_absent() -> None:
    text = exposition({"power": (0.0, "W"), "note": "text"}, axeos=True, prefix="axe")

    assert samples(text) == ['testbench_power_watts{device_id="0"} 0.0', "axe_power_watts 0.0"]
    check(text)


def test_bools_are_numbers_and_strings_are_left_out() -> None:
    text = exposition({"fan": True, "door": False, "state": 'a "b", 1]'})

    assert samples(text) == [
        'testbench_fan{device_id="0"} 1',
        'testbench_door{device_id="0"} 0',
    ]


def test_each_family_stands_once_with_all_its_samples() -> None:
    text = exposition({"a": 1.0, "z": 2.0}, {"z": 3.0, "a": 4.0})

    assert samples(text) == [
        'testbench_a{device_id="0"} 1.0',
        'testbench_a{device_id="1"} 4.0',
        'testbench_z{device_id="0"} 2.0',
        'testbench_z{device_id="1"} 3.0',
    ]
    assert len(re.findall("^# TYPE", text, re.M)) == len(re.findall("^# HELP", text, re.M)) == 2
    check(text)


@pytest.mark.parametrize("turned", [False, True])
def test_two_metrics_of_a_device_that_want_one_name_are_told_apart(turned: bool) -> None:
    values: dict[str, object] = {"power": (1.0, "W"), "power_watts": 2.0, "power.watts": 3.0}
    if turned:
        values = dict(reversed(values.items()))

    text = exposition({"power_watts": 9.0}, values)

    lines = samples(text)
    # Whose name it is does not depend on the order; another device's metric keeps it.
    assert 'testbench_power_watts{device_id="0"} 9.0' in lines
    assert 'testbench_power_watts{device_id="1"} 1.0' in lines
    assert sum(line.startswith("testbench_power_watts__") for line in lines) == 2
    assert len({line.partition(" ")[0] for line in lines}) == 4
    check(text)


def test_no_metric_takes_a_name_of_the_bench() -> None:
    text = exposition({"device_up": 7.0, "ingest_lag": (3.0, "s"), "device-info": 1.0})

    assert {line.partition("{")[0] for line in samples(text)} == {
        "testbench_metric_device_up",
        "testbench_metric_ingest_lag_seconds",
        "testbench_metric_device_info",
    }


@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
            st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(max_size=5),
            max_size=6,
        ),
        max_size=4,
    )
)
def test_whatever_metrics_are_called_no_series_is_there_twice(
    devices: list[dict[str, object]],
) -> None:
    text = exposition(*devices)

    lines = samples(text)
    numbers = [v for one in devices for v in one.values() if not isinstance(v, str)]
    assert len(lines) == len(numbers)
    assert len({line.partition(" ")[0] for line in lines}) == len(lines)
    assert len(set(re.findall("^# TYPE (.*) ", text, re.M))) == text.count("# TYPE ")
    for line in lines:
        assert re.fullmatch(r'testbench_[a-zA-Z0-9_]+\{device_id="\d+"\} \S+', line)


def test_promtool_accepts_hostile_metric_names() -> None:
    names = [
        'a"z',
        "a\\z",
        "温度",
        "x{y}",
        "# TYPE z",
        "1st",
        "errors_total",
        "n_count",
        "<script>",
    ]

    check(exposition({name: 1.0 for name in names}, {"temp_c": 1.0}))


# --- hosts


@pytest.mark.parametrize(
    ("hostname", "prefix"),
    [
        ("bitaxe", "bitaxe"),
        ("bitaxe-1.lab", "bitaxe_1_lab"),
        ("Bitaxe_2", "Bitaxe_2"),
        ("bitAxe", "bitaxe"),
        ("1st", "_1st"),
        ("<script>", "_script_"),
        ("温度", "device"),
        ("", "device"),
        ("\x00\n\x1b", "device"),
        ("x" * 10_000, "x" * 200),
    ],
)
def test_hostname_becomes_the_start_of_a_name(hostname: str, prefix: str) -> None:
    assert sanitised(hostname) == prefix


def test_hosts_alike_have_their_mac_in_their_names() -> None:
    hosts = {i: ("bit-axe" if i else "bit.axe", mac) for i, mac in enumerate(MACS)}

    assert prefixes(hosts) == {
        0: "bit_axe_aabbcc000001",
        1: "bit_axe_aabbcc000002",
        2: "bit_axe_aabbcc000003",
    }


def test_host_called_as_another_with_its_mac_is_told_apart() -> None:
    hosts = {0: ("axe", MACS[0]), 1: ("axe", MACS[1]), 2: ("axe_aabbcc000001", MACS[2])}

    assert len(set(prefixes(hosts).values())) == 3


@pytest.mark.parametrize("hostname", ["total", "testbench", "testbench_device"])
def test_host_does_not_take_a_name_of_the_fleet_or_the_bench(hostname: str) -> None:
    assert prefixes({0: (hostname, MACS[0])})[0] == f"{hostname}_aabbcc000001"


def test_host_whose_name_goes_on_like_anothers_metric_is_told_apart() -> None:
    # `axe` has a metric `core_voltage_volts`, `axe_core` a metric `voltage_volts`.
    chosen = prefixes({0: ("axe", MACS[0]), 1: ("axe-core", MACS[1]), 2: ("axe-2", MACS[2])})

    assert chosen == {0: "axe", 1: "axe_core_aabbcc000002", 2: "axe_2"}


def test_label_is_text_whatever_it_holds() -> None:
    assert label('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_every_metric_of_a_miner_is_called_in_words() -> None:
    assert set(UNITS) <= set(LABELS)
    words = [label_of(metric) for metric in UNITS]
    assert len(set(words)) == len(words)
    assert not [word for word in words if "_" in word]


def test_a_metric_of_ones_own_keeps_its_name_and_comes_last() -> None:
    assert label_of("bore_depth") == "bore_depth"
    assert in_order({"bore_depth": 1, "uptime": 2, "aa": 3, "temp": 4}) == [
        *("temp", "uptime", "aa", "bore_depth"),
    ]
