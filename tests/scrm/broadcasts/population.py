"""Rows that tests of broadcasts start from; every function flushes and gives ids or rows back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from scrm.broadcasts.models import Broadcast, BroadcastKind
from scrm.customers.models import Customer, Follow
from scrm.groups.models import CustomerGroup
from scrm.kernel.clock import utcnow
from scrm.staff.models import Staff


def make_staff(session: Session, *userids: str, **fields: Any) -> list[Staff]:
    values = {"status": 1, "follows_customers": True, "refreshed_at": utcnow(), **fields}
    made = [Staff(userid=userid, name=userid.title(), **values) for userid in userids]
    session.add_all(made)
    session.flush()
    return made


def make_customers(session: Session, *names: str) -> list[Customer]:
    made = [Customer(external_userid=name, name=name) for name in names]
    session.add_all(made)
    session.flush()
    return made


def follow(session: Session, staff: Staff, customer: Customer, days_ago: float = 1, **fields: Any) -> Follow:
    made = Follow(
        staff_id=staff.id, customer_id=customer.id, added_at=utcnow() - timedelta(days=days_ago), **fields
    )
    session.add(made)
    session.flush()
    return made


def make_group(session: Session, chat_id: str, owner: Staff | None, **fields: Any) -> CustomerGroup:
    made = CustomerGroup(chat_id=chat_id, name=chat_id, owner_staff_id=owner and owner.id, **fields)
    session.add(made)
    session.flush()
    return made


def make_broadcast(session: Session, **fields: Any) -> Broadcast:
    values = {
        "name": "autumn offer",
        "kind": BroadcastKind.CUSTOMERS,
        "text": "hello",
        "attachments": [],
        "audience": {"all": True},
        "made_by": "test",
    }
    made = Broadcast(**{**values, **fields})
    session.add(made)
    session.flush()
    return made
