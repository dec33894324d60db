"""The API's documentation as one page made of its OpenAPI document: no script, nothing loaded."""

from collections.abc import Iterator
from html import escape
from typing import Any

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEMS = {
    400: "The request cannot be read: not JSON, NaN, bad UTF-8, nested deeper than 32.",
    401: "Nobody is logged in, or the token is not valid.",
    402: "Not enough credits.",
    403: "The role, or the token's scope, does not allow it.",
    404: "There is no such thing, or no such route.",
    405: "The route knows other methods; the header Allow names them.",
    409: "It contradicts what is: a name taken, a device busy, a run ended.",
    413: "The body is over 1 MiB.",
    422: "A field does not fit; errors names each by its path.",
    429: "Too many calls; the header Retry-After says how long to wait.",
    500: "The bench has a fault; it was logged under request_id.",
    502: "Another system gave no good answer.",
    503: "A part of the bench is away; the header Retry-After says when to try again.",
}
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; text-transform: capitalize }
details { border: 1px solid #8884; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } summary code { font-weight: 600 }
b { display: inline-block; width: 4.5rem; text-transform: uppercase; font-size: .8em }
pre { overflow: auto; background: #8881; padding: .6rem; border-radius: 6px; font-size: .85em }
td, th { text-align: left; padding: .1rem .8rem .1rem 0; vertical-align: top }
"""


def page(document: dict[str, Any]) -> str:
    """OpenAPI document → HTML."""
    title = f"{document['info']['title']} API {document['info']['version']}"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        "<p>Send <code>Authorization: Bearer &lt;token&gt;</code>, with the token of "
        "<code>POST /api/auth/login</code> or a personal access token. The machine-readable "
        'document: <a href="/api/openapi.json">openapi.json</a>.</p>'
        f"{''.join(_tags(document))}{_problems()}</html>"
    )


def _tags(document: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                tag = operation.get("tags", ["other"])[0]
                by_tag.setdefault(tag, []).append(_operation(document, path, method, operation))
    for tag, entries in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(entries)}"


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [
        (name["name"], name["in"], _type(document, name.get("schema", {})))
        for name in operation.get("parameters", ())
    ]
    said = escape(operation.get("description") or operation.get("summary", ""))
    answers = ", ".join(sorted(operation["responses"]))
    return (
        f"<details><summary><b>{method}</b><code>{escape(path)}</code></summary><p>{said}</p>"
        f"{_table(rows)}{_body(document, operation)}<p>Answers: {escape(answers)}</p></details>"
    )


def _table(rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(place)}<td>{escape(kind)}"
        for name, place, kind in rows
    )
    return f"<table>{cells}</table>"


def _body(document: dict[str, Any], operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, body in content.items():
        fields = _fields(document, body.get("schema", {}))
        return f"<p>Body, {escape(media_type)}:</p><pre>{escape(fields)}</pre>"
    return ""


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> str:
    found = _resolve(document, schema)
    required = found.get("required", ())
    lines = [
        f"{name}{'' if name in required else '?'}: {_type(document, field)}"
        for name, field in found.get("properties", {}).items()
    ]
    return "\n".join(lines) or _type(document, schema)


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return document.get("components", {}).get("schemas", {}).get(name, schema)


def _type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return " | ".join(map(repr, schema.get("enum", [schema.get("const")])))
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " | ".join(_type(document, part) for part in schema[union])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " | ".join(map(str, kind))
    if kind == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    return str(schema.get("format", kind))


def _problems() -> str:
    rows = "".join(
        f'<tr id="problem-{status}"><td><code>{status}</code><td>{escape(text)}'
        for status, text in PROBLEMS.items()
    )
    return (
        "<h2>problems</h2><p>Every error is <code>application/problem+json</code> (RFC 9457): "
        "<code>type, title, status, detail, request_id, errors?: [{loc, msg}]</code>.</p>"
        f"<table>{rows}</table>"
    )
