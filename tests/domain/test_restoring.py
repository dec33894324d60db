"""What must be sent to put a device back: from what it reports, and what the bench had set."""

from typing import Any

from testbench.domain.axeos.restoring import what_was

SEALED = {"$sealed": "x"}
OLD: dict[str, Any] = {
    "version": "v2.4.5",
    "frequency": 490,
    "coreVoltage": 1166,
    "autofanspeed": 1,
    "fanspeed": 47,
    "stratumURL": "pool.example",
    "hostname": "bitaxe",
}


def test_what_the_device_reports_of_the_changed_keys_is_put_back() -> None:
    kept, lost = what_was(OLD, [{"frequency": 600}, {"coreVoltage": 1200, "frequency": 575}], {})

    assert (kept, lost) == ({"frequency": 490, "coreVoltage": 1166}, [])


def test_what_the_firmware_ignores_is_not_put_back() -> None:
    new = {**OLD, "version": "v2.15.0"}

    assert what_was(new, [{"stratumURL": "other", "frequency": 1}], {}) == ({"frequency": 490}, [])


def test_secrets_are_put_back_where_the_bench_had_set_them_and_else_named() -> None:
    wanted = {"stratumPassword": "b", "wifiPass": "c"}

    kept, lost = what_was(OLD, [wanted], {"stratumPassword": SEALED})

    assert (kept, lost) == ({"stratumPassword": SEALED}, ["wifiPass"])


def test_stars_are_no_password() -> None:
    assert what_was({**OLD, "wifiPass": "*****"}, [{"wifiPass": "c"}], {}) == ({}, ["wifiPass"])
    assert what_was({**OLD, "wifiPass": "lab"}, [{"wifiPass": "c"}], {}) == (
        {"wifiPass": "lab"},
        [],
    )


def test_how_fast_an_automatic_fan_runs_is_no_setting() -> None:
    wanted = {"autofanspeed": False, "fanspeed": 80}

    assert what_was(OLD, [wanted], {}) == ({"autofanspeed": 1}, ["fanspeed"])
    manual = {**OLD, "autofanspeed": 0}
    assert what_was(manual, [wanted], {}) == ({"autofanspeed": 0, "fanspeed": 47}, [])


def test_pools_come_back_with_the_passwords_that_the_bench_had_set() -> None:
    reported = [
        {"url": "a", "port": 1, "user": "u", "password": "*****"},
        {"url": "b", "port": 2, "user": "u", "password": "*****"},
    ]
    info = {"version": "v2.15.0", "pools": reported}
    wanted = [{"url": "x", "password": "1"}, {"url": "y", "password": "2"}]
    known = {"pools": [{"url": "a", "password": SEALED}, {"url": "old", "password": SEALED}]}

    kept, lost = what_was(info, [{"pools": wanted}], known)

    assert kept["pools"] == [
        {"url": "a", "port": 1, "user": "u", "password": SEALED},
        {"url": "b", "port": 2, "user": "u"},
    ]
    assert lost == ["pools.1.password"]
