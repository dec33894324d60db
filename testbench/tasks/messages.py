"""What a message may say: anything may stand on a queue."""

import uuid
from contextlib import suppress

MAX_STEP = 2**31 - 1


def addressed(args: tuple[object, ...]) -> tuple[uuid.UUID | None, int]:
    """The row and its step's number; None for what is no such message."""
    match args:
        case (str(key), int(number)) if 0 <= number <= MAX_STEP:
            with suppress(ValueError):
                return uuid.UUID(key), number
        case _:
            pass
    return None, 0
