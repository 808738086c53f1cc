"""Asking PostgreSQL for sets of customer ids: one value comes back, whatever the size of the set."""

from __future__ import annotations

import sys
from array import array
from datetime import datetime
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import ColumnElement, LargeBinary, func, literal, select

from scrm.customers.models import Customer
from scrm.kernel.db import session
from tags.models import TagAssignment
from tags.rules.compiler import compile_condition
from tags.rules.holdings import HELD
from tags.sets.service.normal_form import leaf_of


def leaf_set(key: str, now: datetime) -> BitMap64:
    """The customers for whom a leaf holds, asked with the leaf's own SQL."""
    return customers_where(compile_condition(leaf_of(key), now=now, everybody=True))


def customers_where(clause: ColumnElement[bool]) -> BitMap64:
    """The customers that a predicate over :class:`Customer` picks."""
    statement = select(packed(Customer.id)).select_from(Customer).where(clause)
    return unpacked(session().scalar(statement))


def held_tag_sets() -> dict[int, BitMap64]:
    """The customers who have each tag, of all tags that anybody has."""
    a = TagAssignment
    statement = select(a.tag_id, packed(a.customer_id)).where(a.state.in_(HELD)).group_by(a.tag_id)
    return {tag_id: unpacked(value) for tag_id, value in session().execute(statement)}


def packed(id_: Any) -> ColumnElement[bytes]:
    """The ids of a group of rows as one value of 8 bytes each, most significant first."""
    return func.string_agg(func.int8send(id_), literal(b"", LargeBinary), type_=LargeBinary)


def unpacked(value: bytes | None) -> BitMap64:
    """The ids of such a value; None: there were no rows."""
    ids = array("Q", value or b"")
    if sys.byteorder == "little":
        ids.byteswap()
    return BitMap64(ids)
