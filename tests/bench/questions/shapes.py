"""What a question is: a condition tree, and the same in each rival's SQL, written by hand.

The rivals' tables hold the same rows under the plainest names (``tests/bench/exports.py``): ``customers``, ``follows``,
``customer_tags``, ``customer_people``, ``people`` (gender, birthday, city), ``events`` (a typed column for each
property) and ``orders``. PostgreSQL is asked in its own tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from scrm.cli.company_data.behaviour import TYPES
from scrm.cli.company_data.people import TAG_GROUPS, TAGS_PER_GROUP
from tests.bench.company import UNTIL

ZONE = ZoneInfo("Asia/Shanghai")
TYPE_IDS = {key: number for number, key in enumerate(TYPES, 1)}
HELD = "state IN ('active', 'pending_add')"


@dataclass(frozen=True)
class Question:
    """One question to everybody.

    :param family: ``tags``, ``events`` or ``sequence``; each has a target of its own
    :param tree: the condition as our API takes it
    :param sql: rival → a statement that gives one number
    """

    name: str
    family: str
    tree: dict[str, Any]
    sql: dict[str, str]


@dataclass(frozen=True)
class Days:
    """A window of whole days of the corp's zone."""

    begin: date
    end: date

    @property
    def window(self) -> dict[str, str]:
        """As a condition says it."""
        return {"from": str(self.begin), "to": str(self.end)}

    def until(self, hours: int) -> Days:
        """The same and as many days more as so many hours need."""
        return Days(self.begin, self.end + timedelta(days=-(-hours // 24)))

    def inside(self, column: str) -> str:
        """As SQL says it, of a moment with its zone (PostgreSQL)."""
        return f"{column} >= '{self._edge(self.begin)}+00' AND {column} < '{self._edge(self.end + timedelta(days=1))}+00'"

    def bare(self, column: str) -> str:
        """As SQL says it, of a moment in UTC without a zone (the others)."""
        return self.inside(column).replace("+00'", "'")

    def _edge(self, day: date) -> str:
        return f"{datetime.combine(day, time(), ZONE).astimezone(ZoneInfo('UTC')):%Y-%m-%d %H:%M:%S}"


def days_back(chooser: Random, length: int) -> Days:
    """So many days that end within the last weeks of the data, a week before its end at the latest."""
    end = UNTIL - timedelta(days=7 + chooser.randrange(20))
    return Days(end - timedelta(days=length - 1), end)


def tags_of(chooser: Random, count: int, *, upto: int = TAGS_PER_GROUP) -> list[int]:
    """Different tags of different groups, of the first ``upto`` of each: those are the most frequent."""
    groups = chooser.sample(range(len(TAG_GROUPS)), count)
    return [group * TAGS_PER_GROUP + 1 + chooser.randrange(upto) for group in groups]


def ids(numbers: Sequence[int]) -> str:
    """``1, 2, 3``."""
    return ", ".join(map(str, numbers))


def texts(values: Sequence[str]) -> str:
    """``'a', 'b'``."""
    return ", ".join(f"'{value}'" for value in values)


def has(*tag_ids: int) -> dict[str, Any]:
    """A leaf: any of the tags."""
    return {"kind": "has_tag", "tag_ids": list(tag_ids)}
