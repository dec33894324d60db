"""From the network into the bench: search it, see what is there, imprint what is wanted."""

from testbench.services.discovery.candidates import (
    Candidate,
    Candidates,
    Place,
    call_off,
    candidates,
    place,
    unimprinted,
)
from testbench.services.discovery.imprinting import imprint, imprinted, release
from testbench.services.discovery.searching import NO_NETWORKS, discover, discovered

__all__ = [
    "NO_NETWORKS",
    "Candidate",
    "Candidates",
    "Place",
    "call_off",
    "candidates",
    "discover",
    "discovered",
    "imprint",
    "imprinted",
    "place",
    "release",
    "unimprinted",
]
