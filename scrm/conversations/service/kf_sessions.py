"""Customer-service sessions: who handles them, and how much we may still say (wecom-api.md sections 7.4, 7.5, 7.7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from scrm.conversations.models import Channel, Direction, KfSession, Message
from scrm.conversations.service.messages import NewMessage
from scrm.customers.models import Customer
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.staff.service import ensure_staff

ANSWER_WINDOW = timedelta(hours=48)  # after the customer's last message; later is 95002
ANSWERS_MAX = 5  # per customer message; more is 95001


class ServiceState(IntEnum):
    """Who handles a session."""

    NEW = 0
    ASSISTANT = 1
    POOL = 2
    PERSON = 3
    ENDED = 4


FROM_POOL, TRANSFERRED, ENDED, REOPENED = 1, 2, 3, 4  # change_type of session_status_change
RECALLS = {"user_recall_msg": "recalled by the customer", "servicer_recall_msg": "recalled by the servicer"}


def handled_by_us() -> ColumnElement[bool]:
    """The clause: the program may speak in this session. A state we have not heard of is left to WeCom to refuse."""
    return or_(
        KfSession.service_state.is_(None),
        KfSession.service_state.in_([ServiceState.NEW, ServiceState.ASSISTANT]),
    )


def may_answer() -> ColumnElement[bool]:
    """The clause: one more message of ours is inside the 48 hours and the 5 messages."""
    return and_(
        handled_by_us(),
        KfSession.last_customer_message_at > utcnow() - ANSWER_WINDOW,
        KfSession.answered_since < ANSWERS_MAX,
    )


def apply_to_sessions(account_id: int, messages: Sequence[NewMessage]) -> None:
    """Let new messages and events, in the order of the log, change the sessions of their people."""
    by_person: dict[str, list[NewMessage]] = defaultdict(list)
    for message in messages:
        if message.external_userid:
            by_person[message.external_userid].append(message)
    if not by_person:
        return
    staff = ensure_staff({m.userid for m in messages if m.userid})
    for row in _locked(account_id, sorted(by_person)):
        for message in by_person[row.external_userid]:
            _apply(row, message, staff)
    session().flush()


def mark_failures(messages: Sequence[NewMessage]) -> None:
    """Messages that WeCom could not deliver after all, or that somebody took back, say so."""
    reasons: dict[str, str] = {}
    for message in messages:
        if message.kind == "msg_send_fail" and message.content.get("fail_msgid"):
            reasons[str(message.content["fail_msgid"])] = _fail_reason(message.content)
        elif message.kind in RECALLS and message.content.get("recall_msgid"):
            reasons[str(message.content["recall_msgid"])] = RECALLS[message.kind]
    for reason in sorted(set(reasons.values())):
        keys = sorted(key for key, why in reasons.items() if why == reason)
        session().execute(
            update(Message)
            .where(Message.channel == Channel.KF, Message.message_key.in_(keys))
            .values(failed=reason)
            .execution_options(synchronize_session=False)
        )


def reported_failures(keys: Sequence[str]) -> dict[str, str]:
    """Of messages we sent: those whose failure WeCom has already reported, with the reason."""
    fail_msgid = Message.content["fail_msgid"].astext
    events = select(Message.content).where(Message.kind == "msg_send_fail", fail_msgid.in_(keys))
    return {str(content["fail_msgid"]): _fail_reason(content) for content in session().scalars(events)}


def note_states(answers: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep what kf/service_state/get said, by session id."""
    staff = ensure_staff({a["servicer_userid"] for a in answers.values() if a.get("servicer_userid")})
    rows = select(KfSession).where(KfSession.id.in_(sorted(answers))).order_by(KfSession.id).with_for_update()
    for row in session().scalars(rows):
        answer = answers[row.id]
        row.service_state = answer.get("service_state")
        row.servicer_staff_id = staff.get((answer.get("servicer_userid") or "").casefold())
    session().flush()


def _locked(account_id: int, people: Sequence[str]) -> Sequence[KfSession]:
    """The sessions of these people in this account, made where missing, locked in the order of their ids."""
    known = select(Customer.external_userid, Customer.id).where(Customer.external_userid.in_(people))
    customers = dict(session().execute(known).all())
    rows = [
        {"kf_account_id": account_id, "external_userid": one, "customer_id": customers.get(one)}
        for one in people
    ]
    session().execute(
        insert(KfSession).on_conflict_do_nothing(index_elements=["kf_account_id", "external_userid"]), rows
    )
    locked = (
        select(KfSession)
        .where(KfSession.kf_account_id == account_id, KfSession.external_userid.in_(people))
        .order_by(KfSession.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return session().scalars(locked).all()


def _apply(row: KfSession, message: NewMessage, staff: Mapping[str, int]) -> None:
    if message.direction is Direction.IN:
        _customer_wrote(row, message)
    elif message.direction is Direction.OUT:
        _person_serves(row, message, staff)
    elif message.kind == "session_status_change":
        change = message.content.get("change_type")
        if change == ENDED:
            row.service_state, row.servicer_staff_id = ServiceState.ENDED, None
        elif change in {FROM_POOL, TRANSFERRED, REOPENED}:
            _person_serves(row, message, staff)


def _customer_wrote(row: KfSession, message: NewMessage) -> None:
    """Both limits start again. An ended session is new; one that slept through its 48 hours has ended unheard."""
    last = row.last_customer_message_at
    if last is not None and message.sent_at < last:
        return
    if row.service_state == ServiceState.ENDED:
        row.service_state = ServiceState.NEW
    elif last is not None and message.sent_at - last > ANSWER_WINDOW:
        row.service_state = None
    row.last_customer_message_at, row.answered_since = message.sent_at, 0


def _person_serves(row: KfSession, message: NewMessage, staff: Mapping[str, int]) -> None:
    row.service_state = ServiceState.PERSON
    row.servicer_staff_id = staff.get((message.userid or "").casefold())


def _fail_reason(content: Mapping[str, Any]) -> str:
    return f"not delivered: fail_type {content.get('fail_type', 0)}"
