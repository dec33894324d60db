"""What a test case may say, and how it is told where it is wrong."""

import json
import uuid

import pytest
from pydantic import TypeAdapter, ValidationError

from testbench.domain.criteria import Criterion, Verdict, field_errors, resolve_all
from testbench.domain.errors import Invalid
from testbench.domain.test_cases import TestCaseSpec

CRITERION = TypeAdapter[Criterion](Criterion)
RANGE = {"kind": "range", "name": "warm", "metric": "temp", "low": 10, "high": 30}
CASE = {"duration_s": 10, "criteria": [RANGE]}
AGGREGATE = {"kind": "aggregate", "statistic": "mean"}
SETTLE = {"kind": "settle", "low": 1}


def where_wrong(document: dict[str, object]) -> list[str]:
    with pytest.raises(ValidationError) as refusal:
        TestCaseSpec.model_validate(document)
    return [path for path, _ in field_errors(refusal.value.errors())]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": "range"}, "high"),
        ({"kind": "range", "max_violations": 3}, "high"),
        ({"kind": "range", "low": 3, "high": 2}, "high"),
        ({"kind": "range", "low": "30"}, "low"),
        ({"kind": "range", "low": True}, "low"),
        ({"kind": "range", "low": float("nan")}, "low"),
        ({"kind": "range", "high": float("inf")}, "high"),
        ({"kind": "range", "high": 10**400}, "high"),
        ({"kind": "range", "high": "{{ }}"}, "high"),
        ({"kind": "range", "high": 1, "max_violations": -1}, "max_violations"),
        ({"kind": "range", "high": 1, "max_violations": 1.5}, "max_violations"),
        ({"kind": "range", "high": 1, "max_violation_s": -0.1}, "max_violation_s"),
        ({**AGGREGATE}, "high"),
        ({**AGGREGATE, "low": 3, "high": 2}, "high"),
        ({"kind": "aggregate", "low": 3}, "statistic"),
        ({"kind": "aggregate", "statistic": "mode", "low": 3}, "statistic"),
        ({"kind": "increase"}, "high"),
        ({"kind": "rate_of_change"}, "max_per_s"),
        ({"kind": "rate_of_change", "max_per_s": -1}, "max_per_s"),
        ({"kind": "settle", "within_s": 1}, "high"),
        ({**SETTLE}, "within_s"),
        ({**SETTLE, "within_s": 0}, "within_s"),
        ({**SETTLE, "within_s": -1}, "within_s"),
        ({**SETTLE, "within_s": 1, "hold_s": 0}, "hold_s"),
        ({"kind": "coverage"}, "max_gap_s"),
        ({"kind": "coverage", "min_samples": 0}, "min_samples"),
        ({"kind": "coverage", "max_gap_s": 0}, "max_gap_s"),
        ({"kind": "coverage", "max_gap_s": 1e300}, "max_gap_s"),
        ({"kind": "equals"}, "value"),
        ({"kind": "equals", "value": None}, "value"),
        ({"kind": "equals", "value": float("nan")}, "value"),
        ({"kind": "equals", "value": "x" * 1025}, "value"),
        ({"kind": "equals", "value": [1]}, "value"),
        ({"kind": "ratio", "low": 1}, "other_metric"),
        ({"kind": "ratio", "other_metric": "x"}, "high"),
        ({"kind": "range", "low": 1, "limit": 2}, "limit"),
        ({"kind": "range", "low": 1, "name": ""}, "name"),
        ({"kind": "range", "low": 1, "name": "x" * 201}, "name"),
        ({"kind": "range", "low": 1, "metric": ""}, "metric"),
        ({"kind": "range", "low": 1, "metric": "x" * 101}, "metric"),
        ({"kind": "range", "low": 1, "metric": "a\nb"}, "metric"),
        ({"kind": "range", "low": 1, "metric": "a\u0085b"}, "metric"),
        ({"kind": "range", "low": 1, "severity": "info"}, "severity"),
        ({"kind": "range", "low": 1, "on_missing": "pass"}, "on_missing"),
        ({"kind": "range", "low": 1, "marginal_fraction": -0.1}, "marginal_fraction"),
        ({"kind": "range", "low": 1, "marginal_fraction": 1.1}, "marginal_fraction"),
        ({"kind": "range", "low": 1, "marginal_fraction": float("nan")}, "marginal_fraction"),
    ],
)
def test_a_wrong_criterion_is_refused_at_its_field(fields: dict[str, object], path: str) -> None:
    wrong = {"name": "c", "metric": "m", **fields}
    assert where_wrong({**CASE, "criteria": [RANGE, wrong]}) == [f"criteria.1.{path}"]


