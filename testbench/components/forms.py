"""Fields: label above, help below, the error at the field; and whole forms from a JSON schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import reflex as rx

NO_ERRORS: dict[str, str] = {}


def field(
    name: str, label: Any, control: rx.Component, *, help: Any = None, error: Any = ""
) -> rx.Component:
    """A control with its label (its id is `name`), help and error."""
    return rx.el.div(
        rx.el.label(label, html_for=name),
        control,
        *([rx.el.p(help, class_name="tb-help", id=f"{name}-help")] if help is not None else []),
        rx.cond(
            error != "",
            rx.el.p(
                rx.icon("circle-alert", size=14, aria_hidden=True),
                rx.el.span(error, class_name="tb-upper-first"),
                class_name="tb-fault",
                id=f"{name}-error",
                role="alert",
            ),
        ),
        class_name="tb-field",
    )


def _aria(name: str, error: Any, help: Any) -> dict[str, Any]:
    described = f"{name}-error {name}-help" if help is not None else f"{name}-error"
    return {"aria-invalid": rx.cond(error != "", "true", "false"), "aria-describedby": described}


def text_field(
    name: str,
    label: Any,
    *,
    help: Any = None,
    error: Any = "",
    unit: Any = None,
    **props: Any,
) -> rx.Component:
    """One line of text; `props` go to the input (`value` + `on_change`, or `default_value`)."""
    slots = [rx.input.slot(rx.text(unit, size="1"), side="right")] if unit is not None else []
    attrs = _aria(name, error, help) | props.pop("custom_attrs", {})
    control = rx.input(
        *slots, id=name, name=name, size="2", width="100%", custom_attrs=attrs, **props
    )
    return field(name, label, control, help=help, error=error)


def number_field(name: str, label: Any, **props: Any) -> rx.Component:
    """A number, given as text so that `1e3` and a half-typed `-` are no error while typing."""
    attrs = {"inputMode": "decimal"} | props.pop("custom_attrs", {})
    return text_field(name, label, auto_complete="off", custom_attrs=attrs, **props)


def area_field(
    name: str, label: Any, *, help: Any = None, error: Any = "", **props: Any
) -> rx.Component:
    """Several lines of text."""
    attrs = _aria(name, error, help) | props.pop("custom_attrs", {})
    control = rx.text_area(id=name, name=name, width="100%", custom_attrs=attrs, **props)
    return field(name, label, control, help=help, error=error)


def select_field(
    name: str,
    label: Any,
    options: Any,
    *,
    help: Any = None,
    error: Any = "",
    **props: Any,
) -> rx.Component:
    """One of `options`: a list of (value, label), or a Var list of [value, label]."""
    items = (
        rx.foreach(options, lambda pair: rx.el.option(pair[1], value=pair[0]))
        if isinstance(options, rx.Var)
        else rx.fragment(*(rx.el.option(text, value=value) for value, text in options))
    )
    control = native_select(
        items, id=name, name=name, custom_attrs=_aria(name, error, help), **props
    )
    return field(name, label, control, help=help, error=error)


def native_select(*items: rx.Component, **props: Any) -> rx.Component:
    """The browser's own select: works with keyboard, phones and screen readers as they expect."""
    return rx.el.select(*items, class_name="tb-select", **props)


def switch_field(name: str, label: Any, *, help: Any = None, **props: Any) -> rx.Component:
    """On or off."""
    return rx.el.div(
        rx.hstack(
            rx.switch(id=name, name=name, **props),
            rx.el.label(label, html_for=name, class_name="tb-label"),
            align="center",
            spacing="2",
        ),
        *([rx.el.p(help, class_name="tb-help")] if help is not None else []),
        class_name="tb-field",
    )


def tag_field(name: str, label: str = "Tags", **props: Any) -> rx.Component:
    """Words, typed with commas between them."""
    props.setdefault("help", "Separate with commas.")
    return text_field(name, label, **props)


def save_row(
    *, busy: Any = False, label: str = "Save", on_cancel: Any = None, error: Any = ""
) -> rx.Component:
    """The end of a form: what is wrong with the whole of it, Cancel, Save."""
    cancel = rx.button(
        "Cancel", type="button", variant="soft", color_scheme="gray", on_click=on_cancel
    )
    return rx.vstack(
        rx.cond(
            error != "",
            rx.callout(
                error, icon="circle-alert", color_scheme="red", high_contrast=True, size="1"
            ),
        ),
        rx.hstack(
            *([cancel] if on_cancel is not None else []),
            rx.button(label, type="submit", loading=busy),
            spacing="3",
            justify="end",
            width="100%",
        ),
        width="100%",
        margin_top="8px",
    )


