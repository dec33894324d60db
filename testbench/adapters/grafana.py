"""Grafana's HTTP API: dashboards saved, published and deleted.

The address is resolved once a call and pinned, redirects are not followed: the token goes to
nobody else. Source: Grafana's documentation, "Dashboard HTTP API" and "Shared dashboards HTTP API".
"""

import base64
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from testbench.adapters import addresses
from testbench.adapters.addresses import Network
from testbench.domain.errors import BadGateway, BenchError, Unavailable
from testbench.settings import settings

CONNECT_S, ANSWER_S = 2.0, 5.0
MAX_ANSWER = 4 * 1024 * 1024
ALREADY_PUBLIC = "publicdashboards.dashboardIsPublic"
SHARED: dict[str, Any] = {
    "isEnabled": True,
    "timeSelectionEnabled": True,
    "annotationsEnabled": False,
    "share": "public",
}
# The operator names Grafana; only what nobody may ever call is refused.
ANYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Refused(BadGateway):
    """Grafana answered, and said no to this one dashboard."""

    def __init__(self, status: int, message: str, message_id: str = "") -> None:
        super().__init__(f"Grafana answered {status}: {message}")
        self.answered = status
        self.message_id = message_id


class Away(Unavailable):
    """Grafana does not answer, or refuses whoever the bench is: no dashboard will do better."""


class _Answer(NamedTuple):
    status: int
    document: dict[str, Any]


def save(dashboard: Mapping[str, Any], message: str) -> str:
    """Create the dashboard, or replace the one of its uid; its path in Grafana."""
    body = {"dashboard": dashboard, "overwrite": True, "message": message}
    return str(_ask("POST", "/api/dashboards/db", body).document.get("url", ""))


def publish(uid: str) -> str:
    """Make a dashboard public, in one call; the access token of its public address."""
    path = f"/api/dashboards/uid/{uid}/public-dashboards"
    try:
        shared = _ask("POST", path, SHARED).document
    except Refused as refusal:
        if refusal.message_id != ALREADY_PUBLIC:
            raise
        shared = _ask("GET", path).document
        if any(shared.get(key) != value for key, value in SHARED.items()):
            shared = _ask("PATCH", f"{path}/{shared.get('uid', '')}", SHARED).document
    token = str(shared.get("accessToken") or "")
    if not token.isalnum():
        raise Refused(200, "the public dashboard has no access token")
    return token


def unpublish(uid: str) -> None:
    """Take a dashboard back from the public; nothing if it is not there."""
    path = f"/api/dashboards/uid/{uid}/public-dashboards"
    shared = _ask("GET", path, absent=True).document.get("uid")
    if shared:
        _ask("DELETE", f"{path}/{shared}", absent=True)


def exists(uid: str) -> bool:
    """Whether Grafana has this dashboard."""
    return _ask("GET", f"/api/dashboards/uid/{uid}", absent=True).status != 404


def delete(uid: str) -> None:
    """Delete a dashboard; nothing if there is none."""
    _ask("DELETE", f"/api/dashboards/uid/{uid}", absent=True)


def authorization() -> dict[str, str]:
    """The header of GRAFANA_TOKEN: a service account's token, or `user:password`."""
    token = settings().grafana_token
    if not token:
        return {}
    if ":" in token:
        return {"Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}
    return {"Authorization": f"Bearer {token}"}


def _ask(method: str, path: str, body: object = None, *, absent: bool = False) -> _Answer:
    """One exchange; `absent`: 404 is an answer, too."""
    try:
        status, document = _exchange(method, path, body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Away(f"Grafana does not answer ({type(error).__name__}).", retry_after=5) from error
    except Away:
        raise
    except BenchError as error:
        raise Away(f"GRAFANA_URL: {error.detail}", retry_after=5) from error
    if status < 300 or (absent and status == 404):
        return _Answer(status, document)
    message = " ".join(str(document.get("message", "no reason given")).split())[:300]
    if status in (401, 403):
        raise Away(f"Grafana refuses GRAFANA_TOKEN ({status}: {message}).", retry_after=5)
    if status >= 500 or status == 429 or status < 400:
        raise Away(f"Grafana answered {status}: {message}", retry_after=5)
    raise Refused(status, message, str(document.get("messageId", "")))


def _exchange(method: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    pinned = addresses.allowed_url(_reachable(f"{_base()}{path}"), ANYWHERE)
    headers = {**pinned.headers, **authorization(), "Accept": "application/json"}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    with (
        httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False) as client,
        client.stream(
            method, pinned.url, json=body, headers=headers, extensions=dict(pinned.extensions)
        ) as answer,
    ):
        content = bytearray()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER:
                raise Away("Grafana's answer is too long.", retry_after=5)
        return answer.status_code, _document(httpx.Response(200, content=bytes(content)))


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        found: Any = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _base() -> str:
    base = settings().grafana_url
    if not base:
        raise Away("GRAFANA_URL is not set.")
    return base.rstrip("/")


def _reachable(url: str) -> str:
    """`localhost` is first of all ::1, where a port published for 127.0.0.1 does not answer."""
    parts = urlsplit(url)
    if parts.hostname == "localhost":
        return url.replace("localhost", "127.0.0.1", 1)
    return url
