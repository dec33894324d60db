"""Who is at this tab: the guard of every event handler, and the way to run a verb.

Any client can call any registered handler without visiting its page, so every handler of every
state carries `@guarded(…)` below `@rx.event`; tests/state/test_guard.py fails for one that does
not. The guard asks the session store on each event, never the tab. A handler takes no actor (what
is in its signature comes from the client); the actor is a context of the event:

    class DevicesState(rx.State):
        rows: list[Row] = []

        @rx.event
        @guarded()                             # viewer and above
        async def load(self):
            page = await call(devices.list_, q=self.q)     # devices.list_(tx, actor, q=…)
            self.rows = [...]

        @rx.event
        @guarded("engineer")
        async def start(self, case_id: str):        # only what the client sends
            run = await call(runs.start, NewRun(...))
            return rx.redirect(f"/runs/{run.id}")

`call` runs the verb in a thread, in one transaction. What a verb refuses (a BenchError) may be
left to the guard, which makes a toast of it, or caught for an error beside its field. Handlers may
be plain, async, generators or async generators, background ones too (there, `call` outside of
`async with self`). Public vars reach the browser and can be asked for by it: keep in them only what
the loading handler's role may see. Pages that need a login have `on_load=[AuthState.load, …]`.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode

import reflex as rx
import structlog
from pydantic import ValidationError
from reflex.istate.proxy import StateProxy

from testbench.adapters import db
from testbench.domain.errors import BenchError, Forbidden, Unauthenticated, Unavailable
from testbench.domain.identity import Actor, Role, require
from testbench.domain.links import local_path
from testbench.services import identity

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
REFUSALS = (BenchError, ValidationError)
LOGIN_ERRORS = {
    "unauthenticated": "Wrong username or password.",
    "toomany": "Too many attempts.",
    "unavailable": "The bench cannot check passwords right now. Try again in a moment.",
}
# The username stands already; after the field it stands in was drawn anew.
FOCUS_PASSWORD = "setTimeout(() => document.getElementById('password')?.focus(), 80)"  # noqa: S105
log = structlog.get_logger()

_current: ContextVar[Actor | None] = ContextVar("actor", default=None)


def actor() -> Actor:
    """The person whose event is being handled; only inside a guarded handler."""
    found = _current.get()
    if found is None:
        raise Unauthenticated("Log in to go on.")
    return found


async def call(verb: Callable[..., T], *args: Any, attempt_s: float = 1.4, **kwargs: Any) -> T:
    """`verb(tx, actor, *args, **kwargs)` in a thread, in one transaction; raises BenchError.

    `attempt_s`: seconds for one try; 4 for the verbs of services.users, which use bcrypt.
    """
    me = actor()
    return await asyncio.to_thread(
        db.run, lambda tx: verb(tx, me, *args, **kwargs), attempt_s=attempt_s
    )


def guarded(role: Role = "viewer") -> Callable[[F], F]:
    """Lets an event through to the handler only from a live session with at least `role`."""

    def decorate(handler: Any) -> Any:
        streams = inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler)
        wrapper = _stream(handler, role) if streams else _single(handler, role)
        wrapper.__testbench_role__ = role
        return wrapper

    return decorate


def _single(handler: Callable[..., Any], role: Role) -> Any:
    @functools.wraps(handler)
    async def wrapper(self: rx.State, *args: Any, **kwargs: Any) -> Any:
        before = _current.get()
        try:
            _current.set(await _admit(self, role))
            result = handler(self, *args, **kwargs)
            return await result if isinstance(result, Awaitable) else result
        except REFUSALS as error:
            return _refuse(self, error)
        finally:
            _current.set(before)

    return wrapper


def _stream(handler: Callable[..., Any], role: Role) -> Any:
    @functools.wraps(handler)
    async def wrapper(self: rx.State, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        before = _current.get()
        try:
            _current.set(await _admit(self, role))
            if inspect.isasyncgenfunction(handler):
                async for update in handler(self, *args, **kwargs):
                    yield update
            else:
                for update in _with_return(handler(self, *args, **kwargs)):
                    yield update
        except REFUSALS as error:
            yield _refuse(self, error)
        finally:
            _current.set(before)

    return wrapper


def _with_return(generator: Any) -> Any:
    """All a generator yields, then what it returns: Reflex takes both for events."""
    returned = yield from generator
    if returned is not None:
        yield returned


async def _admit(state: rx.State, role: Role) -> Actor:
    """The person behind the tab's cookie, asked anew of the session store."""
    cookie = _cookie(state, identity.COOKIE)
    person = await asyncio.to_thread(identity.authenticate_cookie, cookie)
    require(person, role)
    return person


