"""Numbers, limits and times in a person's words, for messages and sentences."""

from testbench.domain.criteria.series import MS_PER_S, Value, Window
from testbench.domain.criteria.verdicts import moment

MAX_QUOTED = 60
MILLION = 1e6  # six digits would write more in exponents
EXACT = 1e15  # whole numbers below it are exact, and short enough to read
DAY_MS = 86_400 * MS_PER_S


def digits(value: float, limit: float | None = None) -> str:
    """A measured number: six digits, or all of them where six would hide that it is off `limit`."""
    text = f"{value:.1f}" if MILLION <= abs(value) < EXACT else f"{value:.6g}"
    if limit is not None and value != limit and float(text) == limit:
        text = repr(value)
    return text if "." in text or "e" in text else f"{text}.0"


def plain(value: float | str) -> str:
    """A number as a person would type it, or a variable as it stands."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) and abs(value) < EXACT else repr(value)


def quoted(value: Value | None) -> str:
    """A reading of any type; long strings are cut."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= MAX_QUOTED else f'"{value[:MAX_QUOTED]}…"'
    return "not a number" if value is None else digits(value)


def with_unit(text: str, unit: str | None) -> str:
    """ "35.0" and "°C" → "35.0 °C"."""
    return f"{text} {unit}" if unit else text


def seconds(value: float) -> str:
    """A length of time: "12 s", "0.25 s"."""
    return f"{value:.10g} s"


def clock(ts: int, window: Window) -> str:
    """The time of day in UTC, with the date if the window spans days, with ms if there are any."""
    at = moment(ts)
    form = "%H:%M:%S" if window.start // DAY_MS == window.end // DAY_MS else "%Y-%m-%d %H:%M:%S"
    ms = f".{ts % MS_PER_S:03d}" if ts % MS_PER_S else ""
    return f"{at.strftime(form)}{ms} UTC"


def band(low: float | str | None, high: float | str | None, unit: str | None) -> str:
    """ "within 10–30 °C", "at most 30 °C" or "at least 10 °C"."""
    if low is None:
        return with_unit(f"at most {plain(high)}", unit) if high is not None else "unlimited"
    if high is None:
        return with_unit(f"at least {plain(low)}", unit)
    dash = " to " if plain(low).startswith("-") or plain(high).startswith("-") else "–"
    return with_unit(f"within {plain(low)}{dash}{plain(high)}", unit)
