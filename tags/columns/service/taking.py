"""Rows on their way out of PostgreSQL: a month of a source, or a piece of one, copied into files of one short transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy import select, text

from scrm.behaviour.models import BehaviourEvent, EventType
from scrm.behaviour.service.checking import PropertyType
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.detaching import closed_months, month_edges
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot
from tags.columns.queries.base import BASE
from tags.columns.queries.missed import few_missed
from tags.columns.service import pieces
from tags.columns.service.pieces import Part
from tags.columns.service.shelf import Chunk, Source

EVENT_COLUMNS = {"person_id": "BIGINT", "at": "TIMESTAMP", "day": "DATE"}
ORDER_COLUMNS = {
    "id": "BIGINT", "person_id": "BIGINT", "status": "VARCHAR", "placed_at": "TIMESTAMP", "paid_at": "TIMESTAMP",
    "shipped_at": "TIMESTAMP", "completed_at": "TIMESTAMP", "cancelled_at": "TIMESTAMP", "refunded_at": "TIMESTAMP",
    "amount": "DECIMAL(18,4)", "currency": "VARCHAR", "shop": "VARCHAR", "region": "VARCHAR", "seller": "VARCHAR",
}  # fmt: skip
LINE_COLUMNS = {"order_id": "BIGINT", "product_id": "BIGINT"}
PERSON_COLUMNS = {"person_id": "BIGINT", "customer_id": "BIGINT"}
TYPES = Mapping[int, Mapping[str, PropertyType]]


@dataclass(frozen=True)
class Taken:
    """Rows in CSV files, and what they are.

    :param part: what was to be taken; of one that is too large its first piece was
    :param base: the database they are of
    :param started: ``time.monotonic()`` when the taking began
    :param files: table → its file, without a header
    :param types: of events: type id → key and type of the properties in slot 0, 1, … of its rows
    :param detached: of events: the months that were out of the table then
    :param before: the part as it was; the rows are only those of ``persons``, who changed since. None: all rows
    """

    part: Part
    snapshot: Snapshot
    as_of: datetime
    base: str
    started: float
    files: Mapping[str, Path]
    types: TYPES
    detached: frozenset[date]
    before: Chunk | None = None
    persons: Sequence[int] = ()

    @property
    def source(self) -> Source:
        """The table."""
        return self.part.source

    @property
    def month(self) -> date | None:
        """The month; None: the table has none."""
        return self.part.month


def take(part: Part, place: Path) -> Taken:
    """Copy rows into files of ``place``; needs a REPEATABLE READ transaction that has not read anything yet.

    The lock comes before the snapshot: a month that is being detached is either there in both or in neither.

    Where the part is as it was written last but for few changes since, and of the same types, only the rows of the persons
    who changed are taken. Else all of it, or as much as one piece may have.
    """
    source, before = part.source, part.before
    as_of, started = utcnow(), time.monotonic()
    session().execute(text(f"LOCK TABLE {source} IN ACCESS SHARE MODE"))
    session().execute(text("SET LOCAL datestyle = 'ISO'"))
    told = session().execute(_MOMENT).one()
    types = registered_types() if source is Source.EVENTS else {}
    detached = closed_months(BehaviourEvent.__tablename__) if source is Source.EVENTS else ()
    persons = few_missed(before) if before and not is_otherwise_typed(before, types) else None
    if persons is None and part.month is not None:
        part = replace(part, end=_end_of_piece(part))
    files = {}
    for name, question in _questions(part, types, persons).items():
        files[name] = place / f"{name}.csv"
        _copy(question, files[name])
    snapshot = Snapshot.parse(told.snapshot)
    taken = Taken(part, snapshot, as_of, told.base, started, files, types, frozenset(detached))
    return taken if persons is None else replace(taken, before=before, persons=persons)


_MOMENT = text(f"""
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, (SELECT {BASE} FROM column_base) AS base
""")  # noqa: S608  # a constant


def _end_of_piece(part: Part) -> int | None:
    """Where its first piece ends; the end of the part if that is all of it."""
    question = sql.SQL("SELECT id FROM {} WHERE {} ORDER BY id OFFSET {} LIMIT 1").format(
        sql.Identifier(part.source), within(part), sql.Literal(pieces.ROWS)
    )
    row = _driver().execute(question).fetchone()
    return row[0] if row else part.end


def is_otherwise_typed(chunk: Chunk, types: TYPES) -> bool:
    """Whether its event types have other properties now than when it was written."""
    return any(
        {**keys, **chunk.left_out.get(type_id, {})} != types.get(type_id, {})
        for type_id, keys in chunk.typed.items()
    )


def registered_types() -> dict[int, dict[str, PropertyType]]:
    """Of every type of events the properties that can have a column, in the order of their registration.

    Lists have none. Of keys that differ in case alone only the first: DuckDB takes them for one.
    """
    rows = session().execute(select(EventType.id, EventType.properties).order_by(EventType.id))
    return {type_id: _columns(properties) for type_id, properties in rows}


def _columns(properties: list[Any]) -> dict[str, PropertyType]:
    found: dict[str, tuple[str, PropertyType]] = {}
    for each in (one for one in properties if one["key"].isidentifier()):
        found.setdefault(each["key"].lower(), (each["key"], PropertyType(each["type"])))
    return {key: kind for key, kind in found.values() if kind is not PropertyType.LIST}


def slots(types: TYPES) -> int:
    """How many properties a row carries at most."""
    return max((len(keys) for keys in types.values()), default=0)


def _questions(part: Part, types: TYPES, persons: Sequence[int] | None) -> dict[str, sql.Composable]:
    if part.source is Source.EVENTS:
        asked: dict[str, sql.Composable] = {"events": _events(part, types)}
    elif part.source is Source.ORDERS:
        asked = {"orders": _orders(part), "order_lines": _lines(part)}
    else:
        asked = {"people": sql.SQL("SELECT person_id, customer_id FROM customer_people WHERE true")}
    if persons is None:
        return asked
    theirs = sql.SQL(" AND person_id = ANY({})").format(sql.Literal(list(persons)))
    return {name: question + theirs for name, question in asked.items()}


def _events(part: Part, types: TYPES) -> sql.Composed:
    """One pass over the JSON: every property of a row's type in a slot, as JSON, so that its kind can be told."""
    zone = sql.Literal(settings().corp.timezone)
    columns: list[sql.Composable] = [sql.SQL("type_id, person_id, timezone('UTC', at)")]
    columns.append(sql.SQL("CAST(timezone({}, at) AS date)").format(zone))
    columns += [_slot(types, number) for number in range(slots(types))]
    listed = sql.SQL(", ").join(columns)
    return sql.SQL("SELECT {} FROM behaviour_events WHERE {}").format(listed, within(part))


