"""The jump dialog: any device, run, test case or page by a part of its name."""

from dataclasses import dataclass

import reflex as rx

from testbench.services import search
from testbench.state.auth import call, guarded

PAGES = (
    ("Home", "/"),
    ("Devices", "/devices"),
    ("Discover", "/discover"),
    ("Runs", "/runs"),
    ("New run", "/runs/new"),
    ("Compare runs", "/runs/compare"),
    ("Test cases", "/test-cases"),
    ("Environments", "/environments"),
    ("System", "/system"),
    ("Account", "/account"),
    ("Users", "/users"),
)


@dataclass(frozen=True)
class Hit:
    """Somewhere to go."""

    kind: str
    title: str
    href: str


class SearchState(rx.State):
    """What was typed and what it finds."""

    hits: list[Hit] = []
    nothing: bool = False

    @rx.event
    @guarded()
    async def open(self, is_open: bool):
        """Opened: the pages, to begin with."""
        self.hits = _pages("") if is_open else []
        self.nothing = False

    @rx.event
    @guarded()
    async def find(self, text: str):
        """Pages first, then what the bench holds."""
        text = text.strip()[:100]
        found = await call(search.find, text) if text else []
        self.hits = _pages(text) + [Hit(one.kind, one.title, one.href) for one in found]
        self.nothing = not self.hits


def _pages(text: str) -> list[Hit]:
    wanted = text.casefold()
    return [Hit("page", title, href) for title, href in PAGES if wanted in title.casefold()]
