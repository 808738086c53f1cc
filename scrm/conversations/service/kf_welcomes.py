"""Greeting customers who open a customer-service conversation (wecom-api.md sections 7.4 and 7.6).

The event carries a code that works once and for 20 seconds, so the greeting is planned in the very transaction that
stores the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from scrm.conversations.models import Channel, KfSession
from scrm.conversations.service.matching import first_welcome
from scrm.conversations.service.messages import NewMessage
from scrm.conversations.service.replies import Match, enabled_rules, fire, plan_answers, reply_msgid
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from scrm.wecom.effects import Intent

CODE_LIFE = timedelta(seconds=20)


@dataclass(frozen=True)
class Entering:
    """Somebody opened the conversation; ``code`` lets us greet them."""

    id: str
    channel: Channel
    message_key: str
    person: str
    session_id: int
    sent_at: datetime
    scene: str | None
    code: str


def welcome_entering(account_id: int, messages: Sequence[NewMessage]) -> None:
    """Plan the greeting of those who just came in and whom a rule greets; a code that has run out greets nobody."""
    fresh = [m for m in messages if _may_be_greeted(m)]
    if not fresh:
        return
    hold_in_transaction("conversations.replies")  # as the planner of replies: cool-downs have one judge
    rules, zone = session().scalars(enabled_rules()).all(), settings().corp.zone
    ids = _session_ids(account_id, [str(m.external_userid) for m in fresh])
    entering = [_entering(message, ids) for message in fresh]
    found = [(one, first_welcome(rules, one.scene, one.sent_at, zone)) for one in entering]
    fired = fire([Match(one, rule) for one, rule in found if rule is not None])
    plan_answers({firing: _greeting(firing, match) for firing, match in fired})


def _may_be_greeted(message: NewMessage) -> bool:
    is_fresh = message.kind == "enter_session" and message.sent_at > utcnow() - CODE_LIFE
    return is_fresh and bool(message.content.get("welcome_code")) and bool(message.external_userid)


def _session_ids(account_id: int, people: Sequence[str]) -> Mapping[str, int]:
    known = select(KfSession.external_userid, KfSession.id).where(
        KfSession.kf_account_id == account_id, KfSession.external_userid.in_(people)
    )
    return dict(session().execute(known).all())


def _entering(message: NewMessage, session_ids: Mapping[str, int]) -> Entering:
    person, content = str(message.external_userid), message.content
    return Entering(
        id=message.key,
        channel=message.channel,
        message_key=message.key,
        person=person,
        session_id=session_ids[person],
        sent_at=message.sent_at,
        scene=content.get("scene"),
        code=str(content["welcome_code"]),
    )


def _greeting(firing: int, match: Match) -> Intent:
    one: Any = match.message
    return Intent(
        kind="kf_event_message",
        key=f"kf_event_message:welcome:{firing}",
        payload={
            "code": one.code,
            "msgid": reply_msgid(one),
            "msgtype": "text",
            "text": {"content": match.rule.reply_text},
        },
        subject=f"kf_session:{one.session_id}",
        deadline_at=one.sent_at + CODE_LIFE,
    )
