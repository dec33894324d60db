"""Login and logout for programs and for the login page's own form; one's password and tokens."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from testbench.adapters import db
from testbench.api import doors
from testbench.api.doors import Caller, Door, allow
from testbench.domain.errors import BenchError, TooMany, Unauthenticated, Unavailable
from testbench.domain.identity import Role
from testbench.domain.links import local_path
from testbench.services import identity, lists, users
from testbench.services.identity import COOKIE, NAME_COOKIE, Login
from testbench.settings import settings

FORM = "application/x-www-form-urlencoded"
NAME_COOKIE_S = 60
BCRYPT_S = 4.0
router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=Door)


class Credentials(BaseModel):
    """What logs a person in; `next` is the local path a form goes on to."""

    model_config = ConfigDict(hide_input_in_errors=True)

    username: str
    password: str
    next: str = "/"


class Me(BaseModel):
    """Who is logged in."""

    id: uuid.UUID
    username: str
    role: Role


class LoginAnswer(BaseModel):
    """A fresh session for a program; the cookie for a browser comes beside it."""

    token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (a kind of token, no secret)
    expires_at: datetime
    user: Me


async def _credentials(request: Request) -> Credentials:
    raw: Any
    if _is_form(request):
        raw = dict(await request.form())
    else:
        raw = await request.json() if await request.body() else {}
    try:
        return Credentials.model_validate(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False)) from error


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": Credentials.model_json_schema()} for kind in ("application/json", FORM)
        },
    }
}


@router.post("/login", response_model=LoginAnswer, openapi_extra=_BODY)
@allow("public")
def login(request: Request, credentials: Annotated[Credentials, Depends(_credentials)]) -> Response:
    """Log in: 200 with a JWT and the session cookie; a form is sent on to `next` instead."""
    if request.headers.get("origin"):
        doors.same_origin(request)
    try:
        fresh = identity.login(credentials.username, credentials.password, doors.address(request))
    except (Unauthenticated, TooMany, Unavailable) as error:
        if _is_form(request):
            return _back_to_form(credentials, error)
        raise
    answer = _go_on(credentials) if _is_form(request) else _tell(fresh)
    answer.set_cookie(
        COOKIE,
        fresh.session_id,
        max_age=settings().session_absolute_s,
        httponly=True,
        samesite="lax",
        secure=_is_secure(request),
    )
    return answer


@router.post("/logout", status_code=204)
@allow("viewer")
def logout(request: Request, actor: Caller, everywhere: bool = False) -> Response:
    """The session and its JWTs are dead; with `everywhere`, all of this person's."""
    identity.logout(actor, everywhere=everywhere)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_is_secure(request))
    return answer


@router.get("/me")
@allow("viewer")
def me(actor: Caller) -> Me:
    """Who is calling."""
    assert actor.user_id is not None  # noqa: S101 (only people pass the door)
    return Me(id=actor.user_id, username=actor.username, role=actor.role)


@router.post("/password", status_code=204)
@allow("viewer")
def change_password(actor: Caller, new: users.PasswordChange) -> None:
    """Change one's own password; all other sessions of the person end."""
    db.run(lambda tx: users.change_password(tx, actor, new), attempt_s=BCRYPT_S)


@router.post("/tokens", status_code=201)
@allow("viewer")
def create_token(actor: Caller, new: users.NewToken) -> users.CreatedToken:
    """A personal access token, shown once."""
    return db.run(lambda tx: users.create_token(tx, actor, new))


@router.get("/tokens")
@allow("viewer")
def list_tokens(
    actor: Caller,
    limit: Annotated[int, Query(ge=1, le=lists.MAX_LIMIT)] = 100,
    cursor: str | None = None,
) -> lists.Page[users.TokenView]:
    """One's own tokens, without the tokens themselves."""
    return db.run(lambda tx: users.list_tokens(tx, actor, limit, cursor))


@router.delete("/tokens/{token_id}", status_code=204)
@allow("viewer")
def delete_token(actor: Caller, token_id: str) -> None:
    """The token is refused from now on."""
    db.run(lambda tx: users.delete_token(tx, actor, token_id))


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(FORM)


def _is_secure(request: Request) -> bool:
    # Behind a proxy that ends TLS only PUBLIC_URL tells.
    tls = request.url.scheme == "https" or settings().public_url.startswith("https:")
    return tls or settings().secure_cookies


def _tell(fresh: Login) -> Response:
    person = Me(id=fresh.user_id, username=fresh.username, role=fresh.role)
    body = LoginAnswer(token=fresh.token, expires_at=fresh.expires_at, user=person)
    return JSONResponse(body.model_dump(mode="json"), headers={"Cache-Control": "no-store"})


def _go_on(credentials: Credentials) -> Response:
    answer = RedirectResponse(local_path(credentials.next), 303)
    answer.delete_cookie(NAME_COOKIE)
    return answer


def _back_to_form(credentials: Credentials, error: BenchError) -> Response:
    query = {"error": type(error).__name__.lower(), "next": local_path(credentials.next)}
    if error.retry_after:
        query["wait"] = str(error.retry_after)
    answer = RedirectResponse(f"/login?{urlencode(query)}", 303)
    name = urlencode({"name": credentials.username[: identity.MAX_USERNAME]})
    answer.set_cookie(NAME_COOKIE, name, max_age=NAME_COOKIE_S, httponly=True, samesite="strict")
    return answer