@pytest.mark.parametrize("fields", [{}, {"kind": "median"}, {"kind": None}])
def test_an_unknown_kind_is_refused_where_it_stands(fields: dict[str, object]) -> None:
    assert where_wrong({**CASE, "criteria": [{"name": "c", "metric": "m", **fields}]}) == [
        "criteria.0"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"duration_s": 0},
        {"duration_s": -1},
        {"duration_s": 0.0001},
        {"duration_s": float("inf")},
        {"duration_s": float("nan")},
        {"duration_s": 1e300},
        {"duration_s": "10"},
        {"duration_s": True},
        {"duration_s": None},
        {"warmup_s": -1},
        {"grace_s": -0.5},
        {"grace_s": float("inf")},
        {"stop_on_fail": "yes"},
        {"sample_interval_s": 0},
        {"timeout_s": 0},
        {"required_tags": [""]},
        {"required_tags": "lab"},
        {"teardown": "reset"},
        {"criteria": []},
        {"criteria": [{**RANGE, "severity": "warning"}]},
        {"criteria": [RANGE, RANGE]},
        {"description": "a\x00b"},
    ],
    ids=repr,
)
def test_a_wrong_test_case_is_refused_at_its_field(fields: dict[str, object]) -> None:
    field = next(iter(fields))
    assert [path.split(".")[0] for path in where_wrong({**CASE, **fields})] == [field]


def test_steps_of_the_setup_are_checked_too() -> None:
    wait = {"kind": "wait_online", "timeout_s": 30}
    assert where_wrong({**CASE, "setup": [{**wait, "timeout_s": 0}]}) == ["setup.0.timeout_s"]
    assert where_wrong({**CASE, "setup": [wait, {**wait, "s": 1}]}) == ["setup.1.s"]
    assert where_wrong({**CASE, "setup": [{"kind": "dance"}]}) == ["setup.0"]
    assert where_wrong({**CASE, "setup": [{"kind": "apply_preset"}]}) == ["setup.0.preset_id"]
    named = {"kind": "apply_preset", "preset_id": "quiet"}
    assert where_wrong({**CASE, "setup": [named]}) == ["setup.0.preset_id"]


def test_a_setup_knows_its_presets_and_whether_it_speaks_to_devices() -> None:
    preset = uuid.uuid4()
    wait, restart = {"kind": "wait_online"}, {"kind": "restart", "timeout_s": 5}
    apply = {"kind": "apply_preset", "preset_id": str(preset)}

    idle = TestCaseSpec.model_validate({**CASE, "setup": [wait]})
    busy = TestCaseSpec.model_validate({**CASE, "setup": [apply, restart, wait, apply]})

    assert (idle.configures(), idle.preset_ids()) == (False, set())
    assert (busy.configures(), busy.preset_ids()) == (True, {preset})
    assert busy.timeout_total_s() == 60 + 5 + 60 + 60 + 10 + 5 + 60


def test_the_defaults_are_those_of_the_product() -> None:
    spec = TestCaseSpec.model_validate(CASE)
    assert (spec.warmup_s, spec.grace_s, spec.stop_on_fail) == (0, 5, False)
    assert (spec.sample_interval_s, spec.timeout_s, spec.teardown) == (None, None, None)
    assert (spec.required_tags, spec.setup) == ([], [])
    criterion = spec.criteria[0]
    assert (criterion.severity, criterion.on_missing) == ("required", "error")
    assert (criterion.unit, criterion.marginal_fraction) == (None, None)


def test_the_timeout_is_what_all_parts_may_take_and_a_minute() -> None:
    parts = {
        "setup": [{"kind": "wait_online", "timeout_s": 30}],
        "warmup_s": 2,
        "duration_s": 10,
        "grace_s": 1.5,
    }
    assert TestCaseSpec.model_validate({**CASE, **parts}).timeout_total_s() == 103.5
    assert TestCaseSpec.model_validate({**CASE, **parts, "timeout_s": 7}).timeout_total_s() == 7


def test_windows_are_whole_milliseconds() -> None:
    spec = TestCaseSpec.model_validate({**CASE, "duration_s": 0.2504})
    assert spec.duration_s == 0.25
    assert spec.window(1000).end == 1250


def test_a_stored_document_reads_back_the_same() -> None:
    every = [
        RANGE,
        {"kind": "aggregate", "name": "a", "metric": "m", "statistic": "p95", "low": "{{x}}"},
        {"kind": "increase", "name": "i", "metric": "m", "high": 5, "marginal_fraction": 0.1},
        {"kind": "rate_of_change", "name": "r", "metric": "m", "max_per_s": 0},
        {"kind": "settle", "name": "s", "metric": "m", "low": 1, "within_s": 3, "hold_s": 2},
        {"kind": "coverage", "name": "c", "metric": "m", "min_samples": 3},
        {"kind": "equals", "name": "e", "metric": "m", "value": True},
        {"kind": "ratio", "name": "q", "metric": "m", "other_metric": "n", "low": 1},
    ]
    spec = TestCaseSpec.model_validate({**CASE, "criteria": every})
    stored = json.dumps(spec.model_dump(mode="json"), allow_nan=False)
    assert TestCaseSpec.model_validate_json(stored) == spec
    assert spec.criteria[6].model_dump()["value"] is True


# --- variables


