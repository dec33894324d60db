"""What a device must be sent to be as it was before others changed it."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from testbench.domain.axeos.configuration import plan
from testbench.domain.axeos.readings import flag_of
from testbench.domain.axeos.texts import is_secret

MASK = "*****"
"""What a device shows of a secret."""

Settings = Mapping[str, Any]


def what_was(
    info: Settings, wanted: Iterable[Settings], known: Settings
) -> tuple[dict[str, Any], list[str]]:
    """The values to send back, and the keys whose values nobody can tell.

    `info`: what the device reports before it is changed. `wanted`: all that it will be sent.
    `known`: what the bench itself had set; it stands in for what no device reports, secrets above
    all. What this firmware ignores is left out, for it is not changed.
    """
    kept: dict[str, Any] = {}
    lost: list[str] = []
    for settings in wanted:
        for key, value in plan(info.get("version"), settings).send.items():
            if key in kept or key in lost:
                continue
            if key == "pools" and isinstance(info.get(key), list):
                kept[key], unknown = _pools(info[key], value, known.get(key))
                lost += unknown
            elif key in info and not _hides(info, key):
                kept[key] = info[key]
            elif key in known:
                kept[key] = known[key]
            else:
                lost.append(key)
    return kept, lost


def _hides(info: Settings, key: str) -> bool:
    """Whether the report is no setting: stars, or how fast an automatic fan runs."""
    return info[key] == MASK or (key == "fanspeed" and flag_of(info.get("autofanspeed")) is True)


def _pools(reported: list[Any], wanted: Any, known: Any) -> tuple[list[Any], list[str]]:
    """Each pool as reported, with the password that the bench had set where it will be changed."""
    pools: list[Any] = []
    lost: list[str] = []
    for number, pool in enumerate(reported):
        changed = _entry(wanted, number)
        ours = _entry(known, number)
        shown = {key: value for key, value in _object(pool).items() if value != MASK}
        secrets = [key for key in changed if is_secret(key)]
        same = ours.get("url") == shown.get("url")
        shown |= {key: ours[key] for key in secrets if same and key in ours}
        lost += [f"pools.{number}.{key}" for key in secrets if key not in shown]
        pools.append(shown)
    return pools, lost


def _entry(pools: Any, number: int) -> dict[str, Any]:
    if not isinstance(pools, list) or number >= len(cast("list[Any]", pools)):
        return {}
    return _object(pools[number])


def _object(value: Any) -> dict[str, Any]:
    return dict(cast("Settings", value)) if isinstance(value, Mapping) else {}
