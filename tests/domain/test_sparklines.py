"""Sparklines: small paths, holes left open, noise drawn flat."""

import re

from hypothesis import given
from hypothesis import strategies as st

from testbench.domain.sparklines import HEIGHT, WIDTH, path

Number = st.floats(-1e12, 1e12)


def places(drawn: str) -> list[tuple[int, int]]:
    """Where the pen was, in absolute numbers."""
    found: list[tuple[int, int]] = []
    for stroke in drawn.split("M")[1:]:
        start, *lines = stroke.split("l")
        x, y = map(int, start.split())
        found.append((x, y))
        numbers = [int(n) for n in re.findall(r"-?\d+", lines[0])] if lines else []
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            found.append((x, y))
    return found


def test_a_rise_goes_from_the_bottom_to_the_top() -> None:
    assert places(path([1.0, 2.0, 3.0, 4.0])) == [(0, 17), (15, 12), (30, 6), (45, 1)]


def test_a_hole_lifts_the_pen() -> None:
    assert path([1.0, 2.0, None, 2.0, 1.0]).count("M") == 2


def test_what_hardly_moves_is_flat() -> None:
    assert {y for _, y in places(path([100.0, 100.01, 100.0]))} == {9}


def test_less_than_two_values_are_nothing() -> None:
    assert path([]) == path([None, 3.0]) == ""


@given(st.lists(st.none() | Number, min_size=2, max_size=16))
def test_every_shape_fits_the_box_and_is_small(values: list[float | None]) -> None:
    drawn = path(values)

    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(drawn))
    assert len(drawn) <= 130
