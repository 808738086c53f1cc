"""Automatic replies: each message is considered once, and at most one rule answers it.

One planner works at a time in the whole deployment (an advisory lock until the commit). It plans hundreds of answers
in a few statements, so that costs no throughput, and cool-downs and counters cannot be overtaken by a twin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, literal_column, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on

from scrm.conversations.models import (
    AutoReply,
    Channel,
    KfAccount,
    KfSession,
    Message,
)
from scrm.conversations.service.kf_sessions import ServiceState, handled_by_us, may_answer
from scrm.conversations.service.matching import first_match
from scrm.conversations.service.messages import REPLY_MAX_AGE
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.locks import hold_in_transaction
from scrm.kernel.settings import settings
from scrm.staff.models import Staff
from scrm.wecom.effects import Intent, plan

BATCH = 500
POOL = "pool"


@dataclass(frozen=True)
class Question:
    """A session whose state we have not heard of; WeCom is asked before we speak in it."""

    session_id: int
    open_kfid: str
    external_userid: str

    @property
    def where(self) -> dict[str, str]:
        """The body of kf/service_state/get."""
        return {"open_kfid": self.open_kfid, "external_userid": self.external_userid}


@dataclass(frozen=True)
class Round:
    """What one round did: messages considered, and sessions to ask about before their messages are considered."""

    considered: int
    questions: list[Question]


@dataclass(frozen=True)
class Match:
    """A message and the rule that decides about it.

    :param message: with id, channel, message_key, person, and what the answer needs
    """

    message: Any
    rule: AutoReply

    @property
    def hands_over(self) -> bool:
        """Whether the answer is to give the session to a person."""
        return bool(self.rule.hand_over_to) and self.message.channel is Channel.KF


def unanswered() -> Any:
    """The clause: a text that came in and that nobody has considered yet; in literals, so that the partial index fits."""
    incoming_text = and_(
        Message.direction == literal_column("'in'"), Message.kind == literal_column("'text'")
    )
    return and_(Message.replied_at.is_(None), incoming_text)


def answer_round(asked: Collection[int] = ()) -> Round:
    """Consider one message per person, oldest first, and plan the answers.

    :param asked: sessions WeCom has been asked about; they are not asked about again
    """
    hold_in_transaction("conversations.replies")
    _pass_over_old()
    messages = _next_messages()
    rules = session().scalars(enabled_rules()).all()
    zone = settings().corp.zone
    found = [(m, first_match(rules, m.channel, m.text or "", m.sent_at, zone)) for m in messages]
    matches = [Match(message, rule) for message, rule in found if rule is not None]
    questions = {
        m.message.id: Question(m.message.session_id, m.message.open_kfid, m.message.external_userid)
        for m in matches
        if m.message.session_id and m.message.service_state is None and m.message.session_id not in asked
    }
    _consider([m for m in messages if m.id not in questions])
    _answer([m for m in matches if m.message.id not in questions])
    return Round(len(messages) - len(questions), list(questions.values()))


def enabled_rules() -> Any:
    """The rules that work, in the order in which they decide."""
    return select(AutoReply).where(AutoReply.enabled).order_by(AutoReply.priority.desc(), AutoReply.id)


def _pass_over_old() -> None:
    """What waited too long (we were down, or it is old history) is not answered any more."""
    session().execute(
        update(Message)
        .where(unanswered(), Message.sent_at < utcnow() - REPLY_MAX_AGE)
        .values(replied_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def _next_messages() -> Sequence[Row[Any]]:
    person = func.coalesce(Message.external_userid, Staff.userid)
    oldest: Any = (
        select(
            Message.id, Message.sent_at, Message.channel, Message.message_key, Message.text, Message.app,
            Message.external_userid, person.label("person"), KfAccount.open_kfid,
            KfSession.id.label("session_id"), KfSession.service_state,
        )
        .outerjoin(Staff, Staff.id == Message.staff_id)
        .outerjoin(KfAccount, KfAccount.id == Message.kf_account_id)
        .outerjoin(
            KfSession,
            and_(
                KfSession.kf_account_id == Message.kf_account_id,
                KfSession.external_userid == Message.external_userid,
            ),
        )
        .where(unanswered())
        .ext(distinct_on(Message.channel, person, Message.kf_account_id))
        .order_by(Message.channel, person, Message.kf_account_id, Message.sent_at, Message.id)
        .limit(BATCH)
    )  # fmt: skip
    return session().execute(oldest).all()


def _consider(messages: Sequence[Row[Any]]) -> None:
    if messages:
        session().execute(
            update(Message)
            .where(tuple_(Message.id, Message.sent_at).in_([(m.id, m.sent_at) for m in messages]))
            .values(replied_at=utcnow())
            .execution_options(synchronize_session=False)
        )


def _answer(matches: Sequence[Match]) -> None:
    """Those that may be answered: one firing each, then one effect each."""
    allowed = _allowed(matches)
    fired = fire([m for m in matches if m.message.session_id is None or m.message.session_id in allowed])
    if not fired:
        return
    _count([m.message.session_id for _, m in fired if m.message.session_id and not m.hands_over])
    plan_answers({firing: _intent(firing, match) for firing, match in fired})


def plan_answers(intents: Mapping[int, Intent]) -> None:
    """Plan the effects of firings (by firing id) and remember which effect each became."""
    if not intents:
        return
    effects = plan(list(intents.values()))
    ids = [(firing, effects[intent.key]) for firing, intent in intents.items()]
    session().execute(
        text(
            "UPDATE auto_reply_firings f SET effect_id = v.effect FROM unnest(CAST(:firings AS bigint[]),"
            " CAST(:effects AS bigint[])) AS v(firing, effect) WHERE f.id = v.firing"
        ),
        {"firings": [firing for firing, _ in ids], "effects": [effect for _, effect in ids]},
    )


def _allowed(matches: Sequence[Match]) -> set[int]:
    """Sessions in which WeCom lets us do what the rule wants; locked, in order, until the commit."""
    wanted = {m.message.session_id: m.hands_over for m in matches if m.message.session_id}
    if not wanted:
        return set()
    rows = session().execute(
        select(KfSession.id, handled_by_us().label("ours"), may_answer().label("answerable"))
        .where(KfSession.id.in_(sorted(wanted)))
        .order_by(KfSession.id)
        .with_for_update()
    )
    return {row.id for row in rows if (row.ours if wanted[row.id] else row.answerable)}


FIRE = text("""
INSERT INTO auto_reply_firings (auto_reply_id, channel, message_key, person, fired_at)
SELECT v.rule, v.channel, v.key, v.person, :now
FROM unnest(CAST(:rules AS bigint[]), CAST(:channels AS text[]), CAST(:keys AS text[]), CAST(:people AS text[]))
     AS v(rule, channel, key, person)
