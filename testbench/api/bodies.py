"""Request bodies, read strictly: bounded, UTF-8, plain JSON without NaN, no deeper than 32."""

from typing import Any

import msgspec
from fastapi import Request

from testbench.domain.errors import BadRequest, Invalid, TooLarge

MAX_BODY = 1024 * 1024
MAX_DEPTH = 32


async def read(request: Request, limit: int = MAX_BODY) -> bytes:
    """The whole body, or TooLarge once it exceeds `limit` bytes."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"The body may have at most {limit} bytes.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body may have at most {limit} bytes.")
    return bytes(body)


def parse(body: bytes) -> Any:
    """The JSON value of `body`; BadRequest if it is none, Invalid for text no database keeps."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deep.") from error
    _inspect(value, (), 1)
    return value


def _inspect(value: Any, path: tuple[str, ...], depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Invalid("A NUL character is not text.", errors=[(".".join(path), "contains NUL")])
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise BadRequest(f"The body is nested deeper than {MAX_DEPTH}.")
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in entries:
        if isinstance(key, str) and "\x00" in key:
            raise Invalid("A NUL character is not text.", errors=[(".".join(path), "contains NUL")])
        _inspect(child, (*path, str(key)), depth + 1)
