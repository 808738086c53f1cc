"""Asking PostgreSQL for sets of customer ids: one value comes back for each set, whatever its size."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pyroaring import BitMap64
from sqlalchemy import ColumnElement, LargeBinary, exists, func, literal, select, text, true

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.kernel.db import IN_BINARY, session
from scrm.kernel.settings import settings
from scrm.staff.models import Staff
from tags.arrays import is_one_of
from tags.columns.queries.changes import customers_of_changed
from tags.columns.service.asking import Answer
from tags.columns.service.asking import ask as ask_copy
from tags.models import Tag, TagAssignment
from tags.rules.compiler import customer_ids
from tags.rules.holdings import HELD
from tags.rules.service.bounds import bounded
from tags.sets.service.normal_form import leaf_of, set_leaf
from tags.sets.service.watching import EVERYBODY, leaf_clause

COLUMNS = 40  # leaves of one statement
ROWS = 20_000  # customers of one statement


@dataclass(frozen=True, eq=False)
class Family:
    """Leaves that differ in one id, so that one statement asks for many of them.

    :param frame: the leaf without that id; ``name`` is its argument
    :param rows: column of the ids where each is once; ``member`` column of the ids beside the customers in ``customer``
    :param where: what else the leaf wants
    """

    frame: Mapping[str, Any]
    name: str
    rows: Any
    member: Any
    customer: Any
    where: tuple[Any, ...]

    def key(self, id_: int) -> str:
        """The key of one of them."""
        return set_leaf({**self.frame, self.name: [id_]}).key

    def id_of(self, key: str) -> int | None:
        """The id of a leaf of this family; None: it is none."""
        leaf = orjson.loads(key)
        ids = leaf.pop(self.name, None)
        return ids[0] if leaf == self.frame and ids is not None and len(ids) == 1 else None

    def sets(self, ids: Iterable[int], customer_ids: Iterable[int] | None) -> dict[int, BitMap64]:
        """The set of each id, whole or of some customers only; ids that nobody has are left out."""
        statement = select(self.member, packed(self.customer)).where(is_one_of(self.member, ids), *self.where)
        if customer_ids is not None:
            statement = statement.where(is_one_of(self.customer, customer_ids))
        rows = session().execute(statement.group_by(self.member), execution_options=IN_BINARY)
        return {id_: unpacked(value) for id_, value in rows}

    def ids(self) -> list[int]:
        """Every id that somebody has."""
        somebody = exists().where(self.member == self.rows, *self.where)
        return list(session().scalars(select(self.rows).where(somebody).order_by(self.rows)))


TAGS = Family(
    {"kind": "has_tag"}, "tag_ids", Tag.id, TagAssignment.tag_id, TagAssignment.customer_id,
    (TagAssignment.state.in_(HELD),),
)  # fmt: skip
STAFF = Family(  # as scrm.customers.queries.visible means it
    {"kind": "follow", "state": "active"}, "staff_ids", Staff.id, Follow.staff_id, Follow.customer_id,
    (Follow.status == FollowStatus.ACTIVE,),
)  # fmt: skip
FAMILIES = (TAGS, STAFF)


def family_of(key: str) -> Family | None:
    """The family that a leaf belongs to."""
    return next((family for family in FAMILIES if family.id_of(key) is not None), None)


def family_sets(
    family: Family, keys: Collection[str], customer_ids: Iterable[int] | None = None
) -> dict[str, BitMap64]:
    """The sets of leaves of one family, 40 in one statement."""
    ids = {key: id_ for key in keys if (id_ := family.id_of(key)) is not None}
    found: dict[int, BitMap64] = {}
    for begin in range(0, len(ids), COLUMNS):
        found |= family.sets(sorted(ids.values())[begin : begin + COLUMNS], customer_ids)
    return {key: found.get(id_, BitMap64()) for key, id_ in ids.items()}


def copied_set(key: str, now: datetime) -> BitMap64 | None:
    """The customers for whom a leaf holds, as the copy in columns tells; None: PostgreSQL has to be asked."""
    copied = None if key == EVERYBODY else ask_copy(leaf_of(key), now)
    return None if copied is None else _with_changed(key, copied, now)


def sql_set(key: str, now: datetime) -> BitMap64:
    """The customers for whom a leaf holds, asked with the leaf's own SQL."""
    if key == EVERYBODY:
        return customers_where(true())
    found = customer_ids(leaf_of(key), now=now)
    ids = found.ids.subquery("ids")
    with grouping(hashed=not found.in_order):
        bits = unpacked(session().scalar(select(packed(ids.c[0])), execution_options=IN_BINARY))
    return customers_where(true()) - bits if found.but else bits


def _with_changed(key: str, copied: Answer, now: datetime) -> BitMap64 | None:
    """What the copy says, and of those whom it has not as they are now what SQL says; None: of too many.

    Who is everybody comes first: a customer who comes after that is not among them, or is asked again.
    """
    bits = customers_where(true()) - copied.ids if copied.but else copied.ids
    again = customers_of_changed(copied.changed, copied.seen)
    if not again:
        return None if again is None else bits
    with bounded(settings().rules.preview_seconds):
        return (bits - again) | leaf_sets_among([key], again, now)[key]


@contextmanager
def grouping(*, hashed: bool) -> Iterator[None]:
    """Whether PostgreSQL may hash what it groups, for the statements of a block."""
    if not hashed:
        session().execute(text("SET LOCAL enable_hashagg = off"))
    yield
    if not hashed:
        session().execute(text("SET LOCAL enable_hashagg TO DEFAULT"))


def leaf_sets_among(keys: Sequence[str], customer_ids: BitMap64, now: datetime) -> dict[str, BitMap64]:
    """Of some customers, those for whom each leaf holds: many leaves in one statement, each in its own SQL."""
    ids = list(customer_ids)
    found = {key: BitMap64() for key in keys}
    for first in range(0, len(keys), COLUMNS):
        chosen = keys[first : first + COLUMNS]
        columns = [packed(Customer.id).filter(leaf_clause(key, now, everybody=False)) for key in chosen]
        for begin in range(0, len(ids), ROWS):
            some = is_one_of(Customer.id, ids[begin : begin + ROWS])
            chosen_of = select(*columns).select_from(Customer).where(some)
            row = session().execute(chosen_of, execution_options=IN_BINARY).one()
            for key, value in zip(chosen, row, strict=True):
                found[key] |= unpacked(value)
    return found


def customers_where(clause: ColumnElement[bool]) -> BitMap64:
    """The customers that a predicate over :class:`Customer` picks."""
    statement = select(packed(Customer.id)).select_from(Customer).where(clause)
    return unpacked(session().scalar(statement, execution_options=IN_BINARY))


def packed(id_: Any) -> Any:
    """The ids of a group of rows as one value of 8 bytes each, most significant first (half the time of an array)."""
    return func.string_agg(func.int8send(id_), literal(b"", LargeBinary), type_=LargeBinary)


def unpacked(value: bytes | None) -> BitMap64:
    """The ids of such a value; None: there were no rows."""
    ids = array("Q", value or b"")
    if sys.byteorder == "little":
        ids.byteswap()
    return BitMap64(ids)
