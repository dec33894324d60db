"""A criterion's chart as inline SVG: band, curve with its gaps, violations, axes with units."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape

from testbench.domain.plots import Plot

WIDTH, HEIGHT = 720, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 16, 26
TICKS = 4
HUGE = 1e300
"""Beyond it the difference of two numbers may be none."""


class _Scale:
    """Readings to pixels."""

    def __init__(self, plot: Plot) -> None:
        values = [value for _, value in plot.points if value is not None]
        values += [value for value in (plot.low, plot.high, plot.measured) if value is not None]
        values = [max(-HUGE, min(value, HUGE)) for value in values]
        least, most = min(values, default=0.0), max(values, default=1.0)
        room = (most - least) * 0.08 or abs(most) * 0.05 or 1.0
        self.least, self.most = least - room, most + room
        self.start, self.span = plot.start, max(1, plot.end - plot.start)

    def x(self, ts: int) -> float:
        return round(LEFT + (ts - self.start) / self.span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.least) / (self.most - self.least)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def svg(plot: Plot) -> str:
    """One `<svg>` element; texts are escaped."""
    scale = _Scale(plot)
    title = escape(f"{plot.label} in {plot.unit}" if plot.unit else plot.label)
    body = "".join([
        _silences(plot, scale),
        _band(plot, scale),
        _axes(plot, scale),
        _level(plot, scale),
        *_curve(plot, scale),
        *_marks(plot, scale),
    ])  # fmt: skip
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{body}</svg>"
    )


def _band(plot: Plot, scale: _Scale) -> str:
    if plot.low is None and plot.high is None:
        return ""
    top = TOP if plot.high is None else scale.y(plot.high)
    bottom = HEIGHT - BOTTOM if plot.low is None else scale.y(plot.low)
    limits = (("low", plot.low, -4), ("high", plot.high, 12))
    lines = "".join(_limit(scale, *limit) for limit in limits)
    width = WIDTH - LEFT - RIGHT
    band = f'<rect class="band" x="{LEFT}" y="{top}" width="{width}" height="{bottom - top:.1f}"/>'
    return band + lines


def _limit(scale: _Scale, word: str, limit: float | None, shift: int) -> str:
    if limit is None:
        return ""
    y = scale.y(limit)
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT + 4}" y="{y + shift:.1f}">{word} {limit:.6g}</text>'
    )


def _silences(plot: Plot, scale: _Scale) -> str:
    return "".join(
        f'<rect class="silence" x="{scale.x(begin)}" y="{TOP}" '
        f'width="{scale.x(end) - scale.x(begin):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        for begin, end in plot.silences
    )


def _level(plot: Plot, scale: _Scale) -> str:
    if plot.measured is None:
        return ""
    y = scale.y(plot.measured)
    return f'<line class="measured" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'


def _curve(plot: Plot, scale: _Scale) -> Iterator[str]:
    stretch: list[str] = []
    for ts, value in [*plot.points, (plot.end, None)]:
        if value is not None:
            stretch.append(f"{scale.x(ts)},{scale.y(value)}")
            continue
        if len(stretch) == 1:
            x, y = stretch[0].split(",")
            yield f'<circle class="dot" cx="{x}" cy="{y}" r="1.5"/>'
        elif stretch:
            yield f'<polyline class="curve" points="{" ".join(stretch)}"/>'
        stretch = []


def _marks(plot: Plot, scale: _Scale) -> Iterator[str]:
    for ts, value in plot.marks:
        yield f'<circle class="violation" cx="{scale.x(ts)}" cy="{scale.y(value)}" r="3"/>'


def _axes(plot: Plot, scale: _Scale) -> str:
    bottom = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for i in range(TICKS + 1):
        ts = plot.start + scale.span * i // TICKS
        anchor = "start" if i == 0 else "end" if i == TICKS else "middle"
        parts.append(
            f'<text x="{scale.x(ts)}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_clock(ts)}</text>'
        )
    for value in _round_values(scale.least, scale.most):
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    unit = escape(plot.unit or "")
    return "".join(parts) + f'<text x="{LEFT - 6}" y="{TOP}" text-anchor="end">{unit}</text>'


def _round_values(least: float, most: float) -> Iterator[float]:
    """Every 1, 2 or 5 times a power of ten, about as many as there are ticks."""
    rough = (most - least) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(least / step)
    for i in range(first, math.floor(most / step) + 1):
        yield i * step


def _clock(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%H:%M:%S")
