"""A test case as typed text and as a document: nothing is lost on the way, nothing guessed."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from testbench.domain.criteria import Criterion
from testbench.services.test_cases import TestCaseBody
from testbench.state import drafts

ONE: TypeAdapter[Criterion] = TypeAdapter(Criterion)
DOCUMENTS: list[dict[str, Any]] = [
    {"kind": "range", "name": "a", "metric": "t", "low": -4.5, "high": "{{hot}}"},
    {"kind": "range", "name": "b", "metric": "t", "high": 1, "max_violations": 3},
    {"kind": "aggregate", "name": "c", "metric": "t", "statistic": "p95", "high": 1e-7},
    {"kind": "equals", "name": "d", "metric": "t", "value": "5"},
    {"kind": "equals", "name": "e", "metric": "t", "value": 5},
    {"kind": "equals", "name": "f", "metric": "t", "value": "true"},
    {"kind": "equals", "name": "g", "metric": "t", "value": True},
    {"kind": "equals", "name": "h", "metric": "t", "value": " idle, ready"},
    {"kind": "settle", "name": "i", "metric": "t", "high": 3, "within_s": 0.5},
    {"kind": "ratio", "name": "7", "metric": "1e5", "other_metric": "2", "low": 0.9},
    {"kind": "coverage", "name": "k", "metric": "t", "min_samples": 1, "severity": "warning"},
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["name"])
def test_a_stored_criterion_comes_back_from_its_form_unchanged(document: dict[str, Any]) -> None:
    stored = ONE.validate_python(document)

    draft = drafts.from_document(stored.model_dump(mode="json"), 1)

    assert ONE.validate_python(drafts.to_document(draft)) == stored
    assert draft.sentence == stored.sentence()


@pytest.mark.parametrize("kind", drafts.KINDS)
def test_a_fresh_criterion_only_lacks_its_metric(kind: str) -> None:
    draft = drafts.fresh(kind, 1, set())
    with pytest.raises(ValidationError) as refused:
        ONE.validate_python(drafts.to_document(draft))

    lacking = {error["loc"][-1] for error in refused.value.errors()}

    assert lacking <= {"metric", "other_metric"}
    assert draft.sentence.endswith("choose a metric")


@pytest.mark.parametrize("kind", drafts.KINDS)
def test_every_kind_has_a_name_and_a_description(kind: str) -> None:
    assert kind in drafts.LABELS


def test_a_new_criterion_never_takes_a_name_that_is_there() -> None:
    assert drafts.fresh("range", 2, {"range", "range 2"}).name == "range 3"


def test_a_decimal_comma_is_a_number_and_nonsense_is_refused_by_the_rules() -> None:
    assert drafts.value_of("high", " 1,5 ") == 1.5
    assert drafts.value_of("high", "warm") == "warm"


def test_not_a_number_is_refused_at_its_field() -> None:
    draft = drafts.changed(drafts.fresh("range", 1, set()), "metric", "t")
    draft = drafts.changed(draft, "high", "nan")
    document = {"name": "x", "duration_s": 1, "criteria": [drafts.to_document(draft)]}
    with pytest.raises(ValidationError) as refused:
        TestCaseBody.model_validate(document)

    whole, (single,) = drafts.sorted_out(drafts.refusals(refused.value), 1)

    assert whole == {}
    assert list(single) == ["high"]


def test_changing_a_field_takes_its_error_away_and_no_other() -> None:
    draft = drafts.fresh("range", 1, set())
    draft = drafts.replace(draft, errors={"metric": "This is needed.", "high": "Must be a number."})

    draft = drafts.changed(draft, "metric", "temp")

    assert draft.errors == {"high": "Must be a number."}
    assert draft.sentence == "temp stays at most 30"


NAMES = {"0190f4a0-0000-7000-8000-000000000001": "Eco"}
PARTS: list[dict[str, Any]] = [
    {"kind": "apply_preset", "preset_id": next(iter(NAMES)), "timeout_s": 12.5},
    {"kind": "restart", "timeout_s": 30},
    {"kind": "wait_online", "timeout_s": 60},
]
SENTENCES = [
    "Apply preset Eco, at most 12.5 s",
    "Restart every device, at most 30 s",
    "Wait until every device is online, at most 60 s",
]


def test_a_stored_setup_comes_back_from_its_form_unchanged_and_reads_as_sentences() -> None:
    body = {"name": "n", "duration_s": 1, "criteria": [DOCUMENTS[0]], "setup": PARTS}
    stored = TestCaseBody.model_validate(body)
    documents = stored.model_dump(mode="json")["setup"]

    parts = [drafts.part_from_document(one, i, NAMES) for i, one in enumerate(documents)]
    again = {**body, "setup": [drafts.to_document(part) for part in parts]}

    assert TestCaseBody.model_validate(again) == stored
    assert [part.sentence for part in parts] == SENTENCES


def test_a_new_part_needs_nothing_but_a_preset() -> None:
    texts = {kind: drafts.fresh_part(kind, 1, {}) for kind in drafts.PARTS}
    body = {"name": "n", "duration_s": 1, "criteria": [DOCUMENTS[0]]}
    setup = [drafts.to_document(part) for part in texts.values()]

    with pytest.raises(ValidationError) as refused:
        TestCaseBody.model_validate({**body, "setup": setup})
    errors = drafts.refusals(refused.value)

    assert errors == [("setup.0.preset_id", "This is needed.")]
    assert drafts.of_parts(errors, 3)[1:] == [{}, {}]
    assert "preset_id" in drafts.of_parts(errors, 3)[0]
    assert texts["apply_preset"].sentence == "Apply a preset: choose one"
    assert drafts.fresh_part("apply_preset", 1, NAMES).texts["preset_id"] in NAMES
    assert set(drafts.PARTS) == set(drafts.PART_LABELS)


def test_a_preset_that_was_removed_is_told() -> None:
    part = drafts.part_from_document(PARTS[0], 1, {})

    assert part.sentence == "Apply a preset that is gone"
    assert drafts.changed_part(part, "preset_id", next(iter(NAMES)), NAMES).sentence == SENTENCES[0]


def test_parts_are_moved_within_their_list() -> None:
    parts = [drafts.fresh_part("restart", key, {}) for key in (1, 2, 3)]

    def keys(key: int, by: int) -> list[int]:
        return [part.key for part in drafts.moved(parts, key, by)]

    assert keys(3, -1) == [1, 3, 2]
    assert keys(1, 1) == [2, 1, 3]
    assert keys(1, -1) == keys(3, 1) == keys(9, 1) == keys(2, 2) == [1, 2, 3]
