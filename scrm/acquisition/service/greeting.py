"""Welcomes: one per welcome code, inside its 20 seconds or not at all, and the reason of every miss.

A callback that is handled late or replayed finds its deadline passed and only records the miss.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert

from scrm.acquisition.events import NameWanted
from scrm.acquisition.models import ChannelCode, Welcome, WelcomeMessage, WelcomeOutcome
from scrm.acquisition.service import wording
from scrm.acquisition.service.duty import week_slot
from scrm.acquisition.service.name_blocks import is_blocked
from scrm.acquisition.service.welcome_messages import choose
from scrm.customers.models import Customer, Follow
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.leases import claim, held
from scrm.kernel.settings import settings
from scrm.staff.models import Staff
from scrm.wecom.effects import Intent, plan

NAME_SECONDS = 5.0  # with less time left the customer is greeted without asking for their name
TEXT_ONLY_SECONDS = 3.0  # with less time left attachments are left out
NEUTRAL = {"zh": "朋友", "en": "friend"}  # in place of a name that cannot be had in time
CLAIM_SECONDS = 8.0
CLAIM_ROWS = 200
EXPIRED = "expired before it could be sent: the callback came or was handled too late"
BLOCKED = "the customer's name is on the channel code's block list"
NOTHING_TO_SAY = "no welcome message is configured for this channel code, this member or as default"


@dataclass(frozen=True)
class Newcomer:
    """Somebody who may be welcomed.

    :param welcome_code: WeCom's permission, good for one message within 20 seconds of ``event_at``
    :param state: the channel code's ``state`` they came through
    :param app: the app the callback came to; its welcome code works with no other
    :param welcome_id: the message that another way in names, such as a channel of an acquisition link
    """

    follow_id: int
    welcome_code: str
    event_at: datetime
    state: str | None
    app: str | None
    welcome_id: int | None = None


@dataclass(frozen=True)
class Greeted:
    """A welcome together with who gives and who gets it."""

    id: int
    code: str
    digest: str
    app: str | None
    deadline_at: datetime
    welcome_id: int | None
    staff_id: int
    staff_name: str | None
    customer_name: str | None
    external_userid: str
    blocked_names: list[str] | None

    @property
    def seconds_left(self) -> float:
        """Until the last moment at which sending makes sense."""
        return (self.deadline_at - utcnow()).total_seconds()

    @property
    def in_time(self) -> bool:
        """Whether sending still makes sense."""
        return self.seconds_left > 0

    @property
    def blocked(self) -> bool:
        """Whether the customer has a name that is not welcomed."""
        return bool(self.customer_name) and is_blocked(self.customer_name or "", self.blocked_names or ())


Choice = tuple[Greeted, WelcomeMessage]


def greet(newcomers: Sequence[Newcomer]) -> None:
    """Plan a welcome for each newcomer, or record why there is none; a code that was seen before does nothing."""
    codes = _channel_codes({n.state for n in newcomers if n.state})
    by_digest = {digest(n.welcome_code): n for n in newcomers}
    owed = _owe(by_digest, codes)
    greeted = _greeted(sorted(set(owed) - _set_aside_spares(owed)))
    if not greeted:
        return
    messages = session().scalars(select(WelcomeMessage)).all()
    named = {g.id: _named_by_code(codes, by_digest[g.digest]) for g in greeted}
    chosen = {g.id: choose(messages, named[g.id], g.staff_id) for g in greeted}
    late = {g.id for g in greeted if not g.in_time}
    _end(sorted(late), EXPIRED)
    _end([g.id for g in greeted if g.id not in late and chosen[g.id] is None], NOTHING_TO_SAY)
    _plan_or_ask([(g, m) for g in greeted if g.id not in late and (m := chosen[g.id]) is not None])


def digest(welcome_code: str) -> str:
    """How a welcome code is remembered: it cannot be used again from it."""
    return hashlib.sha256(welcome_code.encode()).hexdigest()


def claim_nameless() -> tuple[uuid.UUID, list[Greeted]]:
    """Take welcomes that wait for their customer's name; returns the token that fences the outcome, and the welcomes."""
    taken = claim(
        Welcome, ready=nameless(), order_by=Welcome.id, limit=CLAIM_ROWS, seconds=CLAIM_SECONDS, values={}
    )
    return taken.token, _greeted(taken.ids)


