"""The API in this process, called as people of each role; and the form of its refusals."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from testbench.adapters import db, sessions
from testbench.domain.identity import Role
from testbench.domain.ids import new_id
from testbench.models import User
from testbench.services import identity
from tests import made_runs
from tests.services import free_port, wait_until

LIMITS: dict[str, Any] = {"kind": "range", "name": "warm", "metric": "temp", "high": 30}


def signed_in(role: Role) -> str:
    """A new person's JWT."""
    user = User(
        id=new_id(),
        username=f"{role}-{new_id()}",
        password_hash="none",
        role=role,
        created_at=datetime.now(UTC),
    )
    with db.transaction() as tx:
        tx.session.add(user)
    _, session = sessions.create(user.id, user.username, role)
    return identity._sign(session)


@dataclass
class Api:
    """Calls by role; what the server raises comes back as its answer."""

    app: FastAPI
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, token: str | None) -> TestClient:
        """A caller with this bearer token, or nobody."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(self.app, raise_server_exceptions=False, headers=headers)

    def role(self, role: Role) -> TestClient:
        """The one person of this role."""
        if role not in self.tokens:
            self.tokens[role] = signed_in(role)
        return self.client(self.tokens[role])

    @property
    def viewer(self) -> TestClient:
        return self.role("viewer")

    @property
    def engineer(self) -> TestClient:
        return self.role("engineer")

    @property
    def nobody(self) -> TestClient:
        return self.client(None)

    def device(self, online: bool = True, **fields: Any) -> dict[str, Any]:
        """A device, with its `token`; online for five minutes."""
        body = {"name": f"d-{new_id()}", "kind": "http", **fields}
        made = self.made("/api/devices", body)
        if online:
            made_runs.heard(uuid.UUID(made["id"]), ahead_s=300)
        return made

    def case(self, *criteria: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A test case that is judged soon."""
        body = {"name": f"c-{new_id()}", "duration_s": 0.2, "grace_s": 0, **fields}
        return self.made("/api/test-cases", {**body, "criteria": list(criteria) or [LIMITS]})

    def run(self, **fields: Any) -> dict[str, Any]:
        """A started run."""
        body = dict(fields)
        body.setdefault("test_case_id", self.case()["id"] if "test_case_id" not in body else None)
        if "device_ids" not in body:
            body["device_ids"] = [self.device()["id"]]
        return self.made("/api/test-runs", body)

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """What an engineer's POST made."""
        answer = self.engineer.post(path, json=body)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document


def problem(answer: Response, status: int, loc: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document.keys() - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    if loc is not None:
        assert loc in [error["loc"] for error in document["errors"]], document
    return document


@contextmanager
def served(app: FastAPI, port: int | None = None) -> Iterator[str]:
    """The app behind a real server, with one event loop and its one pool of threads."""
    config = uvicorn.Config(app, port=port or free_port(), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, 10)
        yield f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join()
