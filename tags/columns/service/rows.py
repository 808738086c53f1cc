"""Copied rows as tables that a leaf can ask (:class:`tags.rules.copies.Copied`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Numeric, Text, text
from sqlalchemy.sql.elements import quoted_name

from scrm.kernel.partitions import month_after
from tags.columns.service.json_values import property_columns
from tags.columns.service.reading import alias
from tags.columns.service.shelf import Chunk, Copy, Source
from tags.columns.service.taking import EVENT_COLUMNS, LINE_COLUMNS, ORDER_COLUMNS
from tags.rules.copies import Edges, NotCopied

TYPES: dict[str, Any] = {
    "BIGINT": BigInteger, "VARCHAR": Text, "DECIMAL(18,4)": Numeric, "BOOLEAN": Boolean, "TIMESTAMP": DateTime, "DATE": Date,
}  # fmt: skip
"""DuckDB's types, as leaves compare them."""
MOMENT = timedelta(microseconds=1)


class CopiedRows:
    """The rows of one copy; notes which of them are asked for.

    :ivar used: sources and the stretches of time in which their rows matter
    :ivar chunks: the parts in which they lie
    """

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self.used: list[tuple[Source, Edges]] = []
        self.chunks: list[Chunk] = []

    def events(self, type_id: int, edges: Edges) -> Any:
        """See :class:`tags.rules.copies.Copied`."""
        chunks = [each for each in self._chunks(Source.EVENTS, edges) if type_id in each.typed]
        typed = _everywhere([each.typed[type_id] for each in chunks])
        return _together(chunks, f"events_{type_id}", {**EVENT_COLUMNS, **property_columns(typed)})

    def orders(self, edges: Edges) -> Any:
        """See :class:`tags.rules.copies.Copied`."""
        return _together(self._chunks(Source.ORDERS, edges), "orders", ORDER_COLUMNS)

    def order_lines(self, edges: Edges) -> Any:
        """See :class:`tags.rules.copies.Copied`."""
        return _together(self._chunks(Source.ORDERS, edges), "order_lines", LINE_COLUMNS)

    def _chunks(self, source: Source, edges: Edges) -> list[Chunk]:
        if source not in self._copy.since:
            raise NotCopied  # months are still missing
        self.used.append((source, edges))
        first, last = months(edges)
        found = [each for each in self._copy.of(source) if each.month and first <= each.month <= last]
        self.chunks += found
        return found


def months(edges: Edges) -> tuple[date, date]:
    """First and last month (UTC) with moments between two others."""
    begin, end = edges
    first = month_after(begin.astimezone(UTC).date(), 0) if begin else date.min
    last = month_after((end - MOMENT).astimezone(UTC).date(), 0) if end else date.max
    return first, last


def _everywhere(typed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Properties with a column of one type in every chunk."""
    if not typed:
        return {}
    first, *others = typed
    return {key: kind for key, kind in first.items() if all(each.get(key) == kind for each in others)}


def _together(chunks: Sequence[Chunk], name: str, columns: Mapping[str, str]) -> Any:
    """The rows of a table in every chunk, one after the other."""
    listed = ", ".join(f'"{column}"' for column in columns)
    nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{column}"' for column, kind in columns.items())
    parts = [f"SELECT {listed} FROM {alias(each.file)}.{name}" for each in chunks]  # noqa: S608  # our own names
    rows = " UNION ALL ".join(parts) or f"SELECT {nothing} WHERE false"
    typed = [Column(quoted_name(column, quote=True), TYPES[kind]) for column, kind in columns.items()]
    return text(rows).columns(*typed).subquery()