def nameless() -> ColumnElement[bool]:
    """The clause: planned, but nothing says what to send yet."""
    planned = Welcome.outcome == literal_column("'planned'")  # a literal, so that the partial index fits
    return and_(planned, Welcome.effect_id.is_(None))


def plan_named(token: uuid.UUID, greeted: Sequence[Greeted], names: Mapping[str, str]) -> None:
    """Plan the welcomes of a claim; a customer without a name here and in ``names`` gets the neutral word.

    :param names: by external_userid
    """
    still = set(session().scalars(select(Welcome.id).where(held(Welcome, token)).with_for_update()))
    ours = [
        replace(g, customer_name=names.get(g.external_userid) or g.customer_name)
        for g in greeted
        if g.id in still
    ]
    by_id = {m.id: m for m in session().scalars(select(WelcomeMessage))}
    _end([one.id for one in ours if not one.in_time], EXPIRED)
    in_time = [one for one in ours if one.in_time]
    _end([one.id for one in in_time if one.welcome_id not in by_id], NOTHING_TO_SAY)
    _plan_unblocked([(one, by_id[one.welcome_id]) for one in in_time if one.welcome_id in by_id])


def _owe(by_digest: Mapping[str, Newcomer], codes: Mapping[str, ChannelCode]) -> list[int]:
    """A row for every code not seen before; returns their ids."""
    life = timedelta(seconds=settings().welcome.window_seconds - settings().welcome.margin_seconds)
    rows = [
        {
            "follow_id": one.follow_id,
            "channel_code_id": code.id if (code := codes.get(one.state or "")) else None,
            "code_digest": key,
            "pending_code": one.welcome_code,
            "app": one.app,
            "outcome": WelcomeOutcome.PLANNED,
            "event_at": one.event_at,
            "deadline_at": one.event_at + life,
        }
        for key, one in sorted(by_digest.items(), key=lambda item: (item[1].event_at, item[0]))
    ]
    if not rows:
        return []
    owed = insert(Welcome).on_conflict_do_nothing(index_elements=["code_digest"])
    return list(session().scalars(owed.returning(Welcome.id), rows))


def _set_aside_spares(ids: Sequence[int]) -> set[int]:
    """Of one add several codes may come (half then full add, several apps); the first one is used, others are spare.

    The follow's row is locked by whoever recorded the add, so two codes of one relation are never looked at at once.
    """
    if not ids:
        return set()
    spare = session().scalars(
        text("""
        UPDATE welcomes w SET outcome = 'spare', pending_code = NULL, finished_at = :now
        WHERE w.id = ANY(CAST(:ids AS bigint[])) AND EXISTS (
          SELECT FROM welcomes first
          WHERE first.follow_id = w.follow_id AND first.id < w.id AND first.outcome IN ('planned', 'sent', 'suppressed')
            AND first.event_at BETWEEN w.event_at - :window AND w.event_at + :window)
        RETURNING w.id
        """),
        {"ids": list(ids), "now": utcnow(), "window": timedelta(seconds=settings().welcome.window_seconds)},
    )
    return set(spare)


def _channel_codes(states: set[str]) -> dict[str, ChannelCode]:
    """The channel codes of these states."""
    if not states:
        return {}
    found = session().scalars(select(ChannelCode).where(ChannelCode.state.in_(states)))
    return {code.state: code for code in found}


def _named_by_code(codes: Mapping[str, ChannelCode], newcomer: Newcomer) -> int | None:
    """The welcome message that the channel code names for the time of the add: its slot's, or its usual one."""
    code = codes.get(newcomer.state or "")
    if code is None:
        return newcomer.welcome_id
    wall = newcomer.event_at.astimezone(settings().corp.zone)
    slots = (slot["welcome_id"] for slot in code.welcome_slots if week_slot(slot).covers(wall))
    return next(slots, code.welcome_id)


