"""Lists in pages: a cursor is the last key seen, so pages stay right while rows come and go."""

import base64
import binascii
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select

from testbench.adapters.db import Tx
from testbench.domain.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 500


class Page(BaseModel, Generic[T]):
    """`next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode(key: object) -> str:
    """An opaque cursor for a key."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """The key in a cursor; Invalid if it was not made here."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise Invalid("Not a cursor.", errors=[("cursor", "not a cursor of this list")]) from error


def page(
    tx: Tx,
    statement: Select[Any],
    key: Any,
    limit: int,
    cursor: str | None,
    key_type: Callable[[str], Any],
    *,
    newest_first: bool = False,
) -> tuple[list[Any], str | None]:
    """Rows of one page and the next cursor; `key` is a unique column, 1 ≤ limit ≤ 500."""
    if cursor:
        try:
            last = key_type(decode(cursor))
        except ValueError as error:
            raise Invalid("Not a cursor.", errors=[("cursor", "not of this list")]) from error
        statement = statement.where(key < last if newest_first else key > last)
    ordered = statement.order_by(key.desc() if newest_first else key).limit(limit + 1)
    rows = list(tx.session.execute(ordered.add_columns(key.label("page_key"))))
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, encode(rows[-1].page_key) if more else None
