"""Roll-outs: a preset on its way to many devices, one canary first, stopped by its failures."""

from testbench.services.rollouts.steering import RolloutBody, resume, revert_device, start, stop
from testbench.services.rollouts.stepping import (
    Due,
    Fenced,
    Step,
    claim,
    halt,
    perform,
    renew,
    take_due,
    unsend,
)
from testbench.services.rollouts.views import (
    RolloutDeviceView,
    RolloutSummary,
    RolloutView,
    devices_of,
    get,
    list_,
    summary,
)

__all__ = [
    "Due",
    "Fenced",
    "RolloutBody",
    "RolloutDeviceView",
    "RolloutSummary",
    "RolloutView",
    "Step",
    "claim",
    "devices_of",
    "get",
    "halt",
    "list_",
    "perform",
    "renew",
    "resume",
    "revert_device",
    "start",
    "stop",
    "summary",
    "take_due",
    "unsend",
]
