"""Facts changed: the rules that read them get the customers on their to-do list, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    distinct,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import ScrmError
from scrm.kernel.locks import hold_in_transaction, share_in_transaction
from scrm.people.models import CustomerPerson
from tags.arrays import row_table
from tags.models import Rule, RuleDue, RuleState, RuleVersion, Schedule
from tags.rules.compiler import TIME, condition_expires
from tags.rules.leaves import EVERYTHING
from tags.rules.service.evaluating import pause

ACTIVATION = "rules.activation"  # shared by whoever changes facts, held alone by whoever makes a rule active
SWEEP_EVERY = timedelta(hours=1)


@dataclass(frozen=True, order=True)
class Fact:
    """Something about a customer changed.

    :param fact: as the leaves' ``reads`` name it; ``*`` wakes every rule
    :param by_rule: the rule that did it, which is not woken by it; 0: no rule
    """

    customer_id: int
    fact: str
    by_rule: int = 0


def woken() -> tuple[ColumnElement[bool], ...]:
    """Rules that look as soon as something happens; the others look once a day."""
    return Rule.state == RuleState.ACTIVE, Rule.deleted_at.is_(None), Rule.schedule != Schedule.DAILY


def _current() -> ColumnElement[bool]:
    return and_(RuleVersion.rule_id == Rule.id, RuleVersion.version == Rule.version)


def mark(facts: Iterable[Fact]) -> bool:
    """Put customers on the to-do list of the active rules that read these facts; says whether there were any.

    The shared lock makes an activation wait for running changes, so that a backfill after it sees them. Backfills bring
    thousands of facts about tags; those that no rule reads are left out before they are sent.
    """
    told = set(facts)
    if not told:
        return False
    read = facts_read()
    changed = sorted(fact for fact in told if fact.fact in read or fact.fact == EVERYTHING)
    if not changed:
        return False
    types = {"customer_id": BigInteger, "fact": Text, "by_rule": BigInteger}
    return _mark(row_table("changed", types, [(f.customer_id, f.fact, f.by_rule) for f in changed]))


def mark_people(facts: Iterable[tuple[int, str]]) -> bool:
    """The same for facts about persons, (person id, fact): all customers they are, found in the same statement.

    Batches of events bring thousands; those that no rule reads are left out before they are sent.
    """
    told = set(facts)
    if not told:
        return False
    read = facts_read()
    changed = sorted((person, fact) for person, fact in told if fact in read or fact == EVERYTHING)
    if not changed:
        return False
    table = row_table("told", {"person_id": BigInteger, "fact": Text}, changed)
    customers = (
        select(CustomerPerson.customer_id, table.c.fact, literal(0, BigInteger).label("by_rule"))
        .join(table, table.c.person_id == CustomerPerson.person_id)
        .subquery("changed")
    )
    return _mark(customers)


def facts_read() -> set[str]:
    """What rules at work look at."""
    share_in_transaction(ACTIVATION)
    reads = select(func.unnest(RuleVersion.reads)).join(Rule, _current()).where(*woken())
    return set(session().scalars(reads))


def _mark(rows: Any) -> bool:
    """``rows``: a table of customer_id, fact, by_rule."""
    share_in_transaction(ACTIVATION)
    readers = (
        select(Rule.id, func.unnest(RuleVersion.reads).label("fact"))
        .join(RuleVersion, _current())
        .where(*woken())
        .subquery("readers")
    )
    due = (
        select(rows.c.customer_id, func.array_agg(distinct(readers.c.id)), literal(utcnow()))
        .join(readers, or_(readers.c.fact == rows.c.fact, rows.c.fact == EVERYTHING))
        .join(Customer, Customer.id == rows.c.customer_id)
        .where(readers.c.id != rows.c.by_rule)
        .group_by(rows.c.customer_id)
    )
    return _add(due)


def mark_selected(customer_ids: Select[Any]) -> bool:
    """Put all these customers on the to-do list of every active rule, in one statement; whether there were any.

    :param customer_ids: a select of ids, each once: what a full sync changed
    """
    share_in_transaction(ACTIVATION)
    rows = customer_ids.subquery("changed")
    active = select(Rule.id).where(*woken())
    rule_ids = list(session().scalars(active.order_by(Rule.id)))
    if not rule_ids:
        return False
    every = cast(rule_ids, ARRAY(BigInteger))
    customer_id = next(iter(rows.c))
    return _add(select(customer_id, every, literal(utcnow())).join(Customer, Customer.id == customer_id))


def mark_about(customer_ids: Select[Any], fact: str) -> bool:
    """Put all these customers on the to-do list of the rules that read one fact, in one statement; whether there were any.

    :param customer_ids: a select of ids, each once
    """
    told = customer_ids.subquery("told")
    rows = select(
        next(iter(told.c)).label("customer_id"),
        literal(fact, Text).label("fact"),
        literal(0, BigInteger).label("by_rule"),
    )
    return _mark(rows.subquery("changed"))


def _add(due: Select[Any]) -> bool:
    adding = insert(RuleDue).from_select(["customer_id", "rule_ids", "since"], due)
    return session().execute(adding.returning(RuleDue.id)).first() is not None


def sweep_due() -> bool:
    """Whether an active rule with a condition on time was not looked at for an hour."""
    return session().execute(_timed_rules(utcnow() - SWEEP_EVERY).limit(1)).first() is not None


def sweep() -> bool:
    """Put the customers whose answer time alone can have changed since the last sweep on the to-do list.

    :returns: whether there were any
    """
    share_in_transaction(ACTIVATION)
    hold_in_transaction("rules.sweep")
    now = utcnow()
    rules = session().execute(_timed_rules(now)).all()
    found = [_owe(rule, now) for rule in rules]
    session().execute(
        update(Rule)
        .where(Rule.id.in_([rule.id for rule in rules]))
        .values(swept_until=now)
        .execution_options(synchronize_session=False)
    )
    return any(found)


def _owe(rule: Any, now: datetime) -> bool:
    try:
        expired = condition_expires(rule.condition, rule.swept_until or now, now)
    except ScrmError as error:
        pause(rule.id, f"its condition cannot be read: {error}")
        return False
    if expired is None:
        return False
    rows = expired.subquery("expired")
    only = cast([rule.id], ARRAY(BigInteger))
    return _add(
        select(rows.c.customer_id, only, literal(now)).join(Customer, Customer.id == rows.c.customer_id)
    )


def _timed_rules(before: datetime) -> Select[Any]:
    """Active rules with a condition on time that were last swept before ``before``."""
    return (
        select(Rule.id, Rule.swept_until, RuleVersion.condition)
        .join(RuleVersion, and_(RuleVersion.rule_id == Rule.id, RuleVersion.version == Rule.version))
        .where(
            literal(TIME) == func.any(RuleVersion.reads),
            *woken(),
            or_(Rule.swept_until.is_(None), Rule.swept_until <= before),
        )
        .order_by(Rule.id)
    )
