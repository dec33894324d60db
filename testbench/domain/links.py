"""Links that came from outside, made safe to follow; links that lead outside."""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit


def local_path(link: str, otherwise: str = "/") -> str:
    """`link` if it is a path on this very site, else `otherwise`.

    `//host`, `/\\host` and control characters are how a browser is led elsewhere.
    """
    if not link.startswith("/") or link.startswith("//") or "\\" in link or not link.isprintable():
        return otherwise
    parts = urlsplit(link)
    return otherwise if parts.scheme or parts.netloc else link


def dashboard(
    base: str | None,
    uid: str,
    start: int | None = None,
    end: int | None = None,
    devices: Sequence[str] = (),
) -> str | None:
    """A dashboard of Grafana at `base`, over a time in ms, with devices chosen; None without it."""
    if not base:
        return None
    query = [(name, str(at)) for name, at in (("from", start), ("to", end)) if at is not None]
    query += [("var-device", device) for device in devices]
    path = f"{base.rstrip('/')}/d/{uid}"
    return f"{path}?{urlencode(query)}" if query else path


def public_dashboard(base: str | None, token: str | None) -> str | None:
    """Its address for everybody who has the link; None where it is not published."""
    return f"{base.rstrip('/')}/public-dashboards/{token}" if base and token else None
