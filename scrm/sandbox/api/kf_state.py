"""kf/service_state: who holds a session, and moving it (wecom-api.md §7.7)."""

from __future__ import annotations

from scrm.sandbox.api.fields import integer, required
from scrm.sandbox.api.kf import KF, named_account, required_customer
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.kf import ASSISTANT, ENDED, HUMAN, POOL, UNHANDLED, KfAccount, Session
from scrm.sandbox.people.kf_life import (
    ENDED_SECONDS,
    TEXT_ONLY,
    TEXT_OR_MENU,
    TWO_DAYS,
    new_code,
    session_of,
)

NOT_SERVICER, NOT_ALLOWED, STOPPED = 95014, 95016, 95019
ACTIVE = 1
NEXT = {
    UNHANDLED: {ASSISTANT, POOL, HUMAN},
    ASSISTANT: {POOL, HUMAN},
    POOL: {HUMAN},
    HUMAN: {HUMAN, ENDED},
    ENDED: set[int](),
}


@api("kf/service_state/get", feature=KF)
def get(call: Call) -> Json:
    """The state, and the servicer when it is 3."""
    session = _session(call)[1]
    answer: Json = {"service_state": session.state}
    if session.state == HUMAN:
        answer["servicer_userid"] = session.servicer
    return answer


@api("kf/service_state/trans", feature=KF)
def trans(call: Call) -> Json:
    """Move a session; gives a msg_code on the first move to 2 or 3, and to 4."""
    account, session = _session(call)
    wanted = integer(call.body, "service_state", -1, (UNHANDLED, ASSISTANT, POOL, HUMAN, ENDED))
    allowed = NEXT[session.state] | (
        {ENDED} if call.world.limits.kf_end_from_any_state and session.state != ENDED else set()
    )
    if wanted not in allowed:
        raise WecomError(NOT_ALLOWED, "transition not allowed")
    servicer = _servicer(call, account) if wanted == HUMAN else None
    first = wanted not in session.coded_states
    session.state, session.servicer = wanted, servicer
    session.coded_states.add(wanted)
    code = _code(call, session) if first else None
    if wanted == ENDED:
        session.coded_states.clear()
    return {"msg_code": code} if code else {}


def _session(call: Call) -> tuple[KfAccount, Session]:
    account = named_account(call)
    external_userid = required_customer(call, "external_userid")
    return account, session_of(call.world, account, external_userid)


def _servicer(call: Call, account: KfAccount) -> str:
    userid = required(call.body, "servicer_userid")
    member = call.world.members.get(userid)
    if userid not in account.servicers or member is None or member.status != ACTIVE:
        raise WecomError(NOT_SERVICER, "not a servicer or not activated")
    if account.servicers[userid] != 0:
        raise WecomError(STOPPED, "servicer has stopped serving")
    return userid


def _code(call: Call, session: Session) -> str | None:
    if session.state == POOL:
        return new_code(call.world, session, "queued", TWO_DAYS, TEXT_ONLY, POOL)
    if session.state == HUMAN:
        return new_code(call.world, session, "assigned", TWO_DAYS, TEXT_ONLY, HUMAN)
    if session.state == ENDED:
        return new_code(call.world, session, "ended", ENDED_SECONDS, TEXT_OR_MENU, ENDED)
    return None
