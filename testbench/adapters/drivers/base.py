"""What the bench asks of any managed device, whatever it speaks."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol

from testbench.domain.axeos import name_of
from testbench.domain.errors import BadGateway


class DeviceFailed(BadGateway):
    """A device that did not answer, or answered with an error; `detail` has its text."""

    def __init__(self, detail: str, answer: int | None = None) -> None:
        super().__init__(detail)
        self.answer = answer
        """Its HTTP status, None if there was no answer."""


class Driver(Protocol):
    """One device at one address. Each call has a deadline and raises DeviceFailed or Forbidden."""

    async def info(self) -> dict[str, Any]:
        """What the device says of itself, as it came: secrets included."""
        ...

    async def configure(self, changes: Mapping[str, Any]) -> None:
        """Send settings; a device may take them and change nothing, so read back."""
        ...

    async def restart(self) -> None:
        """Have it restart; it is away for a while after."""
        ...

    def logs(self, opened: Callable[[], None] | None = None) -> AsyncGenerator[str]:
        """Its log, line by line, until it or the caller ends; raises DeviceFailed when cut off."""
        ...


def said(status: int, text: str) -> DeviceFailed:
    """A refusal with the device's status and the first words of its text."""
    words = name_of(text)
    return DeviceFailed(f"The device answered {status}" + (f": {words}" if words else "."), status)
