"""Storing messages: set-based, each once, told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from scrm.conversations.events import MessageLinked, MessageStored
from scrm.conversations.models import Channel, Direction, KfSession, Message
from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.service import ensure_staff

REPLY_MAX_AGE = timedelta(minutes=10)
"""Nobody wants an automatic answer to older words; so a re-sync of old messages answers nothing."""


@dataclass(frozen=True)
class NewMessage:
    """A message as a channel told it.

    :param key: the platform's own id of the message, or ours for what we sent; unique with channel and time
    :param kind: WeCom's msgtype, or the name of the event
    :param content: the kind's body as WeCom gave it
    :param userid: member of staff who wrote or received it
    """

    channel: Channel
    key: str
    sent_at: datetime
    direction: Direction
    kind: str
    text: str | None = None
    media_id: str | None = None
    content: dict[str, Any] = field(default_factory=dict)
    app: str | None = None
    external_userid: str | None = None
    userid: str | None = None
    kf_account_id: int | None = None
    failed: str | None = None


def store_messages(messages: Sequence[NewMessage]) -> set[str]:
    """Store messages that are not stored yet and tell each new one once; returns the keys of the new ones."""
    if not messages:
        return set()
    staff = ensure_staff({m.userid for m in messages if m.userid})
    customers = _customer_ids({m.external_userid for m in messages if m.external_userid})
    rows = [_row(m, staff, customers) for m in sorted(messages, key=lambda m: (m.channel, m.key))]
    stored = session().execute(
        insert(Message)
        .on_conflict_do_nothing(index_elements=["channel", "message_key", "sent_at"])
        .returning(
            Message.id, Message.sent_at, Message.channel, Message.direction, Message.customer_id,
            Message.staff_id, Message.message_key,
        ),
        rows,
    ).all()  # fmt: skip
    publish(*(MessageStored(*row[:-1]) for row in stored))
    return {row.message_key for row in stored}


def store_app_messages(messages: Sequence[NewMessage]) -> set[str]:
    """Store what members of staff wrote to our apps and did there; see :func:`store_messages`."""
    return store_messages(messages)


def link_customers(customer_ids: Iterable[int] | None = None) -> int:
    """Give messages and sessions of people who were strangers to the customers they became, and tell each message.

    :param customer_ids: only these customers; None looks at all strangers
    :returns: how many messages were linked
    """
    who = [] if customer_ids is None else [Customer.id.in_(sorted(set(customer_ids)))]
    linked = session().execute(
        update(Message)
        .where(Message.customer_id.is_(None), Message.external_userid == Customer.external_userid, *who)
        .values(customer_id=Customer.id)
        .returning(
            Message.id, Message.sent_at, Message.channel, Message.direction, Customer.id, Message.staff_id
        )
        .execution_options(synchronize_session=False)
    ).all()  # fmt: skip
    publish(*(MessageLinked(*row) for row in linked))
    session().execute(
        update(KfSession)
        .where(KfSession.customer_id.is_(None), KfSession.external_userid == Customer.external_userid, *who)
        .values(customer_id=Customer.id)
        .execution_options(synchronize_session=False)
    )
    return len(linked)


def move_staff(moves: Mapping[int, int]) -> None:
    """Two rows were the same member: what one said and serves belongs to the other.

    :param moves: {id that is gone: id that stays}
    """
    for gone, kept in sorted(moves.items()):
        session().execute(
            update(Message)
            .where(Message.staff_id == gone)
            .values(staff_id=kept)
            .execution_options(synchronize_session=False)
        )
        session().execute(
            update(KfSession)
            .where(KfSession.servicer_staff_id == gone)
            .values(servicer_staff_id=kept)
            .execution_options(synchronize_session=False)
        )


def _customer_ids(external_userids: set[str]) -> dict[str, int]:
    if not external_userids:
        return {}
    wanted = select(Customer.external_userid, Customer.id).where(
        Customer.external_userid.in_(external_userids)
    )
    return dict(session().execute(wanted).all())


def _row(message: NewMessage, staff: dict[str, int], customers: dict[str, int]) -> dict[str, Any]:
    now = utcnow()
    too_old = message.sent_at < now - REPLY_MAX_AGE
    return {
        "channel": message.channel,
        "message_key": message.key,
        "sent_at": message.sent_at,
        "direction": message.direction,
        "kind": message.kind,
        "text": message.text,
        "media_id": message.media_id,
        "content": message.content,
        "app": message.app,
        "customer_id": customers.get(message.external_userid or ""),
        "external_userid": message.external_userid,
        "staff_id": staff.get(message.userid.casefold()) if message.userid else None,
        "kf_account_id": message.kf_account_id,
        "failed": message.failed,
        "replied_at": now if too_old else None,
    }
