"""Who uses an audience: rules, other audiences, transfer plans, and what packages further up add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import func, literal, select

from scrm.audiences.models import Audience
from scrm.audiences.queries.in_audience import KIND, fact_of
from scrm.audiences.registry import QUESTIONS, AudienceUser
from scrm.behaviour.registry import PropertyUser
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor
from scrm.portraits.registry import TraitUser
from scrm.transfers.models import PlanState, TransferPlan
from scrm.value.registry import StageUser
from tags.catalog.registry import Named, TagUser
from tags.models import Rule
from tags.rules.queries.property_users import names_property
from tags.rules.queries.stage_users import names_stage
from tags.rules.queries.trait_users import names_trait
from tags.rules.service.rereading import readers_of

OPEN_PLANS = (PlanState.DRAFT, PlanState.ACTIVE, PlanState.PAUSED)


def users_of(audience_id: int) -> list[AudienceUser]:
    """Everything unfinished that names an audience, itself or through another."""
    own = [*_audiences(audience_id), *_rules(audience_id), *_plans(audience_id)]
    return [*own, *(user for question in QUESTIONS for user in question(audience_id))]


def refuse_limited(actor: Actor, audience_id: int) -> None:
    """Refuse a key with a data scope to change an audience that rules read, themselves or through another audience.

    They set tags of everybody's customers, and their storm guard counts them; drafts count too.

    :raises Forbidden: rules read it, and the actor sees some customers only
    """
    if readers_of(fact_of(audience_id)):
        actor.require_everyone("rules read this audience, so its changes concern")


def named_in(tree: object) -> Iterator[int]:
    """Ids of the audiences that a condition names, wherever; also of one that is no longer valid."""
    if not isinstance(tree, Mapping):
        return
    if tree.get("kind") == KIND:
        yield from tree.get("audience_ids", ())
    below: list[Any] = [tree.get("not"), *(tree.get("all") or ()), *(tree.get("any") or ())]
    for each in below:
        yield from named_in(each)


def _audiences(audience_id: int) -> list[AudienceUser]:
    naming = select(Audience.id, Audience.name).where(
        literal(audience_id) == func.any(Audience.refers_to), Audience.deleted_at.is_(None)
    )
    return [
        AudienceUser("audience", row.id, row.name) for row in session().execute(naming.order_by(Audience.id))
    ]


def _rules(audience_id: int) -> list[AudienceUser]:
    named = select(Rule.id, Rule.name).where(Rule.id.in_(readers_of(fact_of(audience_id)))).order_by(Rule.id)
    return [AudienceUser("rule", row.id, row.name) for row in session().execute(named)]


def trees_naming_trait(trait_id: int) -> list[TraitUser]:
    """Audiences that are not deleted and unfinished transfer plans whose conditions name a computed trait."""
    return [TraitUser(*user) for user in _trees_that(lambda tree: names_trait(tree, trait_id))]


def trees_naming_stage(keys: frozenset[str]) -> list[StageUser]:
    """The same of any of these stages of the lifecycle."""
    return [StageUser(*user) for user in _trees_that(lambda tree: names_stage(tree, keys))]


def trees_naming_tags(named: Named) -> list[TagUser]:
    """The same of any of these tags and groups of tags."""
    return [TagUser(*user) for user in _trees_that(named.by)]


def trees_naming_properties(type_id: int, keys: frozenset[str]) -> list[PropertyUser]:
    """The same of any of these properties of an event type."""
    return [PropertyUser(*user) for user in _trees_that(lambda tree: names_property(tree, type_id, keys))]


def _trees_that(name_it: Callable[[object], bool]) -> Iterator[tuple[str, int, str]]:
    """Kind, id and name of every audience and unfinished transfer plan with such a condition."""
    kept = select(Audience.id, Audience.name, Audience.condition).where(
        Audience.deleted_at.is_(None), Audience.condition.is_not(None)
    )
    for row in session().execute(kept.order_by(Audience.id)):
        if name_it(row.condition):
            yield "audience", row.id, row.name
    for plan_id, conditions in _plan_conditions():
        if any(name_it(tree) for tree in conditions):
            yield "transfer_plan", plan_id, f"#{plan_id}"


def _plans(audience_id: int) -> list[AudienceUser]:
    return [
        AudienceUser("transfer_plan", plan_id, f"#{plan_id}")
        for plan_id, conditions in _plan_conditions()
        if any(audience_id in named_in(tree) for tree in conditions)
    ]


def _plan_conditions() -> Iterator[tuple[int, list[Any]]]:
    """Unfinished transfer plans with the conditions of their shares."""
    unfinished = select(TransferPlan.id, TransferPlan.rule).where(
        TransferPlan.state.in_(OPEN_PLANS), TransferPlan.rule.is_not(None)
    )
    for row in session().execute(unfinished.order_by(TransferPlan.id)):
        yield row.id, [share.get("condition") for share in row.rule.get("shares", ())]
