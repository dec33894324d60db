"""Which firmware answers: its number, and whose branch it is."""

import re
from collections.abc import Mapping
from typing import Literal

Version = tuple[int, int, int]
Family = Literal["axeos", "nerdqaxe"]


def version_of(text: object) -> Version | None:
    """`v2.4.5-3-gb5d1e36-dirty` → (2, 4, 5); None where there is no number to compare."""
    if not isinstance(text, str):
        return None
    found = re.match(r"\s*v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def family_of(info: Mapping[str, object]) -> Family:
    """NerdQAxe counts its versions anew, and names its board and address in its own way."""
    model = info.get("deviceModel")
    if (isinstance(model, str) and "nerd" in model.lower()) or "hostip" in info:
        return "nerdqaxe"
    return "axeos"
