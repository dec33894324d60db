"""What can go wrong with an emulated device, switched on and off while it runs."""

from pydantic import BaseModel, ConfigDict, Field


class Faults(BaseModel):
    """All off. Each switch is one way in which real devices and networks misbehave."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    slow_s: float = Field(default=0.0, ge=0)
    """Answers come that much later."""
    hanging: bool = False
    """Connections are taken and never answered."""
    dead: bool = False
    """Connections are cut at once."""
    garbage: bool = False
    """200 with half a JSON document."""
    wrong_types: bool = False
    """Numbers come as text, lists and null; text as numbers."""
    changing_mac: bool = False
    """Each answer names another MAC address."""
    huge: bool = False
    """An answer of more than 1 MiB."""
    drip: bool = False
    """A byte now and then: no single read ever takes long."""
    redirect: str = ""
    """302 to this URL."""