def test_variables_are_found_and_replaced() -> None:
    spec = TestCaseSpec.model_validate(
        {
            **CASE,
            "criteria": [
                {**RANGE, "low": "{{min}}", "high": "{{ max temp }}"},
                {"kind": "equals", "name": "e", "metric": "m", "value": "{{firmware}}"},
                {**SETTLE, "name": "s", "metric": "m", "within_s": "{{time}}"},
            ],
        }
    )
    assert spec.variables() == {"min", "max temp", "firmware", "time"}
    resolved = spec.resolve({"min": 5, "max temp": 6.5, "firmware": "v2", "time": 3})
    assert resolved.variables() == set()
    assert resolved.criteria[0].limits() == {"low": 5.0, "high": 6.5}
    assert resolved.criteria[1].limits() == {"value": "v2"}
    assert spec.variables() != set()


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({}, ["criteria.0.low", "criteria.1.max_gap_s"]),
        ({"min": 5}, ["criteria.1.max_gap_s"]),
        ({"min": "5", "gap": 1}, ["criteria.0.low"]),
        ({"min": True, "gap": 1}, ["criteria.0.low"]),
        ({"min": 31, "gap": 1}, ["criteria.0.high"]),
        ({"min": float("nan"), "gap": 1}, ["criteria.0.low"]),
        ({"min": 5, "gap": 0}, ["criteria.1.max_gap_s"]),
        ({"min": "{{gap}}", "gap": 1}, ["criteria.0.low"]),
    ],
)
def test_variables_that_do_not_fit_are_refused_at_the_field(
    variables: dict[str, float | str], paths: list[str]
) -> None:
    criteria = TestCaseSpec.model_validate(
        {
            **CASE,
            "criteria": [
                {**RANGE, "low": "{{min}}"},
                {"kind": "coverage", "name": "c", "metric": "m", "max_gap_s": "{{gap}}"},
            ],
        }
    ).criteria
    with pytest.raises(Invalid) as refusal:
        resolve_all(criteria, variables)
    assert [path for path, _ in refusal.value.errors] == paths


def test_judging_with_an_unresolved_variable_is_a_mistake_of_the_caller() -> None:
    criterion = CRITERION.validate_python({**RANGE, "low": "{{min}}"})
    with pytest.raises(ValueError, match="not resolved"):
        criterion.bounds()


# --- sentences


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "range", "low": 10, "high": 30, "unit": "°C"}, "temp stays within 10–30 °C"),
        ({"kind": "range", "low": -10, "high": 30}, "temp stays within -10 to 30"),
        ({"kind": "range", "high": "{{max}}"}, "temp stays at most {{max}}"),
        (
            {"kind": "range", "low": 1.5, "max_violations": 3, "max_violation_s": 2},
            "temp stays at least 1.5, with at most 3 readings outside, "
            "never outside for longer than 2 s",
        ),
        (
            {"kind": "aggregate", "statistic": "time_weighted_mean", "low": 1, "high": 2},
            "time weighted mean of temp is within 1–2",
        ),
        ({"kind": "increase", "low": 5}, "temp rises by at least 5"),
        (
            {"kind": "rate_of_change", "max_per_s": 0.5, "unit": "K"},
            "temp changes by at most 0.5 K/s",
        ),
        (
            {"kind": "settle", "low": 10, "high": 30, "within_s": 60},
            "temp settles within 10–30 in 60 s and stays",
        ),
        (
            {"kind": "settle", "high": 30, "within_s": 60, "hold_s": 5},
            "temp settles at most 30 in 60 s and stays for 5 s",
        ),
        (
            {"kind": "coverage", "min_samples": 60, "max_gap_s": 5},
            "temp has at least 60 readings and no gap longer than 5 s",
        ),
        ({"kind": "equals", "value": "ok"}, 'temp is always "ok"'),
        ({"kind": "equals", "value": False}, "temp is always false"),
        ({"kind": "equals", "value": 3, "unit": "V"}, "temp is always 3 V"),
        (
            {"kind": "ratio", "other_metric": "load", "low": 0.5},
            "temp ÷ load stays at least 0.5",
        ),
    ],
)
def test_a_criterion_reads_as_a_sentence(fields: dict[str, object], sentence: str) -> None:
    criterion = CRITERION.validate_python({"name": "c", "metric": "temp", **fields})
    assert criterion.sentence() == sentence


# --- schema and verdict


def test_the_schema_draws_a_form_for_every_kind() -> None:
    schema = TestCaseSpec.model_json_schema()
    kinds = schema["properties"]["criteria"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {
        "range",
        "aggregate",
        "increase",
        "rate_of_change",
        "settle",
        "coverage",
        "equals",
        "ratio",
    }
    low = schema["$defs"]["Range"]["properties"]["low"]
    assert [option["type"] for option in low["anyOf"]] == ["number", "string", "null"]
    json.dumps(schema, allow_nan=False)


def test_a_verdict_from_outside_needs_little_and_refuses_nan() -> None:
    assert Verdict.model_validate({"name": "c", "verdict": "pass"}).severity == "required"
    for wrong in (
        {"name": "c"},
        {"name": "c", "verdict": "maybe"},
        {"name": "c", "verdict": "pass", "measured": float("nan")},
        {"name": "c", "verdict": "pass", "samples": -1},
    ):
        with pytest.raises(ValidationError):
            Verdict.model_validate(wrong)
