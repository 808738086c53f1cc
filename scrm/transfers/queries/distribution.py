"""Who gets whom: one SELECT that the preview counts, the activation inserts and a changed rule updates.

A customer falls into the first share of the rule whose condition holds. Inside a share the receivers' parts are as
their weights, to one customer exactly; who gets which is drawn by a hash, the same each time it is asked for one plan,
so that nobody gets only the oldest. ``existing`` gives a customer to a receiver who follows them already;
``keep_together`` gives all customers of one group of the handing-over member, and the group, to one receiver.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on

from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.staff.models import Staff
from scrm.transfers.models import Reason, TransferPair, TransferPlan
from scrm.transfers.queries.receivers import OF_GROUPS, Slot, able, closed, slot_table
from tags.rules.compiler import compile_condition

COLUMNS = (
    "customer_id",
    "group_id",
    "item_id",
    "share",
    "to_staff_id",
    "reason",
    "possible_at",
    "of_groups",
)


def distributed(plan: TransferPlan, base: CTE, found: list[Slot]) -> Select[Any]:
    """Every candidate with its receiver or the reason why it has none; columns :data:`COLUMNS`.

    :param base: :func:`~scrm.transfers.queries.candidates.candidates` or ``planned_items``
    :param found: the able receivers, see :func:`~scrm.transfers.queries.receivers.slots`
    """
    if plan.rule is None:
        return _by_hand(plan, base)
    judged = _judged(plan, base)
    given = _existing(judged, found) if plan.rule.get("existing") else None
    drawn = _drawn(plan.id, judged, given, found)
    to_staff: ColumnElement[Any] = (
        drawn.c.staff_id if given is None else func.coalesce(given.c.staff_id, drawn.c.staff_id)
    )
    reason = case(
        (judged.c.reason.is_not(None), judged.c.reason),
        (judged.c.share.is_(None), Reason.NO_SHARE.value),
        (to_staff.is_(None), Reason.NO_RECEIVER.value),
    )
    statement = select(
        judged.c.customer_id,
        judged.c.group_id,
        judged.c.item_id,
        judged.c.share,
        case((judged.c.reason.is_(None), to_staff)).label("to_staff_id"),
        cast(reason, Text).label("reason"),
        judged.c.possible_at,
        judged.c.of_groups,
    ).outerjoin(drawn, and_(drawn.c.share == judged.c.share, drawn.c.bundle == judged.c.bundle))
    return (
        statement
        if given is None
        else statement.outerjoin(given, given.c.customer_id == judged.c.customer_id)
    )


def _judged(plan: TransferPlan, base: CTE) -> CTE:
    """Candidates with their ``share`` of the rule and the ``bundle`` that must stay in one hand."""
    rule = plan.rule or {}
    shares = rule["shares"]
    clauses = [compile_condition(each["condition"]) if each.get("condition") else true() for each in shares]
    fits = case(*[(clause, number) for number, clause in enumerate(clauses)], else_=null())
    # With keep_together a group goes where its customers go; without it, groups are a pot of their own.
    lone_group = len(shares) - 1 if rule.get("keep_together") else OF_GROUPS
    share = case((base.c.of_groups, lone_group), else_=fits)
    alone = case(
        (base.c.of_groups, literal("g") + cast(base.c.group_id, Text)),
        else_=literal("c") + cast(base.c.customer_id, Text),
    )
    together = literal("g") + cast(base.c.together, Text)
    bundle = func.coalesce(together, alone) if rule.get("keep_together") else alone
    free: ColumnElement[Any] = case((base.c.reason.is_(None), share))
    rows = select(base, cast(free, BigInteger).label("own_share"), bundle.label("bundle")).outerjoin(
        Customer, Customer.id == base.c.customer_id
    )
    if not rule.get("keep_together"):
        judged = rows.subquery("own")
        return select(judged, judged.c.own_share.label("share")).cte("judged")
    own = rows.subquery("own")
    lowest = func.min(own.c.own_share).over(
        partition_by=own.c.bundle
    )  # the whole bundle goes by its first share
    return select(own, case((own.c.own_share.is_not(None), lowest)).label("share")).cte("judged")


def _existing(judged: CTE, found: list[Slot]) -> Subquery:
    """The receiver of the share who follows the customer already; of several the one who added them last."""
    slots = slot_table(found)
    return (
        select(judged.c.customer_id, Follow.staff_id)
        .ext(distinct_on(judged.c.customer_id))
        .join(Follow, Follow.customer_id == judged.c.customer_id)
        .join(slots, and_(slots.c.staff_id == Follow.staff_id, slots.c.share == judged.c.share))
        .where(Follow.status == FollowStatus.ACTIVE)
        .order_by(judged.c.customer_id, Follow.added_at.desc().nulls_last(), Follow.id.desc())
        .subquery("given")
    )


def _drawn(plan_id: int, judged: CTE, given: Subquery | None, found: list[Slot]) -> Subquery:
    """Which receiver each bundle of each share goes to: the bundles in a drawn order, cut by the weights."""
    slots = slot_table(found)
    open_ = select(judged.c.share, judged.c.bundle, func.count().label("size")).where(
        judged.c.share.is_not(None)
    )
    if given is not None:
        open_ = open_.outerjoin(given, given.c.customer_id == judged.c.customer_id).where(
            given.c.staff_id.is_(None)
        )
    bundles = open_.group_by(judged.c.share, judged.c.bundle).subquery("bundles")
    drawn = func.md5(bundles.c.bundle + literal(f":{plan_id}"))
    running = func.sum(bundles.c.size).over(
        partition_by=bundles.c.share, order_by=[drawn, bundles.c.bundle], rows=(None, 0)
    )
    whole = func.sum(bundles.c.size).over(partition_by=bundles.c.share)
    placed = select(
        bundles.c.share, bundles.c.bundle, (running - bundles.c.size).label("start"), whole.label("whole")
    ).subquery("placed")
    part = func.div(placed.c.start * slots.c.whole, placed.c.whole)
    return (
        select(placed.c.share, placed.c.bundle, slots.c.staff_id)
        .join(slots, and_(slots.c.share == placed.c.share, part >= slots.c.low, part < slots.c.high))
        .subquery("drawn")
    )


def _by_hand(plan: TransferPlan, base: CTE) -> Select[Any]:
    """The pairs that a person named; who is no candidate has no relation with the handing-over member."""
    pair, person, group = TransferPair, base.alias("person"), base.alias("chat")
    reason = case(
        (func.coalesce(person.c.of_groups, group.c.of_groups).is_(None), Reason.NO_RELATION.value),
        (person.c.reason.is_not(None), person.c.reason),
        (group.c.reason.is_not(None), group.c.reason),
        (~able(), Reason.RECEIVER_UNAVAILABLE.value),
        (closed(), Reason.RECEIVER_FULL.value),
    )
    return (
        select(
            pair.customer_id,
            pair.group_id,
            person.c.item_id,
            cast(null(), BigInteger).label("share"),
            pair.to_staff_id,
            cast(reason, Text).label("reason"),
            func.coalesce(person.c.possible_at, group.c.possible_at).label("possible_at"),
            pair.group_id.is_not(None).label("of_groups"),
        )
        .join(Staff, Staff.id == pair.to_staff_id)
        .outerjoin(person, person.c.customer_id == pair.customer_id)
        .outerjoin(group, group.c.group_id == pair.group_id)
        .where(pair.plan_id == plan.id)
    )
