"""What a run does before its test and after it: parts as sentences, each editable in place."""

from typing import Any

import reflex as rx

from testbench.components import card, schema_form, switch_field
from testbench.state.auth import AuthState
from testbench.state.drafts import PART_LABELS, PARTS, PartDraft
from testbench.state.test_case import TestCaseState

ICONS = {"apply_preset": "sliders-horizontal", "restart": "rotate-ccw", "wait_online": "wifi"}
LABELS = {"preset_id": "Preset", "timeout_s": "At most"}


def setup() -> rx.Component:
    """The parts in their order, and whether what they change is put back."""
    writes = AuthState.role != "viewer"
    return card(
        rx.cond(TestCaseState.errors.contains("setup"), _fault(TestCaseState.errors["setup"])),
        rx.el.ol(rx.foreach(TestCaseState.setup, _part), class_name="tb-criteria", id="setup"),
        rx.cond(
            TestCaseState.setup.length() == 0,
            rx.el.p(
                "Devices are tested as they are. Add what is to be done with them before: "
                "apply a preset, restart, wait until they are online.",
                class_name="tb-help",
                padding="14px",
            ),
        ),
        rx.el.div(_restore(), padding="10px 14px 14px"),
        title="Setup",
        actions=[rx.cond(writes, _add())],
        flush=True,
        width="100%",
    )


def _fault(text: Any) -> rx.Component:
    return rx.el.p(
        rx.icon("circle-alert", size=14, aria_hidden=True),
        text,
        class_name="tb-fault",
        role="alert",
        padding="12px 14px",
    )


def _restore() -> rx.Component:
    on = TestCaseState.flags["restore"]
    return switch_field(
        "restore",
        "Restore the settings afterwards",
        help=rx.cond(
            on,
            "What the setup changed is put back, also after a failure or a cancel.",
            "Devices keep what the setup has set.",
        ),
        checked=on,
        on_change=lambda value: TestCaseState.set_flag("restore", value),
    )


def _add() -> rx.Component:
    def item(kind: str) -> rx.Component:
        label, about = PART_LABELS[kind]
        return rx.dropdown_menu.item(
            rx.icon(ICONS.get(kind, "circle"), size=16, aria_hidden=True),
            rx.el.div(rx.el.div(label), rx.el.div(about, class_name="tb-help")),
            on_click=TestCaseState.add_part(kind),
            style={"height": "auto", "padding": "6px 10px", "gap": "12px"},
        )

    return rx.dropdown_menu.root(
        rx.dropdown_menu.trigger(
            rx.button(
                rx.icon("plus", size=14),
                "Add a part",
                size="1",
                variant="soft",
                id="add-part",
                type="button",
            )
        ),
        rx.dropdown_menu.content(*(item(kind) for kind in PARTS), max_width="420px"),
    )


def _part(part: PartDraft) -> rx.Component:
    icon = rx.match(
        part.kind,
        *((kind, rx.icon(name, size=16)) for kind, name in ICONS.items()),
        rx.icon("circle", size=16),
    )
    faulty = part.errors.length() > 0
    sentence = rx.el.button(
        rx.cond(faulty, rx.icon("circle-alert", size=16, class_name="tb-alert"), icon),
        rx.el.span(part.sentence, class_name="tb-strong tb-break"),
        type="button",
        on_click=TestCaseState.toggle_part(part.key),
        class_name="tb-sentence",
        custom_attrs={
            "aria-expanded": rx.cond(part.open, "true", "false"),
            "aria-label": f"Edit: {part.sentence}",
        },
    )
    return rx.el.li(
        rx.el.div(
            sentence,
            rx.cond(AuthState.role != "viewer", _tools(part)),
            class_name="tb-criterion-head",
        ),
        rx.cond(part.open, rx.el.div(_form(part), class_name="tb-criterion-form")),
        key=part.key.to_string(),
        custom_attrs={"data-open": rx.cond(part.open, "true", "false")},
    )


def _tools(part: PartDraft) -> rx.Component:
    def tool(icon: str, label: str, event: Any, color: Any = "gray") -> rx.Component:
        return rx.icon_button(
            rx.icon(icon, size=14),
            size="1",
            variant="ghost",
            color_scheme=color,
            on_click=event,
            custom_attrs={"aria-label": f"{label}: {part.sentence}"},
            title=label,
            type="button",
        )

    return rx.hstack(
        tool("arrow-up", "Move up", TestCaseState.move_part(part.key, -1)),
        tool("arrow-down", "Move down", TestCaseState.move_part(part.key, 1)),
        tool("trash-2", "Remove", TestCaseState.remove_part(part.key), "red"),
        spacing="3",
        align="center",
        flex_shrink="0",
        padding_right="14px",
    )


def _form(part: PartDraft) -> rx.Component:
    """The form its kind's own schema draws."""
    return rx.match(part.kind, *((kind, _form_of(kind, part)) for kind in PARTS), rx.fragment())


def _form_of(kind: str, part: PartDraft) -> rx.Component:
    blank = rx.Var.create([["", "Choose a preset"]])
    options = (blank + TestCaseState.presets).to(list[list[str]])
    form = schema_form(
        PARTS[kind].model_json_schema(),
        part.texts,
        lambda name, value: TestCaseState.set_part(part.key, name, value),
        errors=part.errors,
        labels=LABELS,
        choices={"preset_id": options},
        prefix="part-",
    )
    if kind != "apply_preset":
        return form
    none = rx.el.p(
        "There is no preset yet. ",
        rx.link("Make one", href="/presets/new"),
        ".",
        class_name="tb-help",
        margin_bottom="12px",
    )
    return rx.fragment(rx.cond(TestCaseState.presets.length() == 0, none), form)
