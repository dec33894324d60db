"""Which pages may speak for a logged-in person: the bench's own, by whatever name it is reached."""

from typing import Any
from urllib.parse import urlsplit

from testbench.settings import settings


def is_own(origin: str, host: str) -> bool:
    """True for a page from the host that was asked, from PUBLIC_URL or CORS_ALLOWED_ORIGINS."""
    named = (settings().public_url.rstrip("/"), *settings().cors_allowed_origins)
    return origin in named or _host_of(origin) == host


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # `http://[` is nobody's page
        return None


def may_connect(origin: str | None, environ: dict[str, Any]) -> bool:
    """The same for a live page's socket, as python-engineio asks it."""
    return is_own(origin or "", environ.get("HTTP_HOST", ""))
