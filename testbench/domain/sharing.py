"""Who polls which device, and when: agreed without talking, from names and ids alone."""

import uuid
from collections.abc import Collection
from hashlib import blake2b

_WHOLE = 1 << 64


def keeper(device_id: uuid.UUID, names: Collection[str]) -> str:
    """The one of `names` that a device falls to (rendezvous hashing).

    When a name goes, only its devices move; when one comes, it takes its share of each.
    """
    if len(names) == 1:
        return next(iter(names))
    return max(names, key=lambda name: (_hash(device_id.bytes + name.encode()), name))


def phase(device_id: uuid.UUID) -> float:
    """0 ≤ … < 1, always the same for a device: its place within the interval of its polls."""
    return _hash(device_id.bytes) / _WHOLE


def wait_s(device_id: uuid.UUID, interval_s: float, now: float) -> float:
    """Seconds from `now` (Unix time) until a device's next turn, the same for any collector."""
    return (phase(device_id) * interval_s - now) % interval_s


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
