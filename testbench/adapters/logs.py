"""Logs: one line of JSON per event; a traceback without the values of its variables."""

import structlog


def configure() -> None:
    """For every process, before it does anything.

    structlog's own renderer prints each frame's local variables: bodies, tokens, database URLs.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
