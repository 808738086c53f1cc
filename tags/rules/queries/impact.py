"""What a rule would change now if it looked at everybody: how many, on whom, and what WeCom has to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Select,
    and_,
    column,
    exists,
    false,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from tags.arrays import id_array, is_one_of
from tags.models import AssignmentState, Push, Tag, TagAssignment, TagGroup, TagSource
from tags.rules.compiler import compile_condition
from tags.rules.service.evaluating import Population, held_sources, missing, surplus
from tags.rules.service.texts import RuleText
from tags.sets.service.asking import customers_where
from tags.sets.service.counting import SetMembers
from tags.tagging.service.contests import exclusive_groups

NO_RULE = 0  # a rule that is not saved yet
HELD = (AssignmentState.ACTIVE, AssignmentState.PENDING_ADD)
REACHABLE = (FollowStatus.ACTIVE, FollowStatus.DELETED_BY_CUSTOMER)


@dataclass(frozen=True)
class Impact:
    """What would change.

    :param base: customers there are (in the scope)
    :param count: of them, those for whom the condition holds
    :param customers: of them, those with a change
    :param added: tags on relations that would come; ``removed`` that would go
    :param rivals: of ``added``, those whose relation holds another tag of an exclusive group now
    :param staff: members with a relation that changes
    :param calls: relations WeCom has to be told of, one call each; nobody tells it tags that are kept here alone
    """

    base: int
    count: int
    customers: int
    added: int
    removed: int
    rivals: int
    staff: int
    calls: int

    @property
    def share(self) -> float:
        """Of all customers, the part that changes."""
        return self.customers / self.base if self.base else 0.0


def impact(scope: Scope, rule: RuleText) -> Impact:
    """Count it by SQL alone, as a transaction that has written wants it; the caller bounds its time.

    :raises InvalidInput: the condition is malformed
    """
    clause, seen = compile_condition(rule.condition, everybody=True), visible(scope)
    base = session().scalar(select(func.count()).select_from(Customer).where(seen)) or 0
    return _told(customers_where(and_(seen, clause)), base, scope, rule)


def impact_on(members: SetMembers, scope: Scope, rule: RuleText) -> Impact:
    """The same when it is known for whom the condition holds."""
    return _told(members.ids, members.base, scope, rule)


def _told(customer_ids: BitMap64, base: int, scope: Scope, rule: RuleText) -> Impact:
    count = len(customer_ids)
    if rule.id == NO_RULE and not rule.add_tag_ids:
        return Impact(base, count, 0, 0, 0, 0, 0, 0)
    changes = session().execute(_statement(list(customer_ids), scope, rule)).one()
    return Impact(base, count, *changes)


def _statement(ids: list[int], scope: Scope, rule: RuleText) -> Executable:
    """Every relation is looked at once; what it holds is joined, so that the planner hashes it where there are many."""
    compiled = [(rule, true())]
    members = func.unnest(id_array(ids)).table_valued(column("id", BigInteger)).render_derived("members")
    holding = select(members.c.id.label("customer_id"), literal(rule.id, BigInteger).label("rule_id"))
    # Not a table of its own: the planner sees that every row is of this rule.
    truth = holding.cte("truth").prefix_with("NOT MATERIALIZED")
    held = held_sources(compiled, _population(scope))
    adds = _shown(missing(truth, compiled, held), rule).where(
        ~exists().where(_there(Tag.id), is_one_of(TagAssignment.tag_id, rule.add_tag_ids))
    )
    takes = surplus(truth, compiled, held).join(Tag, Tag.id == held.c.tag_id)
    removes = _shown(takes, rule).where(exists().where(_there(Tag.id), ~_wanted_else(rule)))
    changes = (adds.union_all(removes) if rule.id != NO_RULE else adds).subquery("changes")
    each = changes.c
    return select(
        func.count(each.customer_id.distinct()),
        func.count().filter(each.adds),
        func.count().filter(~each.adds),
        func.count().filter(each.adds, each.rival),
        func.count(each.staff_id.distinct()),
        func.count(each.follow_id.distinct()).filter(each.told),
    )


def _shown(changes: Select[Any], rule: RuleText) -> Select[Any]:
    """Changes with the member, whether WeCom is told, and whether another tag of an exclusive group is there."""
    told = and_(Follow.status.in_(REACHABLE), TagGroup.push == Push.WECOM)
    columns = Follow.staff_id, told.label("told"), _has_rival(rule).label("rival")
    return changes.join(TagGroup, TagGroup.id == Tag.group_id).add_columns(*columns)


def _population(scope: Scope) -> Population:
    if scope.everyone:
        return Population(true(), true(), everybody=True)
    own = select(Customer.id).where(visible(scope))
    return Population(visible(scope), TagAssignment.customer_id.in_(own), everybody=True)


def _there(tag_id: Any) -> ColumnElement[bool]:
    """The relation holds the tag."""
    return and_(
        TagAssignment.follow_id == Follow.id, TagAssignment.tag_id == tag_id, TagAssignment.state.in_(HELD)
    )


def _wanted_else(rule: RuleText) -> ColumnElement[bool]:
    return exists().where(
        TagSource.assignment_id == TagAssignment.id,
        TagSource.source != rule.source,
        TagSource.spent_at.is_(None),
    )


def _has_rival(rule: RuleText) -> ColumnElement[bool]:
    """Most tags are of no exclusive group, and then nobody is asked."""
    groups = exclusive_groups(rule.add_tag_ids)
    if not groups:
        return false()
    other = aliased(Tag)
    return exists().where(
        TagAssignment.follow_id == Follow.id,
        TagAssignment.tag_id == other.id,
        TagAssignment.state.in_(HELD),
        other.group_id == Tag.group_id,
        other.id != Tag.id,
        is_one_of(other.group_id, groups),
    )
