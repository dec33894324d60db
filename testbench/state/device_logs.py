"""The tab of a device's log: whether it is read, and how that goes; its lines come by a stream."""

from typing import Any

import reflex as rx

from testbench.services import device_logs
from testbench.state import live
from testbench.state.auth import call, guarded
from testbench.state.views import ViewState

TAB = "logs"


class DeviceLogsState(ViewState, rx.State):
    """The tab `Logs` of the device in the address."""

    id: str = ""
    name: str = ""
    can_be_read: bool = False
    traced: bool = False
    has_lines: bool = False
    reading: str = "off"
    attempt: int = 0
    fault: str = ""
    url: str = ""

    @rx.event
    @guarded()
    async def load(self):
        """After DeviceState.load, which says what else of the page is live."""
        id = self._part(1)
        if id != self.id:
            self.reset()
            self.id = id
        if self._query().get("tab") != TAB:
            return
        async with self._loading():
            await self._read()
            topics: dict[str, Any] = {"devices": {self.id}, "log_readers": {self.id}}
            live.watch_too(self, topics, DeviceLogsState.refresh_logs, live.COALESCE_S)

    @rx.event
    @guarded()
    async def refresh_logs(self):
        async with self._loading():
            await self._read()

    @rx.event
    @guarded("engineer")
    async def set_tracing(self, on: bool):
        """Whether the log is read: the device is then monitored, too."""
        await call(device_logs.trace, self.id, on)
        await self._read()
        if on:
            return rx.toast.success(f"The log of {self.name} is read from now on.")
        return rx.toast.success(f"The log of {self.name} is read no longer.")

    @rx.event
    @guarded("engineer")
    async def try_again(self):
        """Connect anew, after the attempts were used up."""
        await call(device_logs.retry, self.id)
        return rx.toast.info("Trying to connect again.")

    async def _read(self) -> None:
        log = await call(device_logs.view, self.id)
        # It may have been found by its MAC; what the bus names are ids.
        self._show(
            id=str(log.id),
            name=log.name,
            can_be_read=log.can_be_read,
            traced=log.traced,
            has_lines=log.has_lines,
            reading=log.state,
            attempt=log.attempt,
            fault=log.error if log.state in ("reconnecting", "stopped") else "",
            url=f"/api/devices/{log.id}/logs",
        )
