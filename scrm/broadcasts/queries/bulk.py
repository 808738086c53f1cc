"""Set-based statements: lists as bound PostgreSQL arrays, one value however long, and updates of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    DateTime,
    Result,
    TableValuedAlias,
    Text,
    Update,
    bindparam,
    column,
    func,
)

from scrm.kernel.db import session


def bigints(values: Sequence[int | None]) -> BindParameter[Any]:
    """Whole numbers, such as ids."""
    return bindparam(None, list(values), type_=ARRAY(BigInteger))


def texts(values: Sequence[str | None]) -> BindParameter[Any]:
    """Texts."""
    return bindparam(None, list(values), type_=ARRAY(Text))


def times(values: Sequence[datetime | None]) -> BindParameter[Any]:
    """Aware moments."""
    return bindparam(None, list(values), type_=ARRAY(DateTime(timezone=True)))


def in_list(value: Any, ids: Sequence[int]) -> ColumnElement[bool]:
    """``value = ANY(array)``."""
    clause: ColumnElement[bool] = value == func.any(bigints(ids))
    return clause


def rows_of(**arrays: BindParameter[Any]) -> TableValuedAlias:
    """Arrays of equal length as the columns of a table: ``FROM unnest(...) AS t(a, b)``."""
    kinds: dict[str, Any] = {name: array.type for name, array in arrays.items()}
    columns = [column(name, kind.item_type) for name, kind in kinds.items()]
    return func.unnest(*arrays.values()).table_valued(*columns).render_derived()


def change(statement: Update) -> Result[Any]:
    """Run an update of many rows; objects that happen to be loaded are not searched for and keep their old values."""
    return session().execute(statement, execution_options={"synchronize_session": False})
