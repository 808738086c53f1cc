"""What becomes of what we said: stored as a message once WeCom took it, learnt from when it refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, text, update

from scrm.conversations.models import AutoReply, AutoReplyFiring, Channel, Direction, KfSession
from scrm.conversations.service.kf_sessions import ANSWERS_MAX, ServiceState, may_answer, reported_failures
from scrm.conversations.service.messages import REPLY_MAX_AGE, NewMessage, store_messages
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.staff.service import ensure_staff
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import Effect, EffectState

KF_MESSAGES = ("kf_message", "kf_event_message")
KINDS = (*KF_MESSAGES, "kf_transfer", "staff_message")
SESSION = "kf_session:"  # how the subject of our effects names a session
STATE_UNKNOWN = (95013, 95016, 95018)  # the session is not where we thought: ask before speaking again
OVER_FIVE = 95001
NOT_DONE = (EffectState.FAILED, EffectState.EXPIRED)

Sent = Row[Any]


def settle(effect_ids: Sequence[int]) -> None:
    """Let settled effects of our kinds take their consequences; doing it twice changes nothing."""
    rows = session().execute(
        select(
            Effect.id, Effect.kind, Effect.state, Effect.payload, Effect.result, Effect.errcode, Effect.app,
            Effect.subject, Effect.finished_at, Effect.error, Effect.deadline_at,
        )
        .where(Effect.id.in_(effect_ids))
        .order_by(Effect.id)
    ).all()  # fmt: skip
    sessions = _sessions(rows)
    confirmed = [row for row in rows if row.state is EffectState.CONFIRMED]
    failed = [row for row in rows if row.state is EffectState.FAILED and row.kind != "staff_message"]
    _store_said(confirmed, sessions)
    _hand_over([(sessions[row.subject], row) for row in confirmed if _is_transfer(row, sessions)])
    _learn([(sessions[row.subject].id, row.errcode) for row in failed if row.subject in sessions])
    refused = [row for row in rows if row.state in NOT_DONE]
    _note_refused(refused)
    _fall_back([(sessions[row.subject].id, row) for row in refused if _is_transfer(row, sessions)])


def _sessions(rows: Sequence[Sent]) -> dict[str, KfSession]:
    """The sessions the effects are about, by subject, locked in the order of their ids."""
    ids = {int(row.subject.removeprefix(SESSION)) for row in rows if (row.subject or "").startswith(SESSION)}
    if not ids:
        return {}
    locked = select(KfSession).where(KfSession.id.in_(ids)).order_by(KfSession.id).with_for_update()
    found = session().scalars(locked.execution_options(populate_existing=True))
    return {f"{SESSION}{row.id}": row for row in found}


def _is_transfer(row: Sent, sessions: Mapping[str, KfSession]) -> bool:
    return row.kind == "kf_transfer" and row.subject in sessions


def _store_said(rows: Sequence[Sent], sessions: Mapping[str, KfSession]) -> None:
    kf = [row for row in rows if row.kind in KF_MESSAGES and row.subject in sessions]
    failed = reported_failures([row.payload["msgid"] for row in kf]) if kf else {}
    staff = _automatic([row for row in rows if row.kind == "staff_message"])
    store_messages(
        [_kf_message(row, sessions[row.subject], failed) for row in kf]
        + [_staff_message(row) for row in staff]
    )


def _kf_message(row: Sent, of: KfSession, failed: Mapping[str, str]) -> NewMessage:
    msgid, kind = str(row.payload["msgid"]), str(row.payload["msgtype"])
    content = row.payload.get(kind) or {}
    return NewMessage(
        channel=Channel.KF,
        key=msgid,
        sent_at=row.finished_at or utcnow(),
        direction=Direction.OUT,
        kind=kind,
        text=content.get("content"),
        media_id=content.get("media_id"),
        content=content,
        app=row.app,
        external_userid=of.external_userid,
        kf_account_id=of.kf_account_id,
        failed=failed.get(msgid),
    )


def _staff_message(row: Sent) -> NewMessage:
    return NewMessage(
        channel=Channel.APP,
        key=f"effect-{row.id}",
        sent_at=row.finished_at or utcnow(),
        direction=Direction.OUT,
        kind="text",
        text=row.payload["text"]["content"],
        content=row.payload["text"],
        app=row.app,
        userid=row.payload["touser"],
    )


def _automatic(rows: Sequence[Sent]) -> list[Sent]:
    """Only automatic replies belong to a conversation; other messages to staff are notices."""
    if not rows:
        return []
    ours = select(AutoReplyFiring.effect_id).where(AutoReplyFiring.effect_id.in_([row.id for row in rows]))
    known = set(session().scalars(ours))
    return [row for row in rows if row.id in known]


def _hand_over(moved: Sequence[tuple[KfSession, Sent]]) -> None:
    """The session is with people now; the code WeCom gave for the move may carry the rule's text."""
    if not moved:
        return
    staff = ensure_staff(
        {row.payload["servicer_userid"] for _, row in moved if "servicer_userid" in row.payload}
    )
    for of, row in moved:
        if of.service_state != ServiceState.ENDED:  # a servicer was quicker than our answer's arrival
            of.service_state = row.payload["service_state"]
            of.servicer_staff_id = staff.get(row.payload.get("servicer_userid", "").casefold())
    session().flush()
    texts = _rule_texts([row.id for _, row in moved])
    coded = [(of, row) for of, row in moved if row.id in texts and (row.result or {}).get("msg_code")]
    plan([_explanation(of, row, texts[row.id]) for of, row in coded])


