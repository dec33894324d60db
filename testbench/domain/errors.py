"""Every way a verb can refuse: raised once where known, translated once at each door."""

from collections.abc import Sequence
from typing import ClassVar

FieldErrors = Sequence[tuple[str, str]]


class BenchError(Exception):
    """A refusal with its HTTP status; `errors` are pairs of (where, message)."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str = "", errors: FieldErrors = (), retry_after: int | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = list(errors)
        self.retry_after = retry_after


class BadRequest(BenchError):
    status, title = 400, "Bad request"


class Unauthenticated(BenchError):
    status, title = 401, "Not logged in"


class PaymentRequired(BenchError):
    status, title = 402, "Not enough credits"


class Forbidden(BenchError):
    status, title = 403, "Not allowed"


class NotFound(BenchError):
    status, title = 404, "Not found"


class Conflict(BenchError):
    status, title = 409, "Conflict"


class TooLarge(BenchError):
    status, title = 413, "Too large"


class Invalid(BenchError):
    status, title = 422, "Invalid"


class TooMany(BenchError):
    status, title = 429, "Too many requests"


class BadGateway(BenchError):
    status, title = 502, "Bad answer from another system"


class Unavailable(BenchError):
    status, title = 503, "Service unavailable"
