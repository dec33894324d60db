"""What every page's state does alike: load with an error to show, and live in the URL."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import reflex as rx
from pydantic import ValidationError

from testbench.domain.errors import BenchError, Unauthenticated

# Once the errors are drawn, the first field that has one.
FOCUS_FIRST_ERROR = (
    "setTimeout(() => document.querySelector('[aria-invalid=\"true\"]')?.focus(), 80)"
)

WORDS = {
    "missing": "is required",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}


class ViewState(rx.State, mixin=True):
    """`loaded` once there is something to show; `error` says why there is nothing."""

    loaded: bool = False
    error: str = ""

    def _query(self) -> dict[str, str]:
        """What the URL says after `?`."""
        return dict(self.router.url.query_parameters)

    def _link(self, **changes: Any) -> str:
        """This page's address with parameters changed; None and "" take one away."""
        query = self._query() | {key: str(value) for key, value in changes.items() if value}
        kept = {key: value for key, value in query.items() if changes.get(key, value)}
        path = self.router.url.path
        return f"{path}?{urlencode(kept)}" if kept else path

    def _part(self, index: int) -> str:
        """A part of the address's path: of `/devices/7` part 1 is `7`."""
        parts = self.router.url.path.strip("/").split("/")
        return parts[index] if index < len(parts) else ""

    def _show(self, **values: Any) -> None:
        """Sets what differs: a var that is set is sent, also when it is as it was."""
        for name, value in values.items():
            if getattr(self, name) != value:
                setattr(self, name, value)

    @asynccontextmanager
    async def _loading(self) -> AsyncGenerator[None]:
        """A refusal inside is what the page shows, with Retry; a lost login is the guard's."""
        try:
            yield
        except Unauthenticated:
            raise
        except BenchError as error:
            self.error = error.detail
        else:
            self.error = ""
            self.loaded = True


def _words(fault: Any) -> str:
    """A fault that pydantic found, as a person would say it."""
    said = WORDS.get(fault["type"])
    if said is None:
        return fault["msg"].removeprefix("Value error, ")
    return said.format(**fault.get("ctx", {}))


def first_error() -> Any:
    """The event that moves the focus to the first field with an error."""
    return rx.run_script(FOCUS_FIRST_ERROR)


def faults(error: BenchError | ValidationError) -> dict[str, str]:
    """A refusal's messages by field, for the fields; what has no field is under ``""``."""
    if isinstance(error, ValidationError):
        raised = error.errors(include_url=False, include_input=False)
        pairs = [(".".join(map(str, one["loc"])), _words(one)) for one in raised]
    else:
        pairs = [*error.errors] or [("", error.detail)]
    found: dict[str, str] = {}
    for where, message in pairs:
        found.setdefault(where.removeprefix("body."), message)
    return found
