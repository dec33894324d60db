"""Which devices are monitored, over REST."""

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import monitoring
from testbench.services.devices import DeviceView

router = APIRouter(prefix="/api/devices", tags=["devices"], route_class=Door)

FLEET_S = 4.0


class Listening(BaseModel):
    """Whom to monitor; without `macs` everything that is imprinted."""

    model_config = ConfigDict(extra="forbid")

    macs: list[Annotated[str, Field(max_length=40)]] | None = Field(default=None, max_length=50_000)
    trace_logs: StrictBool | None = None


@router.put("/listen")
@allow("engineer")
def listen(actor: Caller, body: Annotated[Listening | None, Body()] = None) -> list[DeviceView]:
    """The monitored devices become these; those no longer listed are polled no more."""
    asked = body or Listening()
    return db.run(
        lambda tx: monitoring.listen(tx, actor, asked.macs, asked.trace_logs), attempt_s=FLEET_S
    )
