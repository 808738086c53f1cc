"""Reading conversations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, exists, func, or_, select

from scrm.conversations.models import AutoReply, AutoReplyFiring, KfAccount, Message
from scrm.conversations.service.kf import pull_due
from scrm.conversations.service.replies import unanswered
from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope

MESSAGE_FILTERS = ("customer_id", "staff_id", "channel", "direction")
RULE_FILTERS = ("channel", "match", "enabled")


def message_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Messages that ``scope`` may see: of its staff themselves, and of customers they follow."""
    statement = select(Message)
    for name in MESSAGE_FILTERS:
        if filters.get(name) is not None:
            statement = statement.where(getattr(Message, name) == filters[name])
    return statement if scope.everyone else statement.where(_visible(scope))


def customer_message_list(scope: Scope, customer_id: int, filters: dict[str, Any]) -> Select[Any]:
    """Messages of one customer.

    :raises NotFound: when there is no such customer, or it lies outside ``scope``
    """
    known = select(Customer.id).where(Customer.id == customer_id)
    if not scope.everyone:
        known = known.where(_followed(Customer.id, scope))
    if session().scalar(known) is None:
        raise NotFound(f"there is no customer {customer_id}")
    return message_list(Scope.all(), {**filters, "customer_id": customer_id})


def auto_reply_list(filters: dict[str, Any]) -> Select[Any]:
    """Rules with the number of messages each has answered, and what became of that."""
    statement = select(
        *AutoReply.__table__.columns,
        _firings(func.count()).label("answers"),
        _firings(func.count(AutoReplyFiring.failed)).label("failures"),
        _last_failure().label("last_failure"),
    )
    for name in RULE_FILTERS:
        if filters.get(name) is not None:
            statement = statement.where(getattr(AutoReply, name) == filters[name])
    return statement


def auto_reply_detail(auto_reply_id: int) -> dict[str, Any]:
    """One rule; raises NotFound when there is none with this id."""
    found = session().execute(auto_reply_list({}).where(AutoReply.id == auto_reply_id)).mappings().first()
    if found is None:
        raise NotFound(f"there is no auto-reply {auto_reply_id}")
    return dict(found)


def pulls_due() -> bool:
    """Whether an account should be read now and nobody is reading it."""
    free = or_(KfAccount.lease_until.is_(None), KfAccount.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(pull_due(), free))))


def replies_due() -> bool:
    """Whether a text waits to be considered."""
    return bool(session().scalar(select(exists().where(unanswered()))))


def _firings(figure: Any) -> Any:
    fired = select(figure).where(AutoReplyFiring.auto_reply_id == AutoReply.id)
    return fired.correlate(AutoReply).scalar_subquery()


def _last_failure() -> Any:
    failed = select(AutoReplyFiring.failed).where(
        AutoReplyFiring.auto_reply_id == AutoReply.id, AutoReplyFiring.failed.is_not(None)
    )
    newest = failed.order_by(AutoReplyFiring.id.desc()).limit(1)
    return newest.correlate(AutoReply).scalar_subquery()


def _visible(scope: Scope) -> Any:
    return or_(Message.staff_id.in_(scope.staff_ids), _followed(Message.customer_id, scope))


def _followed(customer_id: Any, scope: Scope) -> Any:
    return exists().where(Follow.customer_id == customer_id, Follow.staff_id.in_(scope.staff_ids))
