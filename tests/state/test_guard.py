"""I7: every event handler refuses who may not use it, also without its page.

Any client can send any registered event. So all handlers of all states are enumerated, and each is
invoked by everybody from nobody to admin who may not use it.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import reflex as rx
import structlog
from reflex.state import EventHandlerSetVar
from reflex_base.event import EventHandler
from reflex_base.registry import RegistrationContext
from reflex_base.utils.format import json_dumps

import testbench.testbench  # noqa: F401  (registers every state of the application)
from testbench.adapters import cache, db, passwords
from testbench.adapters import sessions as store
from testbench.domain.errors import Conflict, Unauthenticated
from testbench.domain.identity import BENCH, ROLES, Role
from testbench.services import identity, users
from testbench.services.users import NewUser, PasswordChange
from testbench.state import auth
from testbench.state.auth import AuthState, LoginState, actor, call, guarded
from tests.state.tabs import invoke, tab, words

if TYPE_CHECKING:
    from tests.conftest import Env

PASSWORD = "correct horse battery"
# Reflex's own handlers, which every page needs before anybody is known. They send the tab's own
# state, which the guarded handlers fill, and set no var but those of browser storage.
REFLEX_OWN = {
    "State.hydrate",
    "State.hydrate_and_load",
    "State.set_is_hydrated",
    "OnLoadInternalState.on_load_internal",
    "OnLoadInternalState.set_is_hydrated",
    "UpdateVarsInternalState.update_vars_internal",
    "FrontendEventExceptionState.handle_frontend_exception",
}
# Ours that need no login: the login page itself.
OPEN = {"LoginState.load"}


class GuardProbe(rx.State):
    """One handler of each make, to see that the guard stops and serves them all."""

    touched: int = 0
    seen: str = ""

    @rx.event
    @guarded("engineer")
    def plain(self, by: int):
        self.touched += by
        self.seen = actor().username

    @rx.event
    @guarded("engineer")
    async def waiting(self, by: int = 1):
        self.touched += by
        self.seen = actor().username

    @rx.event
    @guarded("engineer")
    def generating(self, by: int):
        self.touched += by
        yield
        self.seen = actor().username
        return rx.redirect("/done")

    @rx.event
    @guarded("engineer")
    async def streaming(self, by: int):
        self.touched += by
        yield
        self.seen = actor().username
        yield rx.redirect("/done")

    @rx.event(background=True)
    @guarded("engineer")
    async def behind(self, by: int):
        self.touched += by
        self.seen = actor().username

    @rx.event
    @guarded()
    async def set_seen(self, value: str):
        self.seen = value

    @rx.event
    @guarded()
    async def running(self):
        self.seen = await call(lambda tx, me, word: f"{word} {me.username}", "hello")

    @rx.event
    @guarded()
    async def failing(self):
        def verb(tx: object, me: object) -> None:
            raise Conflict("The device is busy.")

        await call(verb)

    @rx.event
    @guarded()
    async def misfilling(self):
        PasswordChange.model_validate({"current_password": "x", "new_password": "secret"})


PROBES = ["plain", "waiting", "generating", "streaming", "behind"]


def handlers() -> list[tuple[str, EventHandler]]:
    """All that a client can call, with a short name for each."""
    found = []
    for registered in RegistrationContext.get().event_handlers.values():
        handler = registered.handler
        assert handler.state is not None
        found.append((f"{handler.state.__name__}.{handler.fn.__name__}", handler))
    return found


def guarded_handlers() -> Iterator[tuple[str, EventHandler, Role]]:
    for name, handler in handlers():
        role = getattr(handler.fn, "__testbench_role__", None)
        if role is not None:
            yield name, handler, role


def fill(handler: EventHandler) -> list[object]:
    """Something for each parameter that has no default; a refusal never looks at it."""
    parameters = list(inspect.signature(handler.fn).parameters.values())[1:]
    return [1 for parameter in parameters if parameter.default is inspect.Parameter.empty]


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt at its least cost; tests/services/test_identity.py keeps the real one."""
    monkeypatch.setattr(passwords, "ROUNDS", 4)


@pytest.fixture
def sessions(bench_env: "Env") -> dict[Role, str]:
    """A live session of each role."""
    made: dict[Role, str] = {}
    for role in ROLES:
        new = NewUser(username=f"the-{role}", password=PASSWORD, role=role)
        user = db.run(lambda tx, new=new: users.create(tx, BENCH, new), attempt_s=4)
        made[role], _ = store.create(user.id, user.username, role)
    return made


def test_every_handler_is_guarded_or_on_the_short_list() -> None:
    unguarded = [
        name
        for name, handler in handlers()
        if not hasattr(handler.fn, "__testbench_role__")
        and handler.fn is not EventHandlerSetVar.setvar
    ]

    assert sorted(unguarded) == sorted(REFLEX_OWN | OPEN)


