"""Values with the time they were told at; of each value the newest wins, whatever came first.

A row keeps the times in ``told`` (column → time). What many events say about one row is folded here and merged by the
database in one statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class Told:
    """What events said about one row.

    :ivar values: newest value by column; ``times``: when it was told
    :ivar at: time of the newest event; ``first_at``: of the oldest
    :ivar gone: whether the newest event ended the row; at the same second the end wins
    :ivar tied: two events of one second: they may contradict each other
    """

    values: dict[str, Any] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    seconds: set[datetime] = field(default_factory=set)
    gone: bool = False
    tied: bool = False

    def add(self, at: datetime, gone: bool, values: Mapping[str, Any]) -> None:
        """Take in one event."""
        self.tied |= at in self.seconds
        if not self.seconds or at > max(self.seconds):
            self.gone = gone
        elif at == max(self.seconds):
            self.gone |= gone
        self.seconds.add(at)
        for column, value in values.items():
            if column not in self.times or at >= self.times[column]:
                self.values[column], self.times[column] = value, at

    def take(self, other: Told) -> None:
        """Take in everything that ``other`` was told."""
        for column, at in other.times.items():
            self.add(at, False, {column: other.values[column]})
        if other.seconds:
            self.add(max(other.seconds), other.gone, {})

    def row(self, id_: int) -> dict[str, Any]:
        """The row of the merging statement."""
        return {
            "id": id_,
            "at": max(self.seconds),
            "first_at": min(self.seconds),
            "gone": self.gone,
            "told": self.times,
            **{column: value for column, value in self.values.items() if column != "departments"},
        }


def _told_at(of: str, column: str) -> str:
    return f"CAST({of}.told->>'{column}' AS timestamptz)"


def newer(table: str, column: str, source: str = "r") -> str:
    """SQL: whether ``source`` tells this column later than ``table`` was told it; NULL when it does not speak of it."""
    return f"{_told_at(source, column)} > COALESCE({_told_at(table, column)}, '-infinity')"


def kept_or_told(table: str, column: str, source: str = "r") -> str:
    """SQL assignment: the value of ``source`` where it is newer, otherwise what the row has."""
    is_newer = newer(table, column, source)
    return f"{column} = CASE WHEN {is_newer} THEN {source}.{column} ELSE {table}.{column} END"


def merged_times(table: str, source: str = "r") -> str:
    """SQL: the times of both, the later of each."""
    return f"""{table}.told || (SELECT COALESCE(jsonb_object_agg(e.key, e.value), '{{}}')
    FROM jsonb_each_text({source}.told) e
    WHERE CAST(e.value AS timestamptz) > COALESCE(CAST({table}.told->>e.key AS timestamptz), '-infinity'))"""  # noqa: S608  # names of columns and tables of this package
