"""Presets below HTTP: who may, what outlives an edit, and what is stored of a secret."""

from typing import Any

import pytest

from testbench.adapters import db, sealing
from testbench.domain.errors import Conflict, Forbidden, Invalid, NotFound
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.models import Preset
from testbench.services import presets
from testbench.services.presets import PresetBody, PresetPatch, PresetView
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")
SECRET = "hunter-7719"


def made(configuration: dict[str, Any], name: str = "p") -> PresetView:
    body = PresetBody(name=name, configuration=configuration)
    return db.run(lambda tx: presets.create(tx, BENCH, body))


def replaced(preset: PresetView, configuration: dict[str, Any]) -> PresetView:
    body = PresetBody(name=preset.name, configuration=configuration)
    return db.run(lambda tx: presets.replace(tx, BENCH, str(preset.id), body))


def changed(preset: PresetView, configuration: dict[str, Any]) -> PresetView:
    patch = PresetPatch(configuration=configuration)
    return db.run(lambda tx: presets.change(tx, BENCH, str(preset.id), patch))


def held(preset: PresetView) -> dict[str, Any]:
    """What would be sent, secrets and all."""
    with db.transaction() as tx:
        return sealing.unseal(tx.session.get_one(Preset, preset.id).configuration)


def test_the_services_themselves_refuse_who_may_not() -> None:
    preset = made({"frequency": 500})
    body, patch = PresetBody(name="other"), PresetPatch(name="other")
    for actor in (Actor(new_id(), "v", "viewer"), Actor(new_id(), "r", "admin", scope="read")):
        for verb in (
            lambda tx, actor=actor: presets.create(tx, actor, body),
            lambda tx, actor=actor: presets.replace(tx, actor, str(preset.id), body),
            lambda tx, actor=actor: presets.change(tx, actor, str(preset.id), patch),
            lambda tx, actor=actor: presets.remove(tx, actor, str(preset.id)),
        ):
            with pytest.raises(Forbidden):
                db.run(verb)
        assert db.run(lambda tx, actor=actor: presets.get(tx, actor, str(preset.id))) == preset


def test_a_secret_is_stored_sealed_at_any_depth_and_never_shown(database: str) -> None:
    pool = {"url": "a.example", "port": 1, "password": SECRET}
    preset = made({"stratumPassword": SECRET, "pools": [pool], "deep": {"apiToken": [SECRET]}})

    shown = preset.model_dump_json()
    with db.transaction() as tx:
        raw = tx.cursor().execute("SELECT presets::text FROM presets").fetchone()

    assert SECRET not in shown
    assert "$sealed" not in shown
    assert raw is not None
    assert SECRET not in raw[0]
    assert raw[0].count("$sealed") == 3
    assert preset.secrets == ["stratumPassword", "pools.0.password", "deep.apiToken"]
    assert preset.configuration == {"pools": [{"url": "a.example", "port": 1}], "deep": {}}
    assert held(preset)["pools"] == [pool]


@pytest.mark.parametrize("edit", [replaced, changed])
@pytest.mark.parametrize("removal", [None, ""])
def test_a_secret_left_out_stays_and_null_or_nothing_removes_it(edit: Any, removal: Any) -> None:
    preset = made({"frequency": 500, "stratumPassword": SECRET})

    kept = edit(preset, {"frequency": 525})
    assert held(kept) == {"frequency": 525, "stratumPassword": SECRET}
    gone = edit(kept, {"frequency": 525, "stratumPassword": removal})

    assert held(gone) == {"frequency": 525}
    assert gone.secrets == []


def test_put_drops_what_it_does_not_name_and_patch_keeps_it() -> None:
    preset = made({"frequency": 500, "coreVoltage": 1150, "wifiPass": SECRET})

    patched = changed(preset, {"coreVoltage": None, "temptarget": 55})
    assert held(patched) == {"frequency": 500, "temptarget": 55, "wifiPass": SECRET}
    put = replaced(patched, {"coreVoltage": 1200})

    assert held(put) == {"coreVoltage": 1200, "wifiPass": SECRET}


def test_a_pool_keeps_the_password_of_the_stored_one_with_its_url_and_no_others() -> None:
    a, b = {"url": "a.example", "password": "secret-a"}, {"url": "b.example", "password": "sec-b"}
    preset = made({"pools": [a, b]})

    turned = replaced(preset, {"pools": [{"url": "b.example"}, {"url": "a.example"}]})
    assert held(turned)["pools"] == [b, a]
    other = replaced(turned, {"pools": [{"url": "c.example"}, {"url": "a.example"}]})

    assert held(other)["pools"] == [{"url": "c.example"}, a]
    assert other.secrets == ["pools.1.password"]


