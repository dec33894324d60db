"""The page for an address that leads nowhere."""

import reflex as rx

from testbench.components import empty_state, shell


def not_found() -> rx.Component:
    """Says so, and leads back."""
    home = rx.link(rx.button("Go to Home", variant="soft"), href="/")
    return shell(
        empty_state("map-pin-off", "There is no such page", "The address leads nowhere.", home),
        title="Not found",
        active="",
    )