JOIN auto_replies r ON r.id = v.rule
WHERE r.cooldown_seconds = 0 OR NOT EXISTS (
    SELECT FROM auto_reply_firings f
    WHERE f.auto_reply_id = v.rule AND f.person = v.person
      AND f.fired_at > CAST(:now AS timestamptz) - r.cooldown_seconds * interval '1 second')
ON CONFLICT (channel, message_key) DO NOTHING
RETURNING id, channel, message_key
""")


def fire(matches: Sequence[Match]) -> list[tuple[int, Match]]:
    """Firing rows for those whose rule is not cooling down for this person; a message has at most one."""
    by_key = {(m.message.channel.value, m.message.message_key): m for m in _one_per_cooldown(matches)}
    rows = session().execute(
        FIRE,
        {
            "rules": [m.rule.id for m in by_key.values()],
            "channels": [channel for channel, _ in by_key],
            "keys": [key for _, key in by_key],
            "people": [m.message.person for m in by_key.values()],
            "now": utcnow(),
        },
    )
    return [(row.id, by_key[row.channel, row.message_key]) for row in rows]


def _one_per_cooldown(matches: Sequence[Match]) -> list[Match]:
    """One person may write to two accounts at once: a rule with a cool-down answers the first of them."""
    kept: dict[Any, Match] = {}
    for match in matches:
        cools = match.rule.cooldown_seconds > 0
        kept.setdefault((match.rule.id, match.message.person) if cools else match.message.id, match)
    return list(kept.values())


def _count(session_ids: Sequence[int]) -> None:
    if session_ids:
        session().execute(
            update(KfSession)
            .where(KfSession.id.in_(session_ids))
            .values(answered_since=KfSession.answered_since + 1)
            .execution_options(synchronize_session=False)
        )


def _intent(firing: int, match: Match) -> Intent:
    message, rule = match.message, match.rule
    deadline: datetime = message.sent_at + REPLY_MAX_AGE + timedelta(minutes=1)
    if match.hands_over:
        target = (
            {"service_state": ServiceState.POOL.value}
            if rule.hand_over_to == POOL
            else {"service_state": ServiceState.PERSON.value, "servicer_userid": rule.hand_over_to}
        )
        where = {"open_kfid": message.open_kfid, "external_userid": message.external_userid}
        return Intent(
            kind="kf_transfer", key=f"kf_transfer:reply:{firing}", payload=where | target,
            subject=f"kf_session:{message.session_id}", deadline_at=deadline,
        )  # fmt: skip
    words = {"msgtype": "text", "text": {"content": rule.reply_text}}
    if message.channel is Channel.KF:
        to = {"touser": message.external_userid, "open_kfid": message.open_kfid}
        return Intent(
            kind="kf_message", key=f"kf_message:reply:{firing}", payload={**to, "msgid": reply_msgid(message), **words},
            subject=f"kf_session:{message.session_id}", deadline_at=deadline,
        )  # fmt: skip
    return Intent(
        kind="staff_message", key=f"staff_message:reply:{firing}", payload={"touser": message.person, **words},
        subject=f"auto_reply_firing:{firing}", deadline_at=deadline, app=message.app,
    )  # fmt: skip


def reply_msgid(message: Any) -> str:
    """Our own id for the answer to a message: the same however often we try; at most 32 of ``[0-9a-zA-Z_-]``."""
    return "r" + hashlib.sha256(f"{message.channel.value}:{message.message_key}".encode()).hexdigest()[:31]
