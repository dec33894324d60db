"""Which payloads are readings, which are not, and why."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbench.domain import telemetry
from testbench.domain.errors import BadRequest
from testbench.domain.telemetry import Heard, Sent, follow, parse

NOW = 1_780_000_000_000
DAY = 86_400_000


def faults(payload: bytes) -> dict[str, str]:
    with pytest.raises(BadRequest) as refused:
        parse(payload, NOW)
    return dict(refused.value.errors)


@pytest.mark.parametrize(
    ("payload", "points"),
    [
        (b'{"temp": 21.5}', [("temp", NOW, 21.5)]),
        (
            b'{"on": true, "mode": "eco", "n": 3}',
            [("on", NOW, True), ("mode", NOW, "eco"), ("n", NOW, 3.0)],
        ),
        (b'{"ts": 1700000000000, "values": {"temp": 1}}', [("temp", 1_700_000_000_000, 1.0)]),
        (b'{"values": {"temp": 1}}', [("temp", NOW, 1.0)]),
        (
            b'[{"a": 1}, {"ts": 1700000000000, "values": {"a": 2}}]',
            [("a", NOW, 1.0), ("a", 1_700_000_000_000, 2.0)],
        ),
        (b'{"values": 7}', [("values", NOW, 7.0)]),
        (b'{"a": "\\u00b5\\ud83d\\ude00"}', [("a", NOW, "µ😀")]),
        (b'{"a": -1e-320}', [("a", NOW, -1e-320)]),
    ],
)
def test_thingsboards_forms_are_understood(
    payload: bytes, points: list[tuple[str, int, float]]
) -> None:
    sent = parse(payload, NOW)

    assert sent.points == points
    assert [type(value) for *_, value in sent.points] == [type(value) for *_, value in points]


def test_a_key_sent_twice_in_one_object_counts_twice() -> None:
    assert parse(b'{"a": 1, "a": 2}', NOW).points == [("a", NOW, 1.0), ("a", NOW, 2.0)]
    assert parse(b'{"ts": %d, "values": {"a": 1, "\\u0061": 2}}' % NOW, NOW).points == [
        ("a", NOW, 1.0),
        ("a", NOW, 2.0),
    ]


def test_sequence_numbers_are_no_readings_but_a_metric_may_bear_the_name() -> None:
    sent = parse(b'[{"seq": 7, "a": 1}, {"seq": 8, "values": {"seq": 9}}]', NOW)

    assert sent == Sent([("a", NOW, 1.0), ("seq", NOW, 9.0)], [7, 8], None)


def test_the_device_clock_is_known_only_where_the_device_gave_a_time() -> None:
    assert parse(b'{"a": 1}', NOW).newest is None
    payload = b'[{"ts": %d, "values": {"a": 1}}, {"ts": %d, "values": {"a": 1}}]' % (NOW, NOW - 5)
    assert parse(payload, NOW).newest == NOW


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b'{"temp": NaN, "b": 1}', ["temp"]),
        (
            b'{"ts": 1700000000000, "values": {"a": Infinity, "b": -Infinity}}',
            ["values.a", "values.b"],
        ),
        (b'{"a": 1e999}', ["a"]),
        (b'{"a": 1' + b"0" * 400 + b"}", ["a"]),
        (b'{"a": null}', ["a"]),
        (b'[{"a": 1}, {"b": {}}, 3, {"c": []}]', ["1.b", "2", "3.c"]),
        (b'{"a": "\\ud800"}', ["a"]),
        (b'{"a": "x\\u0000y"}', ["a"]),
        (b'{"a\\u0000b": 1}', ["a\\u0000b"]),
        (b'{"\\ud800": 1}', ["\\ud800"]),
        (b'{"": 1}', [""]),
        (b'{"\\n": 1}', ["\\u000a"]),
        (b'{"a": "' + b"x" * 1025 + b'"}', ["a"]),
        (b'{"a": "' + "µ".encode() * 513 + b'"}', ["a"]),
        (b'{"ts": 1700000000000, "temp": 3}', ["ts"]),
        (b'{"ts": "now", "values": {"a": 1}}', ["ts"]),
        (b'{"ts": true, "values": {"a": 1}}', ["ts"]),
        (b'{"ts": 1.5, "values": {"a": 1}}', ["ts"]),
        (b'{"ts": 1, "values": 7}', ["ts", "values"]),
        (b'{"ts": 1700000000000, "values": {"a": 1}, "x": 2}', ["x"]),
        (b'{"seq": -1, "a": 1}', ["seq"]),
        (b'{"seq": 1.5, "a": 1}', ["seq"]),
        (b'{"seq": 9223372036854775808, "a": 1}', ["seq"]),
        (b'{"seq": 5}', [""]),
        (b"{}", [""]),
        (b"[]", [""]),
        (b"7", [""]),
        (b"", [""]),
        (b'{"a": 1', [""]),
        (b"\xff\xfe", [""]),
        (b'{"a": "\xff"}', [""]),
        (b"[" * 100_000, [""]),
    ],
)
def test_what_is_no_reading_is_refused_by_its_path(payload: bytes, where: list[str]) -> None:
    assert sorted(faults(payload)) == sorted(where)


@pytest.mark.parametrize(
    ("ts", "taken"),
    [
        (946_684_800_000, True),
        (946_684_799_999, False),
        (NOW + DAY, True),
        (NOW + DAY + 1, False),
        (-1, False),
        (10**30, False),
    ],
)
def test_a_time_lies_between_2000_and_a_day_ahead(ts: int, taken: bool) -> None:
    payload = json.dumps({"ts": ts, "values": {"a": 1}}).encode()

    if taken:
        assert parse(payload, NOW).points == [("a", ts, 1.0)]
    else:
        assert list(faults(payload)) == ["ts"]


def test_a_thousand_values_are_a_message_and_one_more_is_not() -> None:
    values = {f"m{i}": i for i in range(1000)}
    assert len(parse(json.dumps(values).encode(), NOW).points) == 1000
    timed = {"ts": NOW, "values": values | {"one": 1}}
    assert "1000" in faults(json.dumps(timed).encode())[""]
    assert "1000" in faults(json.dumps([values, {"one": 1}]).encode())[""]


def test_names_have_up_to_100_characters() -> None:
    assert parse(json.dumps({"µ" * 100: 1}).encode(), NOW).points
    assert faults(json.dumps({"µ" * 101: 1}).encode())


def test_a_refused_message_still_tells_its_sequence_numbers() -> None:
    with pytest.raises(telemetry.Refused) as refused:
        parse(b'{"seq": 12, "a": null}', NOW)

    assert refused.value.seqs == [12]


def test_errors_are_bounded_however_bad_the_message() -> None:
    payload = json.dumps([{"x": None}] * 20_000).encode()

    assert len(faults(payload)) <= telemetry.MAX_ERRORS


def test_an_excerpt_is_text_that_a_database_can_hold() -> None:
    text = telemetry.excerpt(b"\x00\xff" + b"a" * 5000)

    assert text.startswith("\\x00\\xff")
    assert "\x00" not in text
    assert len(text) < 1100


scalars = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in ("ts", "values", "seq")
)


@given(values=st.dictionaries(names, scalars, min_size=1, max_size=8), timed=st.booleans())
def test_whatever_is_valid_is_read_as_it_was_sent(
    values: dict[str, float | str | bool], timed: bool
) -> None:
    document = {"ts": NOW, "values": values} if timed else values

    for payload in (json.dumps(document), json.dumps(document, ensure_ascii=False)):
        points = parse(payload.encode(), NOW).points
        assert {metric: value for metric, _, value in points} == values
        assert len(points) == len(values)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(payload: bytes) -> None:
    try:
        sent = parse(payload, NOW)
    except BadRequest:
        return
    assert sent.points


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["ts", "values", "seq", "a", ""]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_raises_anything_but_a_refusal(document: object) -> None:
    try:
        sent = parse(json.dumps(document).encode("utf-8", "surrogatepass"), NOW)
    except BadRequest:
        return
    assert all(isinstance(v, str | bool) or math.isfinite(v) for *_, v in sent.points)


# --- sequence numbers ---------------------------------------------------------------------------


@given(st.permutations(range(30)), st.data())
def test_whatever_the_order_missing_is_what_never_came(
    order: list[int], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.integers(1, 28), max_size=10))
    first = follow(Heard(), [0])

    heard = follow(first, [n for n in order if n not in lost] + [29])

    assert heard.seq == 29
    assert heard.missing == len(lost)


@given(st.lists(st.integers(0, 50), max_size=60))
def test_repeats_change_nothing(seqs: list[int]) -> None:
    heard = follow(Heard(), seqs)

    assert follow(heard, seqs) == heard


def test_a_counter_that_begins_anew_loses_nothing() -> None:
    heard = follow(Heard(), [50_000, 50_001, 50_003])

    again = follow(heard, [0, 1, 2])

    assert (again.seq, again.missing) == (2, 1)


def test_old_holes_stay_counted_when_there_are_too_many_to_remember() -> None:
    heard = follow(Heard(), range(0, 5001, 2))

    assert len(heard.gaps) == telemetry.MAX_GAPS
    assert heard.missing == 2500
    assert follow(heard, [1]).missing == 2500
    assert follow(heard, [4999]).missing == 2499