def test_what_get_answered_comes_back_by_put_unchanged() -> None:
    preset = made({"frequency": 500.5, "pools": [{"url": "a", "password": SECRET}], "x": [1, {}]})

    body = PresetBody.model_validate(preset.model_dump())
    again = db.run(lambda tx: presets.replace(tx, BENCH, str(preset.id), body))

    assert again.model_dump(exclude={"updated_at"}) == preset.model_dump(exclude={"updated_at"})
    assert held(again)["pools"] == [{"url": "a", "password": SECRET}]


FAULTS = [
    ({"frequency": "fast"}, "configuration.frequency"),
    ({"temptarget": 90}, "configuration.temptarget"),
    ({"hostname": ""}, "configuration.hostname"),
    ({"wifiPass": "x" * 64}, "configuration.wifiPass"),
    ({"pools": "none"}, "configuration.pools"),
    ({"pools": ["x"]}, "configuration.pools.0"),
    ({"pools": [{"port": 1}, {"port": 99_999}]}, "configuration.pools.1.port"),
    ({"k" * 101: 1}, f"configuration.{'k' * 100}"),
    ({"": 1}, "configuration."),
    ({"x": {"\n": 1}}, "configuration.x.\n"),
    ({"x": "a\x00b"}, "configuration.x"),
    ({"x": "\ud800"}, "configuration.x"),
    ({"x": 10**40}, "configuration.x"),
    ({"x": [[[[[[[[1]]]]]]]]}, None),
    ({"stratumURL": "tcp://me:secret@pool"}, "configuration.stratumURL"),
    ({"frequency": {"$sealed": "gAAAA"}}, "configuration.frequency.$sealed"),
    ({"stratumPassword": {"$sealed": "gAAAA"}}, "configuration.stratumPassword.$sealed"),
    ({f"k{i}": 1 for i in range(201)}, "configuration"),
    ({f"k{i}": "x" * 900 for i in range(12)}, "configuration"),
]


@pytest.mark.parametrize(("configuration", "loc"), FAULTS)
def test_what_a_device_would_refuse_is_refused_with_its_path(
    configuration: dict[str, Any], loc: str | None
) -> None:
    with pytest.raises(Invalid) as refused:
        made(configuration)

    if loc is not None:
        assert [where for where, _ in refused.value.errors] == [loc]


def test_a_configuration_may_be_as_long_as_a_device_takes_and_no_byte_longer() -> None:
    filled = {f"k{i:02}": "x" * 900 for i in range(11)}
    fits = filled | {"last": "y" * 200}
    while presets.rules.size_of(fits) < 10_239:
        fits["last"] += "y"

    assert presets.rules.size_of(fits) == 10_239
    preset = made(fits)
    with pytest.raises(Invalid, match="does not fit"):
        changed(preset, {"last": fits["last"] + "y"})


def test_a_kept_secret_counts_for_the_length() -> None:
    preset = made({"apiToken": "t" * 1000})

    with pytest.raises(Invalid):
        changed(preset, {f"k{i}": "x" * 1000 for i in range(9)} | {"last": "y" * 300})


def test_unknown_settings_are_kept_as_they_are() -> None:
    preset = made({"futureKnob": {"deep": [1, True, None, "x"]}, "flipscreen": 1})

    assert preset.configuration == {"futureKnob": {"deep": [1, True, None, "x"]}, "flipscreen": 1}


def test_a_name_is_taken_once() -> None:
    first, second = made({}, "one"), made({}, "two")

    with pytest.raises(Conflict) as refused:
        made({}, "one")
    assert refused.value.errors == [("name", "is taken")]
    rename = PresetPatch(name="one")
    with pytest.raises(Conflict):
        db.run(lambda tx: presets.change(tx, BENCH, str(second.id), rename))
    assert db.run(lambda tx: presets.search(tx, BENCH, q="ON")) == ([first], 1)


def test_a_preset_that_a_test_case_applies_cannot_go_and_says_which() -> None:
    preset = made({"frequency": 500})
    step = {"kind": "apply_preset", "preset_id": str(preset.id)}
    case = made_runs.case(setup=[step])

    with pytest.raises(Conflict, match=case.name):
        db.run(lambda tx: presets.remove(tx, BENCH, str(preset.id)))
    body = made_runs.TestCaseBody.model_validate(case.model_dump() | {"setup": []})
    db.run(lambda tx: made_runs.test_cases.replace(tx, BENCH, str(case.id), body))
    db.run(lambda tx: presets.remove(tx, BENCH, str(preset.id)))

    with pytest.raises(NotFound):
        db.run(lambda tx: presets.get(tx, BENCH, str(preset.id)))


def test_whose_shares_they_are_is_not_part_of_what_is_applied() -> None:
    pool = {"url": "a", "user": "me", "password": SECRET}
    preset = made(
        {"stratumUser": "me", "fallbackStratumUser": "me", "stratumPort": 1, "pools": [pool]}
    )

    applied = db.run(lambda tx: presets.configuration_of(tx, preset.id))

    assert sealing.unseal(applied) == {
        "stratumPort": 1,
        "pools": [{"url": "a", "password": SECRET}],
    }
    assert SECRET not in str(applied)