def _refuse(state: rx.State, error: BenchError | ValidationError) -> Any:
    """What the browser does instead: go to the login page, or say why not."""
    if isinstance(error, Unauthenticated):
        if not isinstance(state, StateProxy):
            _forget(state)
        return rx.redirect(_login_link(state), replace=True)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return rx.toast.error(f"{where}: {first['msg']}" if where else first["msg"])
    log.info("event_refused", error=type(error).__name__, detail=error.detail)
    if isinstance(error, Forbidden):
        return rx.toast.error(f"Not allowed. {error.detail}")
    return rx.toast.error(error.detail)


def _forget(state: rx.State) -> None:
    """Every state of the tab as new: the next person at it sees nothing of the last."""
    for substate in state._get_root_state().substates.values():
        substate.reset()


def _login_link(state: rx.State) -> str:
    url = state.router.url
    here = local_path(f"{url.path}?{url.query}" if url.query else url.path)
    return "/login" if here == "/" else f"/login?{urlencode({'next': here})}"


def _cookie(state: rx.State, name: str) -> str | None:
    try:
        jar = SimpleCookie(state.router.headers.cookie or "")
    except CookieError:
        return None
    return jar[name].value if name in jar else None


class AuthState(rx.State):
    """What pages show of the person; what they may do is asked of the session store."""

    username: str = ""
    role: str = ""
    _user_id: str = ""

    @rx.event
    @guarded()
    async def load(self):
        """Before any page's own loading: who is here; a tab's former person is forgotten."""
        me = actor()
        if self._user_id and self._user_id != str(me.user_id):
            _forget(self)
        self._user_id = str(me.user_id)
        self.username, self.role = me.username, me.role

    @rx.event
    @guarded()
    async def log_out(self):
        """The session is dead, in every tab and program that used it."""
        await asyncio.to_thread(identity.logout, actor())
        _forget(self)
        return rx.redirect("/login", replace=True)

    @rx.event
    @guarded()
    async def log_out_everywhere(self):
        """Every session of this person is dead, on every machine."""
        await asyncio.to_thread(identity.logout, actor(), everywhere=True)
        _forget(self)
        return rx.redirect("/login", replace=True)


class LoginState(rx.State):
    """The login page: why the last attempt failed, and where to go on."""

    error: str = ""
    username: str = ""
    next: str = "/"

    @rx.event
    async def load(self):
        """Open to everybody: shows no more than the address bar and the own cookie say."""
        query = self.router.url.query_parameters
        go_on = local_path(query.get("next", ""))
        try:
            await _admit(self, "viewer")
        except Unauthenticated:
            _forget(self)
        except Unavailable as error:
            self.error = error.detail
            return None
        else:
            return rx.redirect(go_on, replace=True)
        self.next = go_on
        self.error = _login_error(query)
        typed = parse_qs(_cookie(self, identity.NAME_COOKIE) or "").get("name", [""])
        self.username = typed[0] if self.error else ""
        return rx.run_script(FOCUS_PASSWORD) if self.username else None


def _login_error(query: Any) -> str:
    text = LOGIN_ERRORS.get(query.get("error", ""), "")
    wait = query.get("wait", "")
    seconds = wait.isascii() and wait.isdigit() and len(wait) <= 4
    return f"{text} Try again in {wait} s." if text and seconds else text