def _slot(types: TYPES, number: int) -> sql.Composed:
    """The property in one slot; types of the same property there share a case."""
    owners: dict[str, list[int]] = {}
    for type_id, keys in types.items():
        if len(keys) > number:
            owners.setdefault(list(keys)[number], []).append(type_id)
    cases = [
        sql.SQL("WHEN type_id IN ({}) THEN properties -> {}").format(
            sql.SQL(", ").join(map(sql.Literal, ids)), sql.Literal(key)
        )
        for key, ids in owners.items()
    ]
    return sql.SQL("CASE {} END").format(sql.SQL(" ").join(cases))


def _orders(part: Part) -> sql.Composed:
    columns = [
        sql.SQL("timezone('UTC', {})").format(sql.Identifier(name))
        if kind == "TIMESTAMP"
        else sql.Identifier(name)
        for name, kind in ORDER_COLUMNS.items()
    ]
    listed = sql.SQL(", ").join(columns)
    return sql.SQL("SELECT {} FROM orders WHERE person_id IS NOT NULL AND {}").format(listed, within(part))


def _lines(part: Part) -> sql.Composed:
    return sql.SQL(
        "SELECT l.order_id, l.product_id FROM order_lines l JOIN orders o ON o.id = l.order_id"
        " WHERE l.product_id IS NOT NULL AND o.person_id IS NOT NULL AND {}"
    ).format(within(part, id_="order_id"))


MOMENTS = {Source.EVENTS: "at", Source.ORDERS: "placed_at"}


def within(part: Part | Chunk, id_: str = "id") -> sql.Composable:
    """The rows that belong to a part: by their moment and, in pieces, by their id.

    :param id_: the column with the id
    """
    if part.month is None:
        raise ValueError("events and orders are taken month by month")
    begins, ends = month_edges(part.month)
    moment, number = sql.Identifier(MOMENTS[part.source]), sql.Identifier(id_)
    edges: list[tuple[str, sql.Identifier, str | int]] = [
        (">=", moment, begins.isoformat()),
        ("<", moment, ends.isoformat()),
    ]
    edges += [(">=", number, part.begin)] if part.begin is not None else []
    edges += [("<", number, part.end)] if part.end is not None else []
    return sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(column, sql.SQL(how), sql.Literal(edge)) for how, column, edge in edges
    )


def _driver() -> Any:
    return session().connection().connection.driver_connection


def _copy(question: sql.Composable, path: Path) -> None:
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(question)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as out, _driver().cursor() as cursor, cursor.copy(statement) as rows:
        for block in rows:
            out.write(block)
