"""Settings of devices: sent, read back, kept as history, and taken back.

A device answers 200 also to what it ignores: only what it reports afterwards counts. A change is
written before it is sent; one change of a device at a time, a second one is refused meanwhile.
"""

from testbench.services.configurations.applying import (
    ConfiguredDevice,
    SystemBody,
    answers,
    apply,
    change_system,
    restart,
    revert,
)
from testbench.services.configurations.claiming import INTERRUPTED, end_interrupted
from testbench.services.configurations.views import (
    ChangeView,
    Difference,
    before_run,
    get,
    history,
    sendable,
    standing,
)

__all__ = [
    "INTERRUPTED",
    "ChangeView",
    "ConfiguredDevice",
    "Difference",
    "SystemBody",
    "answers",
    "apply",
    "before_run",
    "change_system",
    "end_interrupted",
    "get",
    "history",
    "restart",
    "revert",
    "sendable",
    "standing",
]
