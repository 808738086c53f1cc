"""Who receives a broadcast and from whom, as one SELECT: the dry run counts it, the freeze inserts it.

The owner of a customer whom several members follow is, in this order: the member who last exchanged a message with
them; the member who added them last; the newest follow relation. So every customer has at most one sender and the
same data always gives the same one (docs/adr/0008-broadcast-states.md).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
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
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on

from scrm.broadcasts.models import Broadcast, BroadcastKind, BroadcastTarget, TargetState
from scrm.broadcasts.queries.bulk import in_list
from scrm.broadcasts.queries.saved_audiences import conditions_hold
from scrm.conversations.models import Message
from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.staff.models import Staff

CHUNK_SIZE = {BroadcastKind.CUSTOMERS: 10_000, BroadcastKind.GROUPS: 2_000}  # wecom-api.md section 4.9
ACTIVE_STAFF = 1  # Staff.status
LONGEST_OPEN = timedelta(days=31)  # members may still confirm a broadcast that was frozen this long ago


class SkipReason(StrEnum):
    """Why somebody in the audience gets nothing."""

    NO_ACTIVE_FOLLOW = "no_active_follow"  # nobody has them as a full contact (any more)
    SENDER_UNAVAILABLE = (
        "sender_unavailable"  # those who do have left, are disabled or lack the customer feature
    )
    MONTHLY_CAP = "monthly_cap"  # received as many this month as WeCom or the settings allow
    GROUP_DISMISSED = "group_dismissed"
    GROUP_WITHOUT_OWNER = "group_without_owner"


def frozen_recipients(broadcast: Broadcast, month_start: datetime, monthly_cap: int) -> CTE:
    """The audience with sender and chunk number.

    :param month_start: begin of the corp's month, from which received messages count
    :param monthly_cap: how many a customer may receive in it
    :returns: columns ``customer_id``, ``group_id``, ``recipient``, ``sender_staff_id`` (empty: skipped), ``reason``
        and ``number`` (1, 2, … per sender)
    """
    if broadcast.kind is BroadcastKind.CUSTOMERS:
        people = _customers(broadcast, month_start, monthly_cap)
    else:
        people = _groups(broadcast, month_start, monthly_cap)
    place = func.row_number().over(
        partition_by=people.c.sender_staff_id, order_by=func.coalesce(people.c.customer_id, people.c.group_id)
    )
    number = (place - 1) // CHUNK_SIZE[broadcast.kind] + 1
    return select(people, cast(number, BigInteger).label("number")).cte("numbered")


def _customers(broadcast: Broadcast, month_start: datetime, monthly_cap: int) -> Subquery:
    wanted = select(Customer.id, Customer.external_userid).where(customers_wanted(broadcast)).cte("wanted")
    candidates = _candidates(wanted, broadcast.scope_staff_ids)
    owner = _owners(candidates)
    full = _full(BroadcastTarget.customer_id, month_start, monthly_cap)
    reason = case(
        (owner.c.staff_id.is_(None), SkipReason.NO_ACTIVE_FOLLOW.value),
        (~owner.c.able, SkipReason.SENDER_UNAVAILABLE.value),
        (full.c.id.is_not(None), SkipReason.MONTHLY_CAP.value),
        else_=null(),
    )
    joined = (
        select(
            wanted.c.id.label("customer_id"),
            cast(null(), BigInteger).label("group_id"),
            wanted.c.external_userid.label("recipient"),
            owner.c.staff_id,
            cast(reason, Text).label("reason"),
        )
        .outerjoin(owner, owner.c.customer_id == wanted.c.id)
        .outerjoin(full, full.c.id == wanted.c.id)
        .subquery("judged")
    )
    return _with_sender(joined)


def customers_wanted(broadcast: Broadcast) -> ColumnElement[bool]:
    """The clause over ``customers`` that the audience is; InvalidInput when its condition is no longer valid."""
    ids = broadcast.audience.get("customer_ids")
    listed = true() if ids is None else in_list(Customer.id, ids)
    return and_(listed, conditions_hold(broadcast.audience), customers_in_scope(broadcast.scope_staff_ids))


def customers_in_scope(staff_ids: list[int] | None) -> ColumnElement[bool]:
    """Customers that ever had a relation with one of these staff; without a list everybody."""
    if staff_ids is None:
        return true()
    return exists().where(Follow.customer_id == Customer.id, in_list(Follow.staff_id, staff_ids))


def groups_in_scope(staff_ids: list[int] | None) -> ColumnElement[bool]:
    """Groups that one of these staff owns; without a list all."""
    return true() if staff_ids is None else in_list(CustomerGroup.owner_staff_id, staff_ids)


def can_send() -> ColumnElement[bool]:
    """Whether a member may confirm mass sends: not left, active, and in the customer-contact feature.

    A member whom nobody has read from WeCom yet counts as able: WeCom decides then, and says so per task.
    """
    unread = Staff.refreshed_at.is_(None)
    active = and_(or_(Staff.status.is_(None), Staff.status == ACTIVE_STAFF), Staff.follows_customers)
    return and_(Staff.left_at.is_(None), or_(unread, active))


def _candidates(wanted: CTE, scope: list[int] | None) -> CTE:
    """Every full relation of a wanted customer, with whether its member can send."""
    statement = (
        select(Follow.customer_id, Follow.staff_id, Follow.id, Follow.added_at, can_send().label("able"))
        .join(wanted, wanted.c.id == Follow.customer_id)
        .join(Staff, Staff.id == Follow.staff_id)
        .where(Follow.status == FollowStatus.ACTIVE)
    )
    if scope is not None:
        statement = statement.where(in_list(Follow.staff_id, scope))
    return statement.cte("candidates")


def _owners(candidates: CTE) -> Subquery:
    """One relation per customer, by the rule in this module's docstring."""
    talk = _last_talks(candidates)
    return (
        select(candidates.c.customer_id, candidates.c.staff_id, candidates.c.able)
        .ext(distinct_on(candidates.c.customer_id))
        .outerjoin(
            talk,
            and_(talk.c.customer_id == candidates.c.customer_id, talk.c.staff_id == candidates.c.staff_id),
        )
        .order_by(
            candidates.c.customer_id,
            candidates.c.able.desc(),
            talk.c.at.desc().nulls_last(),
            candidates.c.added_at.desc().nulls_last(),
            candidates.c.id.desc(),
        )
        .subquery("owners")
    )


