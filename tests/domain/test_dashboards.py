"""Generated dashboards: whole, stable, and with queries that no metric's name can change."""

import json
import re
import uuid
from typing import Any

import pytest

from testbench.domain.axeos import UNITS
from testbench.domain.dashboards import (
    FLEET_UID,
    Source,
    SourceKind,
    Subject,
    device_dashboard,
    digest_of,
    fleet_dashboard,
    uid_of,
)

ID = uuid.UUID("01a1fb98-022c-7653-a8c0-27b303e44b9e")
KINDS: tuple[SourceKind, ...] = ("postgres", "influxdb", "prometheus")
HOSTILE = [
    "it's",
    'a"b',
    "$__timeFilter(x)",
    "${device}",
    "[[device]]",
    "a\\",
    "x/y",
    "温度",
    "\\+0",
]
BENCH = "http://bench.lab:3000"


def subject(kind: str = "axeos", **metrics: str) -> Subject:
    return Subject(ID, "rack 1", kind, metrics)


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every panel's queries."""
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    return [t.get("rawSql") or t.get("query") or t["expr"] for t in targets]


def test_uid_is_the_devices_own_in_the_alphabet_of_grafana() -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid_of(ID))
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", FLEET_UID)
    assert uid_of(ID) == uid_of(uuid.UUID(str(ID))) != uid_of(uuid.uuid4())


@pytest.mark.parametrize("kind", KINDS)
def test_dashboard_of_a_miner_groups_its_metrics(kind: SourceKind) -> None:
    made = device_dashboard(subject(), Source(kind, "testbench"), bench_url=BENCH)

    titles = [panel["title"] for panel in made["panels"]]
    assert "Hash rate against expected" in titles
    assert {"Temperature", "Power", "Efficiency", "Shares", "Pool: difficulty"} <= set(titles)
    assert all(str(ID) in query for query in queries(made))
    hot = next(
        p for p in made["panels"] if (p["type"], p["title"]) == ("timeseries", "Temperature")
    )
    steps = [step["value"] for step in hot["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps == [None, 65, 75]
    assert hot["fieldConfig"]["defaults"]["unit"] == "celsius"
    assert hot["datasource"]["uid"] == "testbench"
    assert made["links"][0]["url"] == f"{BENCH}/devices/{ID}"
    json.dumps(made, allow_nan=False)


def test_every_grouped_metric_is_one_that_miners_have() -> None:
    from testbench.domain.dashboards.groups import AXEOS, AXEOS_FIGURES

    for group in AXEOS:
        assert {UNITS[metric] for metric in group.metrics} == {group.unit}
    assert {figure.metric for figure in AXEOS_FIGURES} <= set(UNITS)


@pytest.mark.parametrize("kind", KINDS)
def test_another_device_has_a_panel_for_each_of_its_own_metrics(kind: SourceKind) -> None:
    about = subject("mqtt", humidity="%", temp="°C", odd="bananas")

    made = device_dashboard(about, Source(kind, "x"), bench_url=BENCH)

    units = {p["title"]: p["fieldConfig"]["defaults"]["unit"] for p in made["panels"]}
    assert units == {"humidity": "percent", "odd": "suffix: bananas", "temp": "celsius"}


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_panels_lie_on_each_other(kind: SourceKind) -> None:
    for made in (
        device_dashboard(subject(), Source(kind, "x"), bench_url=BENCH),
        fleet_dashboard(Source(kind, "x"), bench_url=BENCH, public=False),
    ):
        cells = [
            (x, y)
            for panel in made["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_grafana_finds_nothing_to_replace_in_a_metrics_name(kind: SourceKind, name: str) -> None:
    harmless = device_dashboard(subject("mqtt", temp=""), Source(kind, "x"), bench_url=BENCH)
    made = device_dashboard(subject("mqtt", **{name: ""}), Source(kind, "x"), bench_url=BENCH)

    replaced = r"\$\w+|\$\{|\[\["
    for ours, theirs in zip(queries(harmless), queries(made), strict=True):
        assert re.findall(replaced, theirs) == re.findall(replaced, ours)
        assert theirs.count("'") == ours.count("'")
    assert "$" not in made["panels"][0]["title"]


@pytest.mark.parametrize("kind", KINDS)
def test_fleets_devices_can_be_chosen_unless_it_is_public(kind: SourceKind) -> None:
    private = fleet_dashboard(Source(kind, "x"), bench_url=BENCH, public=False)
    public = fleet_dashboard(Source(kind, "x"), bench_url=BENCH, public=True)

    assert [one["name"] for one in private["templating"]["list"]] == ["device"]
    assert any("${device" in query for query in queries(private))
    # Public dashboards of Grafana have no variables.
    assert public["templating"]["list"] == []
    assert not any("${" in query for query in queries(public))


def test_digest_changes_with_what_the_dashboard_shows_and_with_nothing_else() -> None:
    source = Source("postgres", "x")

    def digest(about: Subject | None, source: Source = source, **more: Any) -> str:
        return digest_of(about, source, **{"public": False, "at": "http://grafana", **more})

    same = digest(subject())
    assert digest(Subject(ID, "rack 1", "axeos", {"extra": ""})) == same
    others = [
        digest(Subject(ID, "rack 2", "axeos")),
        digest(subject("mqtt")),
        digest(subject("mqtt", temp="°C")),
        digest(subject(), Source("influxdb", "x")),
        digest(subject(), public=True),
        digest(subject(), at="http://other"),
        digest(None),
    ]
    assert len({same, *others}) == len(others) + 1
