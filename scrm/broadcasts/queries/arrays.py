"""Lists as bound PostgreSQL arrays: one value in a statement however long the list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, BindParameter, ColumnElement, DateTime, Text, bindparam, func


def bigints(values: Sequence[int | None]) -> BindParameter[Any]:
    """Whole numbers, such as ids."""
    return bindparam(None, list(values), type_=ARRAY(BigInteger))


def texts(values: Sequence[str | None]) -> BindParameter[Any]:
    """Texts."""
    return bindparam(None, list(values), type_=ARRAY(Text))


def times(values: Sequence[datetime | None]) -> BindParameter[Any]:
    """Aware moments."""
    return bindparam(None, list(values), type_=ARRAY(DateTime(timezone=True)))


def in_list(column: Any, ids: Sequence[int]) -> ColumnElement[bool]:
    """``column = ANY(array)``."""
    clause: ColumnElement[bool] = column == func.any(bigints(ids))
    return clause