def unsaved(changed: Any) -> rx.Component:
    """While `changed`, leaving the page asks first."""
    return rx.cond(changed, rx.el.span(hidden=True, custom_attrs={"data-unsaved": True}))


# --- forms from a schema


def schema_form(
    schema: Mapping[str, Any],
    values: Any,
    on_change: Callable[[str, Any], Any],
    *,
    errors: Any = None,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = ("kind",),
    labels: Mapping[str, str] | None = None,
    suggestions: Mapping[str, str] | None = None,
    choices: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> rx.Component:
    """The fields of a pydantic model, two a row.

    `schema`: `Model.model_json_schema()`, known when the page is built (a union: one form a kind,
    in an `rx.match`). `values`: Var of {field: value}. `on_change(field, value)`: the event for a
    change; text and numbers arrive as text (empty: not given), switches as bool. `errors`: Var of
    {field: message}. `suggestions`: field → id of a datalist. `choices`: field → the options of a
    select, a Var list of [value, label]. `prefix` keeps ids apart where a form stands several
    times.
    """
    fields = [name for name in (only or schema["properties"]) if name not in skip]
    faults = rx.Var.create(NO_ERRORS) if errors is None else errors
    return rx.grid(
        *(
            _schema_field(
                name,
                _resolved(schema, name),
                values,
                on_change,
                faults,
                labels or {},
                (suggestions or {}).get(name),
                (choices or {}).get(name),
                prefix,
            )
            for name in fields
        ),
        columns=rx.breakpoints(initial="1", sm="2"),
        spacing="4",
        width="100%",
    )


def _resolved(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A property with its reference followed and its `null` alternative taken off."""
    prop = dict(schema["properties"][name])
    options = [_follow(schema, option) for option in prop.pop("anyOf", [prop])]
    kept = [option for option in options if option.get("type") != "null"]
    merged = _follow(schema, kept[0]) | {k: v for k, v in prop.items() if k != "$ref"}
    merged["alternatives"] = {option.get("type") for option in kept}
    merged["required"] = name in schema.get("required", ())
    return merged


def _follow(schema: Mapping[str, Any], option: Mapping[str, Any]) -> dict[str, Any]:
    reference = option.get("$ref")
    if not reference:
        return dict(option)
    found = schema["$defs"][reference.rsplit("/", 1)[-1]]
    return {**found, **{k: v for k, v in option.items() if k != "$ref"}}


def _schema_field(
    name: str,
    prop: Mapping[str, Any],
    values: Any,
    on_change: Callable[[str, Any], Any],
    errors: Any,
    labels: Mapping[str, str],
    suggested: str | None,
    chosen: Any,
    prefix: str,
) -> rx.Component:
    key = f"{prefix}{name}"
    label = labels.get(name) or _label(name, prop)
    error = rx.cond(errors.contains(name), errors[name].to(str), "")
    help = prop.get("description")
    value = values[name]
    if prop.get("type") == "boolean":
        return switch_field(
            key,
            label,
            help=help,
            checked=value.to(bool),
            on_change=lambda on: on_change(name, on),
        )
    text = rx.cond(value, value.to(str), rx.cond(value == 0, "0", ""))
    common: dict[str, Any] = {
        "help": help,
        "error": error,
        "value": text,
        "on_change": lambda typed: on_change(name, typed),
    }
    if chosen is not None:
        return select_field(key, label, chosen, **common)
    if "enum" in prop:
        options = [] if prop["required"] or "default" in prop else [("", "–")]
        options += [(choice, _words(str(choice))) for choice in prop["enum"]]
        return select_field(key, label, options, **common)
    if prop["alternatives"] & {"number", "integer"}:
        if "string" in prop["alternatives"]:
            common["placeholder"] = "number or {{variable}}"
            return text_field(key, label, unit=_unit(name), **common)
        return number_field(key, label, unit=_unit(name), **common)
    if suggested:
        common["custom_attrs"] = {"list": suggested}
    return text_field(key, label, **common)


def _unit(name: str) -> str | None:
    return "/s" if name.endswith("_per_s") else "s" if name.endswith("_s") else None


def _label(name: str, prop: Mapping[str, Any]) -> str:
    label = _words(name.removesuffix("_s")) if _unit(name) else _words(name)
    given = prop["required"] or prop.get("default") is not None
    return label if given else f"{label} (optional)"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
