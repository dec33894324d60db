"""The OpenAPI document is valid, whole, and true: whatever fits or not, nothing answers 500."""

import json
import random
import re
import string
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from testbench.api.app import create_app
from testbench.domain.ids import new_id
from tests.callers import Api
from tests.services import Env
from tests.services.test_discovery import configure, entry, service

ROUTES = [
    "POST /api/auth/login",
    "POST /api/auth/logout",
    "GET /api/auth/me",
    "POST /api/auth/tokens",
    "GET /api/auth/tokens",
    "DELETE /api/auth/tokens/{}",
    "POST /api/users",
    "GET /api/users",
    "GET /api/devices",
    "POST /api/devices",
    "PUT /api/devices/listen",
    "GET /api/devices/discover",
    "GET /api/devices/discovered",
    "PUT /api/devices/imprint",
    "PATCH /api/devices/imprint",
    "GET /api/devices/imprint",
    "DELETE /api/devices/imprint/{}",
    "GET /api/devices/{}",
    "PATCH /api/devices/{}",
    "DELETE /api/devices/{}",
    "POST /api/devices/{}/token",
    "GET /api/devices/events",
    "GET /api/devices/{}/logs",
    "GET /api/devices/{}/logs/listening",
    "PUT /api/devices/{}/logs/listening",
    "GET /api/devices/{}/telemetry",
    "GET /api/devices/{}/validation-errors",
    "PATCH /api/devices/{}/system",
    "POST /api/devices/{}/restart",
    "GET /api/devices/{}/changes",
    "POST /api/devices/{}/changes/{}/revert",
    "GET /api/presets",
    "POST /api/presets",
    "GET /api/presets/{}",
    "PUT /api/presets/{}",
    "PATCH /api/presets/{}",
    "DELETE /api/presets/{}",
    "POST /api/rollouts",
    "GET /api/rollouts",
    "GET /api/rollouts/{}",
    "POST /api/rollouts/{}/stop",
    "POST /api/rollouts/{}/resume",
    "POST /api/rollouts/{}/devices/{}/revert",
    "POST /api/telemetry",
    "POST /api/v1/{}/telemetry",
    "GET /api/test-cases",
    "POST /api/test-cases",
    "GET /api/test-cases/{}",
    "PUT /api/test-cases/{}",
    "DELETE /api/test-cases/{}",
    "POST /api/test-cases/{}/evaluate",
    "GET /api/environments",
    "POST /api/environments",
    "GET /api/environments/{}",
    "PUT /api/environments/{}",
    "DELETE /api/environments/{}",
    "POST /api/test-runs",
    "GET /api/test-runs",
    "GET /api/test-runs/{}",
    "POST /api/test-runs/{}/cancel",
    "POST /api/test-runs/{}/callback",
    "POST /api/test-runs/{}/heartbeat",
    "GET /api/test-runs/{}/report",
    "GET /api/test-runs/compare",
    "PUT /api/dashboard/config",
    "GET /api/dashboard",
    "GET /api/live",
    "GET /api/ready",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = TestClient(create_app()).get("/api/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def streams(operation: dict[str, Any]) -> bool:
    """Whether its answer has no end; tests/api/test_device_events.py sends to these."""
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)  # type: ignore[arg-type]


@pytest.mark.parametrize("route", ROUTES)
def test_every_promised_route_is_there(document: dict[str, Any], route: str) -> None:
    known = {f"{m} {re.sub(r'{[^}]*}', '{}', path)}" for m, path, _ in operations(document)}

    assert route in known


def test_every_operation_says_what_it_does_and_how_it_refuses(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation.get("description") or operation.get("summary"), (method, path)
        refusal = operation["responses"]["default"]["content"]["application/problem+json"]
        assert refusal["schema"]["$ref"].endswith("/Problem")
    assert "HTTPValidationError" not in json.dumps(document)


def test_the_docs_are_a_page_that_loads_nothing_from_elsewhere() -> None:
    client = TestClient(create_app())

    page = client.get("/api/docs")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"https?://|<script|<link|src=", page.text)
    for route in ROUTES:
        pattern = re.escape(route.partition(" ")[2]).replace(r"\{\}", r"\{\w+\}")
        assert re.search(f"<code>{pattern}</code>", page.text), route
    for status in (400, 401, 403, 404, 405, 409, 413, 422, 429, 503):
        assert f'id="problem-{status}"' in page.text


# --- whatever is sent ---------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, 5e-324, "", " ", "x",
    "\x01", "\u202e", "\ud7ff", "😀" * 300, "x" * 3000, "{{x}}", "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "NaN", "1e400", "%s",
    "'; DROP TABLE runs; --", "../../etc/passwd", [], [None], [[]], {}, {"": None},
    {"a": {"b": []}},
]  # fmt: skip
QUERY = [
    "", "x", "-1", "0", "1", "501", "9" * 400, "1e3", "null", "true", "%", "\x01", "é😀",
    "x" * 5000,
    "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "AAAA", "..",
]  # fmt: skip