def _rule_texts(effect_ids: Sequence[int], column: Any = AutoReply.reply_text) -> dict[int, str]:
    """What the rules behind these effects say, by effect."""
    said = (
        select(AutoReplyFiring.effect_id, column)
        .join(AutoReply, AutoReply.id == AutoReplyFiring.auto_reply_id)
        .where(AutoReplyFiring.effect_id.in_(effect_ids))
    )
    return {effect: words for effect, words in session().execute(said) if effect and words}


def _explanation(of: KfSession, row: Sent, words: str) -> Intent:
    return Intent(
        kind="kf_event_message",
        key=f"kf_event_message:transfer:{row.id}",
        payload={
            "code": row.result["msg_code"],
            "msgid": f"transfer-{row.id}",
            "msgtype": "text",
            "text": {"content": words},
        },
        subject=f"{SESSION}{of.id}",
    )


def _learn(refused: Sequence[tuple[int, int | None]]) -> None:
    """A refusal tells where the session really stands."""
    unknown = sorted(id_ for id_, errcode in refused if errcode in STATE_UNKNOWN)
    full = sorted(id_ for id_, errcode in refused if errcode == OVER_FIVE)
    for ids, values in ((unknown, {"service_state": None}), (full, {"answered_since": ANSWERS_MAX})):
        if ids:
            session().execute(
                update(KfSession)
                .where(KfSession.id.in_(ids))
                .values(**values)
                .execution_options(synchronize_session=False)
            )


def _note_refused(refused: Sequence[Sent]) -> None:
    """Firings say why their answer did not come about."""
    if refused:
        reasons = [f"{row.errcode or '-'}: {row.error or row.state.value}" for row in refused]
        session().execute(_NOTE_REFUSED, {"effects": [row.id for row in refused], "reasons": reasons})


_NOTE_REFUSED = text("""
UPDATE auto_reply_firings f SET failed = r.reason
FROM unnest(CAST(:effects AS bigint[]), CAST(:reasons AS text[])) AS r(effect, reason) WHERE f.effect_id = r.effect
""")


def _fall_back(refused: Sequence[tuple[int, Sent]]) -> None:
    """Nobody can take the session: the customer hears what the rule has for that, where we may still speak."""
    ours = [(id_, row) for id_, row in refused if row.errcode not in STATE_UNKNOWN]
    if not ours:
        return
    texts = _rule_texts([row.id for _, row in ours], AutoReply.fallback_text)
    speaking = select(KfSession.id).where(KfSession.id.in_([id_ for id_, _ in ours]), may_answer())
    allowed = set(session().scalars(speaking))
    said = [(id_, row) for id_, row in ours if row.id in texts and id_ in allowed]
    plan([_apology(id_, row, texts[row.id]) for id_, row in said])


def _apology(session_id: int, row: Sent, words: str) -> Intent:
    to = {"touser": row.payload["external_userid"], "open_kfid": row.payload["open_kfid"]}
    return Intent(
        kind="kf_message",
        key=f"kf_message:fallback:{row.id}",
        payload={**to, "msgid": f"fallback-{row.id}", "msgtype": "text", "text": {"content": words}},
        subject=f"{SESSION}{session_id}",
        deadline_at=utcnow() + REPLY_MAX_AGE,
    )
