"""Drivers for callers that block: one coroutine at a time, and the wait for a device's return."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from testbench.adapters.drivers.base import DeviceFailed, Driver
from testbench.domain.axeos import number_of

T = TypeVar("T")
RETURN_S = 20.0
"""A device that restarts is back within this, or it is given up."""
LOOK_S = 0.2
UNSEEN_S = 4.0
"""Longer, and a device that answered all the time restarted between two looks."""


def ask(work: Coroutine[Any, Any, T]) -> T:
    """Do one driver's call; never from within an event loop."""
    return asyncio.run(work)


async def returned(driver: Driver, before: Mapping[str, Any]) -> dict[str, Any]:
    """What a device says once it is back from its restart; `before`: its last words.

    Some answer for a moment longer, so it counts as back when it was away, or has a new uptime.
    Raises DeviceFailed after `RETURN_S`.
    """
    began = time.monotonic()
    was_away = False
    while time.monotonic() < began + RETURN_S:
        await asyncio.sleep(LOOK_S)
        try:
            info = await driver.info()
        except DeviceFailed:
            was_away = True
            continue
        if was_away or _is_younger(info, before) or time.monotonic() > began + UNSEEN_S:
            return info
    raise DeviceFailed(f"The device did not come back within {RETURN_S:g} s of its restart.")


def _is_younger(info: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    now, then = number_of(info.get("uptimeSeconds")), number_of(before.get("uptimeSeconds"))
    return now is not None and then is not None and now < then


async def again(driver: Driver, tries: int = 3, pause_s: float = 1.0) -> dict[str, Any]:
    """What it says, asked up to `tries` times; raises the last DeviceFailed."""
    for left in reversed(range(tries)):
        try:
            return await driver.info()
        except DeviceFailed:
            if not left:
                raise
            await asyncio.sleep(pause_s)
    raise AssertionError("unreachable")
