"""What a rule would change now if it looked at everybody: how many, on whom, and what WeCom has to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, select, true

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.customers.queries import visible
from scrm.kernel.db import session
from scrm.kernel.permissions import Scope
from tags.arrays import is_one_of
from tags.models import AssignmentState, Push, Tag, TagAssignment, TagGroup, TagSource
from tags.rules.compiler import compile_condition
from tags.rules.service.evaluating import Population, difference_table, truth_table
from tags.rules.service.texts import RuleText
from tags.sets.service.counting import SetMembers

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
    """Count it, in one statement; the caller bounds its time.

    :raises InvalidInput: the condition is malformed
    """
    clause = compile_condition(rule.condition, everybody=True)
    population = _population(scope)
    base = select(func.count()).select_from(Customer).where(population.where).scalar_subquery()
    return Impact(*session().execute(_statement(rule, clause, population, base)).one())


def impact_on(members: SetMembers, scope: Scope, rule: RuleText) -> Impact:
    """The same when it is known for whom the condition holds."""
    if rule.id == NO_RULE and not rule.add_tag_ids:
        return Impact(members.base, len(members.ids), 0, 0, 0, 0, 0, 0)
    clause, base = is_one_of(Customer.id, members.ids), literal(members.base)
    return Impact(*session().execute(_statement(rule, clause, _population(scope), base)).one())


def _statement(rule: RuleText, clause: ColumnElement[bool], population: Population, base: Any) -> Select[Any]:
    compiled = [(rule, clause)]
    truth = truth_table(compiled, population.where)
    changes = difference_table(truth, compiled, population)
    adds, removes = (
        and_(changes.c.adds, ~_there(changes)),
        and_(~changes.c.adds, ~_wanted_else(changes, rule)),
    )
    told = and_(adds | removes, Follow.status.in_(REACHABLE), TagGroup.push == Push.WECOM)
    return (
        select(
            base,
            select(func.count()).select_from(truth).scalar_subquery(),
            func.count(case((adds | removes, changes.c.customer_id)).distinct()),
            func.count(case((adds, 1))),
            func.count(case((removes, 1))),
            func.count(case((and_(adds, _has_rival(changes)), 1))),
            func.count(case((adds | removes, Follow.staff_id)).distinct()),
            func.count(case((told, changes.c.follow_id)).distinct()),
        )
        .select_from(changes)
        .join(Follow, Follow.id == changes.c.follow_id)
        .join(Tag, Tag.id == changes.c.tag_id)
        .join(TagGroup, TagGroup.id == Tag.group_id)
    )


def _population(scope: Scope) -> Population:
    if scope.everyone:
        return Population(true(), true(), everybody=True)
    own = select(Customer.id).where(visible(scope))
    return Population(visible(scope), TagAssignment.customer_id.in_(own), everybody=True)


def _there(changes: Any) -> ColumnElement[bool]:
    return exists().where(
        TagAssignment.follow_id == changes.c.follow_id,
        TagAssignment.tag_id == changes.c.tag_id,
        TagAssignment.state.in_(HELD),
    )


def _wanted_else(changes: Any, rule: RuleText) -> ColumnElement[bool]:
    return exists().where(
        TagAssignment.follow_id == changes.c.follow_id,
        TagAssignment.tag_id == changes.c.tag_id,
        TagSource.assignment_id == TagAssignment.id,
        TagSource.source != rule.source,
        TagSource.spent_at.is_(None),
    )


def _has_rival(changes: Any) -> ColumnElement[bool]:
    own, other = Tag.__table__.alias("own"), Tag.__table__.alias("other")
    return exists().where(
        own.c.id == changes.c.tag_id,
        TagGroup.id == own.c.group_id,
        TagGroup.exclusive,
        other.c.group_id == own.c.group_id,
        other.c.id != own.c.id,
        TagAssignment.follow_id == changes.c.follow_id,
        TagAssignment.tag_id == other.c.id,
        TagAssignment.state.in_(HELD),
    )
