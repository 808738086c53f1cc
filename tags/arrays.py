"""Rows of Python values as a table inside a statement: ``FROM unnest(:a, :b) AS name(a, b)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, column, func, literal
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine


def row_table(
    name: str, types: Mapping[str, type[TypeEngine[Any]] | TypeEngine[Any]], rows: Sequence[Sequence[Any]]
) -> TableValuedAlias:
    """``rows`` as a table, one array parameter a column whatever the number of rows.

    :param types: column name → SQL type, in the order of the values of a row
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    arrays = [
        literal(list(values), ARRAY(kind)) for values, kind in zip(columns, types.values(), strict=True)
    ]
    shape = [column(label, kind) for label, kind in types.items()]
    return func.unnest(*arrays).table_valued(*shape).render_derived(name=name)


def is_one_of(key: Any, ids: Iterable[int]) -> ColumnElement[bool]:
    """``key = ANY(:ids)``: one parameter whatever the number of ids, so that the statement is prepared once."""
    clause: ColumnElement[bool] = key == func.any(literal(sorted(ids), ARRAY(BigInteger)))
    return clause