def _last_talks(candidates: CTE) -> Subquery:
    """When each member last exchanged a message with a customer; only for customers that more than one could serve."""
    shared = (
        select(candidates.c.customer_id)
        .where(candidates.c.able)
        .group_by(candidates.c.customer_id)
        .having(func.count() > 1)
    )
    return (
        select(Message.customer_id, Message.staff_id, func.max(Message.sent_at).label("at"))
        .where(Message.customer_id.in_(shared), Message.staff_id.is_not(None))
        .group_by(Message.customer_id, Message.staff_id)
        .subquery("talks")
    )


def _full(recipient: Any, month_start: datetime, monthly_cap: int) -> Subquery:
    """Customers (or groups) that already received as many broadcasts this month as they may.

    Only targets of broadcasts that can have been sent this month are looked at, and none while there are too few of
    those for anybody to be full, which in most corps is always.
    """
    recent = select(Broadcast.id).where(Broadcast.frozen_at >= month_start - LONGEST_OPEN)
    enough = select(func.count() >= monthly_cap).select_from(recent.subquery()).scalar_subquery()
    return (
        select(recipient.label("id"))
        .where(
            enough,
            BroadcastTarget.broadcast_id.in_(recent),
            BroadcastTarget.state == TargetState.SENT,
            BroadcastTarget.sent_at >= month_start,
            recipient.is_not(None),
        )
        .group_by(recipient)
        .having(func.count() >= monthly_cap)
        .subquery("full_this_month")
    )


def _groups(broadcast: Broadcast, month_start: datetime, monthly_cap: int) -> Subquery:
    full = _full(BroadcastTarget.group_id, month_start, monthly_cap)
    reason = case(
        (CustomerGroup.status == GroupStatus.DISMISSED, SkipReason.GROUP_DISMISSED.value),
        (CustomerGroup.owner_staff_id.is_(None), SkipReason.GROUP_WITHOUT_OWNER.value),
        (~can_send(), SkipReason.SENDER_UNAVAILABLE.value),
        (full.c.id.is_not(None), SkipReason.MONTHLY_CAP.value),
        else_=null(),
    )
    judged = (
        select(
            cast(null(), BigInteger).label("customer_id"),
            CustomerGroup.id.label("group_id"),
            CustomerGroup.chat_id.label("recipient"),
            CustomerGroup.owner_staff_id.label("staff_id"),
            cast(reason, Text).label("reason"),
        )
        .outerjoin(Staff, Staff.id == CustomerGroup.owner_staff_id)
        .outerjoin(full, full.c.id == CustomerGroup.id)
        .where(groups_wanted(broadcast))
        .subquery("judged")
    )
    return _with_sender(judged)


def groups_wanted(broadcast: Broadcast) -> ColumnElement[bool]:
    """The clause over ``customer_groups`` that the audience is."""
    ids = broadcast.audience.get("group_ids")
    clause = true() if ids is None else in_list(CustomerGroup.id, ids)
    return and_(clause, groups_in_scope(broadcast.scope_staff_ids))


def _with_sender(judged: Subquery) -> Subquery:
    """Give a sender to those only whom nothing speaks against."""
    sender = case((judged.c.reason.is_(None), judged.c.staff_id), else_=cast(literal(None), BigInteger))
    return select(
        judged.c.customer_id,
        judged.c.group_id,
        judged.c.recipient,
        sender.label("sender_staff_id"),
        judged.c.reason,
    ).subquery("people")


def sender_counts(recipients: CTE) -> Select[Any]:
    """Rows ``(sender_staff_id, reason, recipients, tasks)``: what the dry run shows."""
    columns = recipients.c
    return select(
        columns.sender_staff_id,
        columns.reason,
        func.count().label("recipients"),
        func.max(columns.number).label("tasks"),
    ).group_by(columns.sender_staff_id, columns.reason)
