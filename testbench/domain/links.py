"""Links that came from outside, made safe to follow."""

from urllib.parse import urlsplit


def local_path(link: str, otherwise: str = "/") -> str:
    """`link` if it is a path on this very site, else `otherwise`.

    `//host`, `/\\host` and control characters are how a browser is led elsewhere.
    """
    if not link.startswith("/") or link.startswith("//") or "\\" in link or not link.isprintable():
        return otherwise
    parts = urlsplit(link)
    return otherwise if parts.scheme or parts.netloc else link
