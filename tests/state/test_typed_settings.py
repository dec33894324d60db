"""Settings as typed text and as values: nothing is lost on the way, nothing is sent unasked."""

import json
from pathlib import Path
from typing import Any

import pytest

from testbench.domain.axeos.words import apart, limits_of, shown_value, together, words_of
from testbench.services.configurations import Difference
from testbench.state.settings_views import in_words, line_groups, named, steps_of
from testbench.state.typed_settings import changes_of, groups_of, typed, value_of

INFOS = sorted((Path(__file__).parents[1] / "data/axeos").glob("info_*.json"))


def info(name: str) -> dict[str, Any]:
    path = next(path for path in INFOS if name in path.name)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def shown(found: dict[str, Any]) -> dict[str, str]:
    """What the form holds before anybody types."""
    return {field.key: field.text for group in groups_of(found) for field in group.fields}


@pytest.mark.parametrize("path", INFOS, ids=lambda path: path.stem)
def test_a_form_that_nobody_touched_changes_nothing(path: Path) -> None:
    found = json.loads(path.read_text())

    assert changes_of(shown(found), found) == ({}, {})


def test_only_what_differs_is_sent_in_the_devices_own_types() -> None:
    old, new = info("v2.4.5"), info("v2.14.0")
    typed = {"frequency": "490,5", "autofanspeed": "false", "hostname": " bench-07 "}

    assert changes_of(shown(old) | typed, old)[0] == {
        "frequency": 490.5,
        "autofanspeed": 0,
        "hostname": "bench-07",
    }
    assert changes_of(shown(new) | typed, new)[0]["autofanspeed"] is False


def test_what_does_not_fit_is_said_by_field_and_a_secret_left_empty_is_kept() -> None:
    found = info("v2.12.0")
    typed = {"temptarget": "90", "frequency": "fast", "hostname": "", "wifiPass": ""}

    changes, errors = changes_of(shown(found) | typed, found)

    assert changes == {}
    assert errors == {
        "temptarget": "must be 35 to 66",
        "frequency": "must be a number",
        "hostname": "must be 1 to 32 characters",
    }


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "٣٣٣٣٣٣", "1" * 400])
def test_nonsense_is_no_number(text: str) -> None:
    assert value_of("frequency", text)[1] != ""


def test_one_field_of_a_pool_is_sent_with_its_pools_others_and_no_secret() -> None:
    found = info("v2.15.0")
    typed = {"pools-0-url": "pool.lab.example", "pools-1-password": "hush"}

    changes, _ = changes_of(shown(found) | typed, found)
    first, second = together(changes, found)["pools"]

    assert (first["url"], first["port"]) == ("pool.lab.example", 3333)
    assert "password" not in first
    assert (second["url"], second["password"]) == ("solo.ckpool.org", "hush")


def test_pools_taken_apart_come_together_again() -> None:
    settings = {"frequency": 500, "pools": [{"url": "a"}, {"url": "b", "port": 3333}]}

    assert together(apart(settings), {}) == settings


def test_the_form_offers_what_the_firmware_takes_and_names_what_it_ignores() -> None:
    groups = {group.name: group for group in groups_of(info("v2.12.0"))}
    cooling = [field.key for field in groups["Cooling"].fields]

    assert "manualFanSpeed" in cooling
    assert "fanspeed" not in cooling
    assert groups["Cooling"].note == (
        "Ignored by this firmware: “Fan speed”; “Manual fan speed” counts."
    )
    assert groups["Pools"].note == ""
    assert "“Pools” counts" in {g.name: g for g in groups_of(info("v2.15.0"))}["Pools"].note


def test_a_table_shows_reported_beside_desired() -> None:
    standing = [
        Difference(key="frequency", desired=600, reported=575, standing="differs"),
        Difference(key="fanspeed", desired=60, reported=42.5, standing="ignored"),
        Difference(key="stratumPassword", standing="write_only"),
    ]
    found = {"version": "v2.12.0", "frequency": 575, "fanspeed": 42.4203, "stratumUser": "me"}

    lines = {line.key: line for group in line_groups(standing, found) for line in group.lines}

    assert (lines["frequency"].reported, lines["frequency"].desired) == ("575 MHz", "600 MHz")
    assert lines["frequency"].standing == "differs"
    assert lines["fanspeed"].note == "Ignored by this firmware; “Manual fan speed” counts."
    assert lines["fanspeed"].reported == "42.42 %"
    assert (lines["stratumPassword"].desired, lines["stratumPassword"].reported) == ("set", "–")
    assert (lines["stratumUser"].desired, lines["stratumUser"].standing) == ("", "")


def test_steps_say_what_sending_would_do() -> None:
    found = {"version": "v2.15.0", "frequency": 500, "coreVoltage": 1200, "stratumURL": "a"}
    wanted = {"frequency": 600, "coreVoltage": 1200, "stratumURL": "b", "wifiPass": "", "odd": 1}

    steps = {step.key: step for step in steps_of(wanted, found)}

    assert {key: step.standing for key, step in steps.items()} == {
        "frequency": "changes",
        "coreVoltage": "same",
        "stratumURL": "ignored",
        "wifiPass": "secret",
        "odd": "unknown",
    }
    assert steps["wifiPass"].after == "hidden"


def test_settings_in_words_never_hold_a_secret() -> None:
    settings = {"frequency": 600, "pools": [{"url": "pool.example", "port": 3333}]}

    said = in_words(settings, ["wifiPass", "pools.0.password"])

    assert said == [
        "Frequency 600 MHz",
        "Pool 1 address pool.example",
        "Pool 1 port 3333",
        "Pool 1 password (secret)",
        "Wi-Fi password (secret)",
    ]


def test_a_path_that_leads_nowhere_is_left_out() -> None:
    assert named({"pools": [{}]}, ["pools.7.password", "a.b"]) == {"pools": [{}]}


def test_values_are_shown_with_their_units_and_bounded() -> None:
    assert shown_value("frequency", 490.50001) == "490.5 MHz"
    assert shown_value("autofanspeed", 1) == "on"
    assert shown_value("overclockEnabled", False) == "off"
    assert shown_value("hostname", "<script>" * 100).startswith("<script>")
    assert len(shown_value("hostname", "x" * 10_000)) <= 200
    assert limits_of("temptarget") == "35 to 66 °C."
    assert words_of("never heard of").label == "never heard of"


@pytest.mark.parametrize(
    "value", [5, 5.5, True, "5", "true", '"', '"x"', "[1", "[1]", "{}", {"x": [1]}, [], "a, b", ""]
)
def test_a_free_value_comes_back_from_its_text_unchanged(value: Any) -> None:
    assert value_of("an unknown key", typed("free", value)) == (value, "")