def test_guarded_handlers_name_a_role_and_take_no_actor_from_the_client() -> None:
    for name, handler, role in guarded_handlers():
        assert role in ROLES, name
        assert not {"actor", "me"} & set(handler.get_parameters()), name
        if handler.is_background:
            assert inspect.iscoroutinefunction(handler.fn) or inspect.isasyncgenfunction(handler.fn)


def test_no_handler_serves_who_may_not_use_it(sessions: dict[Role, str]) -> None:
    everybody: list[Role | None] = [None, *ROLES]
    refused = 0

    async def check() -> None:
        nonlocal refused
        for name, handler, needed in guarded_handlers():
            for who in everybody:
                if who is not None and ROLES.index(who) >= ROLES.index(needed):
                    continue
                root = tab(sessions[who] if who else None)
                state = await root.get_state(handler.state)
                before = json.loads(json_dumps(state.dict()))

                events = await invoke(root, handler, *fill(handler))

                expected = "/login?next=" if who is None else "Not allowed."
                assert len(events) == 1, (name, who)
                assert expected in words(events), (name, who)
                assert json.loads(json_dumps(state.dict())) == before, (name, who)
                refused += 1

    asyncio.run(check())

    assert refused >= len(list(guarded_handlers()))


@pytest.mark.parametrize("probe", PROBES)
def test_each_make_of_handler_runs_for_who_may(sessions: dict[Role, str], probe: str) -> None:
    handler = GuardProbe.event_handlers[probe]

    async def check() -> None:
        for who in ("engineer", "supervisor", "admin"):
            root = tab(sessions[who])
            state = await root.get_state(GuardProbe)

            events = await invoke(root, handler, 3)

            assert (state.touched, state.seen) == (3, f"the-{who}")
            if probe in ("generating", "streaming"):
                assert "/done" in words(events)

    asyncio.run(check())


def test_actor_is_gone_after_the_event(sessions: dict[Role, str]) -> None:
    async def check() -> None:
        for probe in PROBES:
            await invoke(tab(sessions["admin"]), GuardProbe.event_handlers[probe], 1)
            with pytest.raises(Unauthenticated):
                actor()

    asyncio.run(check())


def test_events_at_once_keep_their_own_actors(sessions: dict[Role, str]) -> None:
    roots = [tab(session) for session in sessions.values()] * 5

    async def check() -> list[str]:
        roots = [tab(sessions[role]) for role in ROLES for _ in range(5)]
        runs = [invoke(root, GuardProbe.event_handlers["running"]) for root in roots]
        await asyncio.gather(*runs)
        return [(await root.get_state(GuardProbe)).seen for root in roots]

    seen = asyncio.run(check())

    assert len(seen) == len(roots)
    assert seen == [f"hello the-{role}" for role in ROLES for _ in range(5)]


@pytest.mark.parametrize("end", ["logout", "disable", "demote", "reset", "lost"])
def test_open_tab_is_refused_at_its_next_event(sessions: dict[Role, str], end: str) -> None:
    root = tab(sessions["engineer"])
    person = identity.authenticate_cookie(sessions["engineer"])
    assert person.user_id is not None
    ends: dict[str, Callable[[], object]] = {
        "logout": lambda: identity.logout(person),
        "disable": lambda: db.run(lambda tx: users.disable(tx, BENCH, person.user_id)),
        "demote": lambda: db.run(lambda tx: users.set_role(tx, BENCH, person.user_id, "viewer")),
        "reset": lambda: db.run(
            lambda tx: users.reset_password(tx, BENCH, person.user_id, "given anew"), attempt_s=4
        ),
        "lost": cache.client().flushdb,
    }

    async def check() -> list[Any]:
        await invoke(root, GuardProbe.event_handlers["plain"], 1)
        assert (await root.get_state(GuardProbe)).touched == 1
        ends[end]()
        return await invoke(root, GuardProbe.event_handlers["plain"], 1)

    events = asyncio.run(check())

    assert ("Not allowed." if end == "demote" else "/login") in words(events)


def test_refused_tab_forgets_what_it_showed_and_remembers_where_it_was(
    sessions: dict[Role, str],
) -> None:
    root = tab(sessions["engineer"], "/runs?status=failed")

    async def check() -> None:
        await invoke(root, AuthState.event_handlers["load"])
        await invoke(root, GuardProbe.event_handlers["plain"], 7)
        identity.logout(identity.authenticate_cookie(sessions["engineer"]))

        events = await invoke(root, GuardProbe.event_handlers["plain"], 1)

        assert "/login?next=%2Fruns%3Fstatus%3Dfailed" in words(events)
        assert (await root.get_state(GuardProbe)).touched == 0
        assert (await root.get_state(AuthState)).username == ""

    asyncio.run(check())


