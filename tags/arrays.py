"""Rows of Python values as a table inside a statement: ``FROM unnest(:a, :b) AS name(a, b)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Cast, ColumnElement, Dialect, bindparam, cast, column, func, literal
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine, UserDefinedType


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
    clause: ColumnElement[bool] = key == func.any(id_array(sorted(ids)))
    return clause


def id_array(ids: Iterable[int]) -> Cast[Any]:
    """Ids as one array parameter, written by hand: a million take a fifth of what a list of the driver's takes."""
    return cast(bindparam(None, ids, _Ids(), unique=True), ARRAY(BigInteger))


class _Ids(UserDefinedType[Any]):
    """Ids on their way to PostgreSQL, which reads the text as what it is cast to, before it plans."""

    cache_ok = True

    def get_col_spec(self, **kwargs: Any) -> str:
        """For DDL, of which there is none."""
        return "bigint[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """How a value is written."""
        return lambda ids: "{" + ",".join(map(str, ids)) + "}"