PLAIN: dict[str, list[Any]] = {
    "integer": [0, 1, 2, 60, 2**40],
    "number": [0.001, 1, 2.5, 1e300],
    "boolean": [True, False],
    "date-time": ["2026-11-01T00:00:00Z", "2026-11-01T00:00:00.5+02:00"],
}


class Sender:
    """Makes requests of the document: mostly fitting, with something odd in them."""

    def __init__(self, document: dict[str, Any], known: list[str], seed: int) -> None:
        self.document = document
        self.known = known
        self.chance = random.Random(seed)

    def value(self, schema: dict[str, Any], depth: int = 0) -> Any:
        if self.chance.random() < 0.12 or depth > 6:
            return self.chance.choice(ODD)
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.value(self.document["components"]["schemas"][name], depth + 1)
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self.value(self.chance.choice(schema[union]), depth + 1)
        if "const" in schema or "enum" in schema:
            return self.chance.choice(schema.get("enum") or [schema["const"]])
        return self.plain(schema, depth)

    def plain(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("format") or schema.get("type")
        kind = self.chance.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            items = schema.get("items", {})
            return [self.value(items, depth + 1) for _ in range(self.chance.randint(1, 3))]
        if kind in PLAIN:
            return self.chance.choice(PLAIN[kind])
        letters = self.chance.choices(string.ascii_letters + " é", k=8)
        return self.chance.choice([*self.known, "".join(letters)])

    def object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, field in schema.get("properties", {}).items():
            if name in schema.get("required", ()) or self.chance.random() < 0.5:
                made[name] = self.value(field, depth + 1)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            made["x"] = self.value(extra, depth + 1)
        if self.chance.random() < 0.03:
            made["unheard_of"] = self.chance.choice(ODD)
        return made

    def request(self, method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
        query = {}
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                text = self.chance.choice(
                    [*self.known, "x", "%00", "%ff", "a:b:c:d:e:f", "1" * 300]
                )
                path = path.replace(f"{{{parameter['name']}}}", text)
            elif parameter["in"] == "query" and self.chance.random() < 0.5:
                query[parameter["name"]] = self.chance.choice([*QUERY, *self.known])
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        request: dict[str, Any] = {"method": method, "url": path, "params": query}
        if content:
            request["content"] = json.dumps(self.value(content["schema"])).encode()
        return request


@pytest.fixture
def discovery_service() -> Iterator[str]:
    """What finds one device."""
    with service(lambda _: [entry(1)]) as url:
        yield url


def test_whatever_is_sent_nothing_answers_500(
    api: Api, document: dict[str, Any], bench_env: Env, discovery_service: str
) -> None:
    device, environment = api.device(), api.made("/api/environments", {"name": "e"})
    case, run = api.case(), api.run()
    known = [device["id"], environment["id"], case["id"], run["id"], str(new_id())]
    sender = Sender(document, known, seed=7)
    configure(bench_env)  # else discovery is unavailable, which is a 502
    bench_env.set(DISCOVERY_URL=discovery_service)
    clients = [api.role("admin"), api.client(device["token"])]
    skipped = ("/api/auth/", "/api/users", "/api/ready")  # passwords take their time to hash
    chosen = [
        (method, path, operation)
        for method, path, operation in operations(document)
        if not path.startswith(skipped) and not streams(operation)
    ]
    seen: set[int] = set()

    for _ in range(25):
        for method, path, operation in chosen:
            client = clients[path.endswith("telemetry") and method == "POST"]
            request = sender.request(method, path, operation)
            answer = client.request(**request)
            seen.add(answer.status_code)
            assert answer.status_code < 500, (request, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", request

    assert {200, 201, 400, 401, 404, 409, 422} <= seen