def test_next_person_at_a_tab_sees_nothing_of_the_last(sessions: dict[Role, str]) -> None:
    root = tab(sessions["admin"])

    async def check() -> None:
        await invoke(root, AuthState.event_handlers["load"])
        await invoke(root, GuardProbe.event_handlers["plain"], 7)
        cookie = {"cookie": f"{identity.COOKIE}={sessions['viewer']}"}
        root.router_data = root._update_router_vars({"headers": cookie}, root.router_data)

        await invoke(root, AuthState.event_handlers["load"])

        shown = await root.get_state(AuthState)
        assert (shown.username, shown.role) == ("the-viewer", "viewer")
        assert (await root.get_state(GuardProbe)).touched == 0

    asyncio.run(check())


def test_session_cookie_never_reaches_the_browsers_state(sessions: dict[Role, str]) -> None:
    root = tab(sessions["admin"])

    async def check() -> None:
        await invoke(root, AuthState.event_handlers["load"])

    asyncio.run(check())

    sent = json_dumps(root.dict())
    assert "the-admin" in sent
    assert sessions["admin"] not in sent


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_setvar_passes_no_guard(sessions: dict[Role, str]) -> None:
    root = tab(None)

    async def check() -> None:
        state = await root.get_state(GuardProbe)
        shown = await root.get_state(AuthState)

        # A guarded setter is not awaited by it, and other vars have no setter.
        state.setvar("seen", "mine")
        with pytest.raises(AttributeError):
            shown.setvar("role", "admin")

        assert (state.seen, shown.role) == ("", "")

    asyncio.run(check())


def test_refusals_of_verbs_become_toasts(sessions: dict[Role, str]) -> None:
    root = tab(sessions["viewer"])

    async def check() -> tuple[str, str]:
        busy = await invoke(root, GuardProbe.event_handlers["failing"])
        unfit = await invoke(root, GuardProbe.event_handlers["misfilling"])
        return words(busy), words(unfit)

    busy, unfit = asyncio.run(check())

    assert "The device is busy." in busy
    assert "new_password" in unfit
    assert "at least 8" in unfit


def test_session_store_away_refuses_with_a_toast(
    sessions: dict[Role, str], bench_env: "Env"
) -> None:
    root = tab(sessions["admin"])
    bench_env.set(REDIS_URL="redis://127.0.0.1:1/0")

    async def check() -> tuple[str, int]:
        events = await invoke(root, GuardProbe.event_handlers["plain"], 1)
        return words(events), (await root.get_state(GuardProbe)).touched

    text, touched = asyncio.run(check())

    assert "does not answer" in text
    assert touched == 0


def test_log_out_ends_the_session_and_empties_the_tab(sessions: dict[Role, str]) -> None:
    root = tab(sessions["viewer"])

    async def check() -> list[Any]:
        await invoke(root, AuthState.event_handlers["load"])
        return await invoke(root, AuthState.event_handlers["log_out"])

    events = asyncio.run(check())

    assert "/login" in words(events)
    with pytest.raises(Unauthenticated):
        identity.authenticate_cookie(sessions["viewer"])


@pytest.mark.parametrize(
    ("query", "error", "next_"),
    [
        ("", "", "/"),
        ("?next=%2Fruns%3Fa%3D1", "", "/runs?a=1"),
        ("?next=%2F%2Fevil.example", "", "/"),
        ("?next=javascript%3Aalert(1)", "", "/"),
        ("?error=unauthenticated", "Wrong username or password.", "/"),
        ("?error=toomany&wait=7", "Too many attempts. Try again in 7 s.", "/"),
        ("?error=toomany&wait=<b>", "Too many attempts.", "/"),
        ("?error=%3Cscript%3E", "", "/"),
    ],
)
def test_login_page_shows_known_words_and_leads_to_own_paths(
    bench_env: "Env", query: str, error: str, next_: str
) -> None:
    root = tab(None, f"/login{query}")

    async def check() -> None:
        await invoke(root, LoginState.event_handlers["load"])
        page = await root.get_state(LoginState)
        assert (page.error, page.next) == (error, next_)

    asyncio.run(check())


def test_login_page_sends_on_who_is_logged_in(sessions: dict[Role, str]) -> None:
    root = tab(sessions["viewer"], "/login?next=%2Fdevices")

    events = asyncio.run(invoke(root, LoginState.event_handlers["load"]))

    assert "/devices" in words(events)


def test_refusals_are_logged(sessions: dict[Role, str]) -> None:
    with structlog.testing.capture_logs() as lines:
        asyncio.run(invoke(tab(sessions["viewer"]), GuardProbe.event_handlers["plain"], 1))

    assert [line["error"] for line in lines if line["event"] == "event_refused"] == ["Forbidden"]


def test_login_link_of_the_home_page_is_plain() -> None:
    assert auth._login_link(tab(None, "/")) == "/login"
