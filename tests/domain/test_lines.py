"""Log lines out of chunks cut anywhere."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from testbench.domain.lines import LineJoiner

LINES = ["₿ (12) power: 59.8 °C", "E (13) 🔥 overheat", "ok"]
STREAM = ("\x1b[0;32m" + "\x1b[0m\r\n".join(LINES) + "\n").encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_wherever_chunks_end_the_lines_are_the_same(cuts: list[int]) -> None:
    joiner = LineJoiner()
    edges = [0, *sorted(cuts), len(STREAM)]

    found = [line for start, end in pairwise(edges) for line in joiner.feed(STREAM[start:end])]

    assert found == LINES
    assert joiner.end() == []


def test_a_line_without_an_end_is_cut_at_the_bound() -> None:
    joiner = LineJoiner(max_line=10)

    assert joiner.feed(b"x" * 25) == ["x" * 10, "x" * 10]
    assert joiner.feed(b"y" * 25 + b"\n") == ["xxxxxyyyyy", "y" * 10, "y" * 10]
    assert joiner.end() == []


def test_what_is_left_comes_at_the_end() -> None:
    joiner = LineJoiner()

    assert joiner.feed(b"whole\nhal") == ["whole"]
    assert joiner.end() == ["hal"]


def test_control_characters_and_broken_bytes_never_pass() -> None:
    joiner = LineJoiner()

    (line,) = joiner.feed(b"a\x00b\x1b[2J\x07c\xff\xfed\te\r\n")

    assert line == "abc��d e"
