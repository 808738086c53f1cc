"""Tables that keep rows by person: a merge moves their rows, and an unmerge gives back exactly those.

A row is found again by its primary key. Where the column of the person is part of a unique key, a row that would meet
one of the kept person's is put away whole in the journal of the merge and comes back with the unmerge. Figures that are
worked out of other rows (sums per day, scores) need no registration: their packages work them out again when they hear
``PeopleMerged`` and ``PeopleSplit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class PersonTable:
    """Rows of ``table`` belong to the person named in ``column``."""

    table: str
    column: str


_tables: set[PersonTable] = set()


def person_table(table: str, column: str = "person_id") -> Callable[[T], T]:
    """Register a table; over its model as ``@person_table("orders", "person_id")``, or called by itself."""
    _tables.add(PersonTable(table, column))
    return lambda model: model


def person_tables() -> list[PersonTable]:
    """Every registered table, by name."""
    return sorted(_tables)
