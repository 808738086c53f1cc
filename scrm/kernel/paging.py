"""Cursor paging: pages by key, so that rows which come or go never shift the rest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from scrm.kernel.schemas import LIMIT_DEFAULT
from scrm.kernel.storable import problem_of


def encode_cursor(key: int | str) -> str:
    """An opaque cursor for "after this key"."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[int | str] = int) -> int | str:
    """The key inside a cursor; raises InvalidInput when we did not make it."""
    key: int | str | None
    try:
        key = kind(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error):
        key = None
    if key is None or problem_of(key):
        raise InvalidInput.field("cursor", "is not one of ours; give next_cursor of the page before")
    return key


def paginate(
    statement: Select[Any], key: Any, query: Mapping[str, Any], *, descending: bool = True
) -> dict[str, Any]:
    """One page of a select, ordered by a unique column.

    :param statement: what to list, without order and limit
    :param key: the unique column to page by, of whole numbers or text
    :param query: the loaded :class:`~scrm.kernel.schemas.PageQuery` (``cursor``, ``limit``)
    :returns: ``{"items": [...], "next_cursor": str | None}``; an item is the entity, or a mapping of several columns
    """
    limit = query.get("limit", LIMIT_DEFAULT)
    if cursor := query.get("cursor"):
        after = decode_cursor(cursor, key.type.python_type)
        statement = statement.where(key < after if descending else key > after)
    order = key.desc() if descending else key.asc()
    rows = (
        session().execute(statement.add_columns(key.label("page_key")).order_by(order).limit(limit + 1)).all()
    )
    items = [row[0] if len(row) == 2 else _mapping(row) for row in rows[:limit]]  # entity and key
    more = len(rows) > limit
    return {"items": items, "next_cursor": encode_cursor(rows[limit - 1].page_key) if more else None}


def _mapping(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "page_key"}
