"""Sparklines: the last minutes as an SVG path, small enough to be sent for every row of a table."""

from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 45, 18
LEAST_ROOM = 0.01
"""Of the value itself: what moves less is noise, and drawn flat."""


def path(values: Sequence[float | None]) -> str:
    """`M0 9l4-3 4 1…` in a box of WIDTH × HEIGHT px; a None lifts the pen; "": nothing to draw."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    middle, room = (low + high) / 2, max(high - low, abs(high) * LEAST_ROOM) or 1.0
    step = WIDTH / (len(values) - 1)
    places = [
        None
        if value is None
        else (round(i * step), round(HEIGHT / 2 - (value - middle) / room * (HEIGHT - 2)))
        for i, value in enumerate(values)
    ]
    return "".join(_strokes(places))


def _strokes(places: Sequence[tuple[int, int] | None]) -> Iterator[str]:
    """Relative lines, a minus for the blank between two numbers: a third of the characters."""
    pen: tuple[int, int] | None = None
    letter = ""
    for place in places:
        if place is None:
            pen = None
        elif pen is None:
            yield f"M{place[0]} {place[1]}"
            pen, letter = place, "l"
        else:
            x, y = place[0] - pen[0], place[1] - pen[1]
            yield f"{letter}{x}{'' if y < 0 else ' '}{y}"
            pen, letter = place, " "
