"""Times at the edge of the bench are aware datetimes, inside telemetry whole milliseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (moment - EPOCH) // _MS


def at(ts: int) -> datetime:
    """The aware UTC time of `ts` ms since 1970."""
    return EPOCH + ts * _MS
