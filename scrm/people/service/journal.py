"""Moving the rows of persons from one to another, written down so exactly that they can be given back.

Works for any registered table (scrm.people.registry) by what its model says: the primary key finds a row again, a unique
key that contains the person says which rows cannot stand beside the kept person's. Merges of one call have no person in
common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Column, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql

from scrm.kernel.db import Base, session
from scrm.people.registry import PersonTable, person_tables

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own


@dataclass(frozen=True)
class Shape:
    """What is needed of a table.

    :param key: primary key without the column of the person, as (name, SQL type)
    :param unique: other columns of each unique key that contains the person
    :param columns: what can be written
    """

    table: str
    column: str
    key: tuple[tuple[str, str], ...]
    unique: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the journal calls it: a table may be registered with two columns."""
        return f"{self.table}.{self.column}"

    @property
    def key_json(self) -> str:
        """SQL that makes the JSON object of a row's key."""
        return "jsonb_build_object({})".format(", ".join(f"'{name}', t.\"{name}\"" for name, _ in self.key))

    @property
    def key_types(self) -> str:
        """Columns of the key for ``jsonb_to_recordset``."""
        return ", ".join(f'"{name}" {kind}' for name, kind in self.key)

    @property
    def same_key(self) -> str:
        """SQL that compares a row ``t`` with a key ``r``."""
        return " AND ".join(f't."{name}" = r."{name}"' for name, _ in self.key) or "true"


@lru_cache(maxsize=64)
def shape_of(registered: PersonTable) -> Shape:
    """The shape of a registered table.

    :raises LookupError: no model has this table, or the table has no such column
    """
    table = Base.metadata.tables.get(registered.table)
    if table is None or registered.column not in table.columns:
        raise LookupError(f"{registered} is registered as a table of persons, and no model has it")
    key = tuple(
        (c.name, c.type.compile(DIALECT)) for c in table.primary_key.columns if c.name != registered.column
    )
    columns = tuple(c.name for c in table.columns if c.computed is None)
    return Shape(registered.table, registered.column, key, _unique(table, registered.column), columns)


def _unique(table: Table, column: str) -> tuple[tuple[str, ...], ...]:
    keys: list[Sequence[Column[object]]] = [list(table.primary_key.columns)]
    keys += [list(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys += [list(i.columns) for i in table.indexes if isinstance(i, Index) and i.unique]
    names = [tuple(c.name for c in key) for key in keys]
    return tuple(tuple(n for n in key if n != column) for key in names if column in key)


def move_rows(merge_ids: Sequence[int]) -> None:
    """Move what the gone persons have to the kept ones, in every registered table."""
    for registered in person_tables():
        shape = shape_of(registered)
        session().execute(text(_move_sql(shape)), {"merges": list(merge_ids), "table": shape.name})


def _move_sql(shape: Shape) -> str:
    column = f'"{shape.column}"'
    meets = " OR ".join(
        f'EXISTS (SELECT FROM "{shape.table}" k WHERE k.{column} = m.kept_id'
        + "".join(f' AND k."{name}" = t."{name}"' for name in other)
        + ")"
        for other in shape.unique
    )
    return f"""
WITH m AS MATERIALIZED (SELECT id, kept_id, gone_id FROM merges WHERE id = ANY(CAST(:merges AS bigint[]))),
aside AS (
  DELETE FROM "{shape.table}" t USING m WHERE t.{column} = m.gone_id AND ({meets or "false"})
  RETURNING m.id AS merge_id, to_jsonb(t) AS row),
moved AS (
  UPDATE "{shape.table}" t SET {column} = m.kept_id FROM m
  WHERE t.{column} = m.gone_id AND NOT ({meets or "false"})
  RETURNING m.id AS merge_id, {shape.key_json} AS key)
INSERT INTO merge_moves (merge_id, "table", keys, aside)
SELECT merge_id, :table, COALESCE(jsonb_agg(key) FILTER (WHERE key IS NOT NULL), '[]'),
  COALESCE(jsonb_agg(row) FILTER (WHERE row IS NOT NULL), '[]')
FROM (SELECT merge_id, key, NULL AS row FROM moved UNION ALL SELECT merge_id, NULL, row FROM aside) AS r
GROUP BY merge_id"""  # noqa: S608  # names of our own models


def restore_rows(merge_id: int) -> None:
    """Give back what one merge moved; rows that were deleted since stay so, and what came later stays where it is."""
    for registered in person_tables():
        shape = shape_of(registered)
        for statement in (_give_back_sql(shape), _put_again_sql(shape)):
            session().execute(text(statement), {"merge": merge_id, "table": shape.name})


_JOURNAL = 'merges m JOIN merge_moves j ON j.merge_id = m.id AND j."table" = :table'


def _give_back_sql(shape: Shape) -> str:
    keys = f"jsonb_to_recordset(j.keys) AS r({shape.key_types})"
    return f"""
UPDATE "{shape.table}" t SET "{shape.column}" = m.gone_id
FROM {_JOURNAL}, {keys if shape.key else "jsonb_array_elements(j.keys) AS r"}
WHERE m.id = :merge AND t."{shape.column}" = m.kept_id AND {shape.same_key}"""  # noqa: S608  # names of our own models


def _put_again_sql(shape: Shape) -> str:
    columns = ", ".join(f'"{name}"' for name in shape.columns)
    return f"""
INSERT INTO "{shape.table}" ({columns})
SELECT {", ".join(f'r."{name}"' for name in shape.columns)}
FROM {_JOURNAL}, jsonb_populate_recordset(CAST(NULL AS "{shape.table}"), j.aside) AS r
WHERE m.id = :merge ON CONFLICT DO NOTHING"""  # noqa: S608  # names of our own models