def _greeted(ids: Sequence[int]) -> list[Greeted]:
    found: Any = (
        select(
            Welcome.id, Welcome.pending_code, Welcome.code_digest, Welcome.app, Welcome.deadline_at,
            Welcome.welcome_id, Follow.staff_id, func.coalesce(Staff.name, Staff.alias), Customer.name,
            Customer.external_userid, ChannelCode.blocked_names,
        )
        .join(Follow, Follow.id == Welcome.follow_id)
        .join(Staff, Staff.id == Follow.staff_id)
        .join(Customer, Customer.id == Follow.customer_id)
        .outerjoin(ChannelCode, ChannelCode.id == Welcome.channel_code_id)
        .where(Welcome.id.in_(ids))
        .order_by(Welcome.id)
    )  # fmt: skip
    return [Greeted(*row) for row in session().execute(found)]


def _plan_or_ask(chosen: Sequence[Choice]) -> None:
    """Plan now, or, where a name is missing and there is time to ask for it, leave that to the job."""
    nameless = [(one, m) for one, m in chosen if _lacks_name(one, m) and one.seconds_left > NAME_SECONDS]
    waiting = {one.id for one, _ in nameless}
    _plan_unblocked([(one, m) for one, m in chosen if one.id not in waiting])
    _write(
        "UPDATE welcomes w SET welcome_id = v.message FROM"
        " unnest(CAST(:ids AS bigint[]), CAST(:messages AS bigint[])) AS v(id, message) WHERE w.id = v.id",
        ids=[one.id for one, _ in nameless],
        messages=[m.id for _, m in nameless],
    )
    publish(*(NameWanted(id_) for id_ in sorted(waiting)))


def _lacks_name(one: Greeted, message: WelcomeMessage) -> bool:
    needed = bool(one.blocked_names) or wording.names(message.text or "", wording.CUSTOMER)
    return not one.customer_name and needed


def _plan_unblocked(chosen: Sequence[Choice]) -> None:
    """Plan the welcomes, but none for a name on the code's block list; a name that cannot be had blocks nobody."""
    _end([one.id for one, _ in chosen if one.blocked], BLOCKED, WelcomeOutcome.SUPPRESSED)
    _plan([(one, message) for one, message in chosen if not one.blocked])


def _plan(chosen: Sequence[Choice]) -> None:
    if not chosen:
        return
    intents = [_intent(one, message) for one, message in chosen]
    effects = plan(intents)
    _write(
        """
        UPDATE welcomes w SET effect_id = v.effect, welcome_id = v.message, text_only = v.text_only,
          pending_code = NULL, lease_token = NULL, lease_until = NULL
        FROM unnest(CAST(:ids AS bigint[]), CAST(:effects AS bigint[]), CAST(:messages AS bigint[]),
                    CAST(:text_only AS boolean[])) AS v(id, effect, message, text_only)
        WHERE w.id = v.id
        """,
        ids=[one.id for one, _ in chosen],
        effects=[effects[intent.key] for intent in intents],
        messages=[message.id for _, message in chosen],
        text_only=[
            bool(message.attachments) and "attachments" not in intent.payload
            for intent, (_, message) in zip(intents, chosen, strict=True)
        ],
    )


def _intent(one: Greeted, message: WelcomeMessage) -> Intent:
    payload: dict[str, Any] = {"welcome_code": one.code}
    if message.text:
        payload["text"] = {"content": wording.fill(message.text, _values(one))}
    if message.attachments and (not message.text or one.seconds_left > TEXT_ONLY_SECONDS):
        payload["attachments"] = message.attachments
    return Intent(
        kind="welcome",
        key=f"welcome:{one.digest}",
        payload=payload,
        subject=f"welcome:{one.id}",
        deadline_at=one.deadline_at,
        app=one.app,
    )


def _values(one: Greeted) -> dict[str, str]:
    corp = settings().corp
    return {
        wording.CUSTOMER: one.customer_name or NEUTRAL[corp.language],
        wording.STAFF: one.staff_name or corp.name,
        wording.CORP: corp.name,
    }


def _end(ids: Sequence[int], reason: str, outcome: WelcomeOutcome = WelcomeOutcome.MISSED) -> None:
    _write(
        """
        UPDATE welcomes SET outcome = :outcome, reason = :reason, finished_at = :now, pending_code = NULL,
          lease_token = NULL, lease_until = NULL
        WHERE id = ANY(CAST(:ids AS bigint[]))
        """,
        ids=list(ids),
        outcome=outcome.value,
        reason=reason,
        now=utcnow(),
    )


def _write(statement: str, *, ids: list[int], **values: Any) -> None:
    if ids:
        session().execute(text(statement), {"ids": ids, **values})
