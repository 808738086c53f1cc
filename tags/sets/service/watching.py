"""Which changes can change the set of a leaf: found in the leaf's own SQL, so that no list has to be kept by hand."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, true
from sqlalchemy.sql import visitors

from scrm.kernel.clock import utcnow
from tags.rules.compiler import compile_condition, condition_expires
from tags.rules.windows import FIRST_DAY
from tags.sets.registry import SOURCES
from tags.sets.service.normal_form import leaf_of

EVERYBODY = '{"kind":"everybody"}'  # the key of the set of all customers
OWN_FIELDS = "customers.fields"


class Reach(StrEnum):
    """Whom a noted change names."""

    CUSTOMERS = "customers"
    PERSONS = "persons"
    ANYBODY = "anybody"  # nobody in particular: the whole set is asked anew


# Tables whose changes are noted by triggers (migrations 0005, 0014); ``customers`` itself notes who came and went.
WATCHED = {
    "customers": Reach.CUSTOMERS, OWN_FIELDS: Reach.CUSTOMERS, "follows": Reach.CUSTOMERS,
    "tag_assignments": Reach.CUSTOMERS, "group_stays": Reach.CUSTOMERS, "audience_members": Reach.CUSTOMERS, "customer_people": Reach.CUSTOMERS,
    "person_fields": Reach.PERSONS, "rfm_scores": Reach.PERSONS, "lifecycle": Reach.PERSONS,
    "trait_values": Reach.PERSONS, "person_consents": Reach.PERSONS, "tags": Reach.ANYBODY, "staff_departments": Reach.ANYBODY,
    "departments": Reach.ANYBODY, "customer_groups": Reach.ANYBODY, "channel_codes": Reach.ANYBODY,
}  # fmt: skip
# Kinds (with those of tags.sets.registry) whose SQL says everything that their answer depends on. Others are asked anew when they are too old.
KEPT_KINDS = frozenset(
    {"everybody", "has_tag", "follow", "field", "in_group", "rfm", "stage", "trait", "sample", "consent"}
)

ONLY_IDS = {"has_tag": ("tag_ids",), "follow": ("staff_ids",)}  # which of them are asked for changes no table


def leaf_clause(key: str, now: datetime, *, everybody: bool) -> ColumnElement[bool]:
    """The predicate of a leaf over customers, in the form for everybody or in that for a few."""
    if key == EVERYBODY:
        return true()
    return compile_condition(leaf_of(key), now=now, everybody=everybody)


def turned_by_time(key: str, since: datetime, until: datetime) -> Select[Any] | None:
    """Ids of the customers whose answer the clock may have changed between two moments; None: it changes none."""
    return None if key == EVERYBODY else condition_expires(leaf_of(key), since, until)


@lru_cache(maxsize=10_000)
def sources_of(key: str) -> frozenset[str] | None:
    """The noted sources that the leaf reads; None when it reads something whose changes nobody notes.

    Needs an app context: the SQL of a leaf may depend on the settings.
    """
    return _sources_of(_like(key))


def _like(key: str) -> str:
    """A leaf of the same tables and columns, the same one for many: of each the SQL takes a millisecond or two to make."""
    leaf = orjson.loads(key)
    for name in ONLY_IDS.get(leaf["kind"], ()):
        if leaf.get(name):
            leaf[name] = [1]
    if leaf["kind"] == "field" and leaf["op"] == "between" and isinstance(leaf["values"][0], str):
        leaf["values"] = [FIRST_DAY.isoformat()] * 2
    return orjson.dumps(leaf).decode()


@lru_cache(maxsize=10_000)
def _sources_of(key: str) -> frozenset[str] | None:
    kind = leaf_of(key)["kind"]
    if kind not in KEPT_KINDS | SOURCES.keys():
        return None
    read = {"customers", *SOURCES.get(kind, ())}
    for everybody in (False, True):
        for element in visitors.iterate(leaf_clause(key, utcnow(), everybody=everybody)):
            read |= _source(element)
    return frozenset(read) if read <= WATCHED.keys() else None


@lru_cache(maxsize=10_000)
def moves_with_time(key: str) -> bool:
    """Whether the clock alone can change the answer."""
    return _moves_with_time(_like(key))


@lru_cache(maxsize=10_000)
def _moves_with_time(key: str) -> bool:
    now = utcnow()
    return turned_by_time(key, now, now) is not None


def _source(element: Any) -> set[str]:
    if element.__visit_name__ == "table":
        return {str(element.name)}
    if element.__visit_name__ != "column" or getattr(element.table, "name", None) != "customers":
        return set()
    return set() if element.name == "id" else {OWN_FIELDS}
