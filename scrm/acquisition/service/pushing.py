"""Making WeCom's contact way equal to our code: a difference is sent, and nothing else.

One call at a time is under way for a code. When it ends the two are compared again, so a change made meanwhile is not
lost, and a change WeCom need not hear of (a name, tags, a welcome, a slot that brings the same members) calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from scrm.acquisition.events import PicturesDue
from scrm.acquisition.models import ChannelCode, CodeState
from scrm.acquisition.service.duties import note_duties
from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.staff.models import Staff
from scrm.wecom.desired import ended_calls, send_calls
from scrm.wecom.effects import Intent
from scrm.wecom.models import EffectState

ADD, UPDATE, DELETE = "add_contact_way", "update_contact_way", "delete_contact_way"
KINDS = (ADD, UPDATE, DELETE)
QR_CODE = 2  # WeCom's scene
SEVERAL = 2  # WeCom's type
SUBJECT = "channel_code:"  # how the subject of our effects names a code
UNKNOWN_CONFIG = 41044  # what is deleted there already counts as deleted
UNSEEN = "confirmed by hand without its config_id: adopt the way once a sync shows it, or change this code to make another"
TEMPORARY_LIFE = 7 * 24 * 3600  # seconds; WeCom's default of expires_in (wecom-api.md section 4.4)
OVER = {CodeState.DELETED, CodeState.CLOSED}


def push(codes: Sequence[ChannelCode]) -> None:
    """Send WeCom what differs from what it holds, unless a call is already under way."""
    free = [code for code in codes if not code.effect_id and code.status is not CodeState.MISSING]
    userids = _userids({id_ for code in free for id_ in code.on_duty})
    wanted = [(code, intent) for code in free if (intent := _intent(code, userids))]
    send_calls(wanted)


def settle(effect_ids: Sequence[int]) -> None:
    """Let codes know how their calls ended, and send what was changed meanwhile."""
    told = ended_calls(ChannelCode, SUBJECT, effect_ids)
    for code, effect in told:
        _learn(code, effect)
    session().flush()
    note_duties([code for code, _ in told if not code.error or code.accepted is None], utcnow())
    alert([_refused(code, effect.id) for code, effect in told if code.error])
    push([code for code, effect in told if not code.error or _still_there(code, effect)])


def _still_there(code: ChannelCode, effect: Row[Any]) -> bool:
    """Whether a code that is over has to be taken away yet although its last change was refused."""
    return code.status in OVER and effect.kind != DELETE


def _learn(code: ChannelCode, effect: Row[Any]) -> None:
    if effect.kind == DELETE and (effect.state is EffectState.CONFIRMED or effect.errcode == UNKNOWN_CONFIG):
        code.config_id, code.accepted, code.accepted_at, code.error = None, None, None, None
    elif (
        effect.kind == ADD
        and effect.state is EffectState.CONFIRMED
        and not (effect.result or {}).get("config_id")
    ):
        code.error = UNSEEN
        if code.status not in OVER:
            code.status = CodeState.FAILED
    elif effect.state is EffectState.CONFIRMED:
        code.error, code.accepted, code.drift = None, comparable(effect.payload), None
        code.accepted_at = effect.finished_at or utcnow()
        if effect.kind == ADD:
            _made(code, effect.result)
    else:
        reason = effect.error or effect.state.value
        code.error = f"{effect.errcode} {reason}" if effect.errcode else reason
        if effect.kind == ADD and code.status not in OVER:
            code.status = CodeState.FAILED
        if effect.kind == UPDATE and effect.errcode == UNKNOWN_CONFIG and code.status not in OVER:
            code.status, code.accepted = CodeState.MISSING, None


def _made(code: ChannelCode, result: Mapping[str, Any]) -> None:
    code.config_id, code.qr_code = result["config_id"], result.get("qr_code")
    code.qr_content, code.qr_error, code.qr_attempts, code.qr_next_at = None, None, 0, None
    if code.status not in OVER:
        code.status = CodeState.ACTIVE
    if code.is_temp and code.accepted_at is not None:
        code.valid_until = code.accepted_at + timedelta(seconds=code.expires_in or TEMPORARY_LIFE)
        code.check_at = min(code.check_at or code.valid_until, code.valid_until)
    publish(PicturesDue())


def _intent(code: ChannelCode, userids: Mapping[int, str]) -> Intent | None:
    """The call that would make WeCom's side equal to ours; None when it is."""
    fields = wanted_fields(code, userids)
    payload: dict[str, Any]
    if code.status in OVER:
        kind, payload = DELETE, {"config_id": code.config_id}
        if not code.config_id:
            return None
    elif code.config_id:
        kind, payload = UPDATE, {"config_id": code.config_id, **fields}
        if same(fields, code.accepted, code.state):
            return None
    else:
        kind, payload = ADD, {"type": code.contact_type, "scene": QR_CODE, **fields, **_temporary(code)}
    subject = f"{SUBJECT}{code.id}"
    return Intent(kind=kind, key=f"{kind}:{subject}:v{code.version}", payload=payload, subject=subject)


def wanted_fields(code: ChannelCode, userids: Mapping[int, str]) -> dict[str, Any]:
    """What WeCom's contact way shall hold.

    :param userids: by staff id, of everybody on duty
    """
    fields: dict[str, Any] = {
        "remark": code.remark or "",
        "skip_verify": code.accepts_now,
        "state": code.state,
        "user": list(dict.fromkeys(userids[id_] for id_ in code.on_duty if id_ in userids)),
    }
    if code.contact_type == SEVERAL and (code.on_duty_party or (code.accepted or {}).get("party")):
        fields["party"] = list(code.on_duty_party)
    return fields


def _temporary(code: ChannelCode) -> dict[str, Any]:
    if not code.is_temp:
        return {}
    given = {name: getattr(code, name) for name in ("expires_in", "chat_expires_in", "unionid")}
    return {"is_temp": True, **{name: value for name, value in given.items() if value}}


def comparable(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose difference WeCom has to hear of; the order of members is none."""
    return {
        "remark": payload.get("remark") or "",
        "skip_verify": payload.get("skip_verify", True),
        "state": payload.get("state"),
        "user": sorted(payload.get("user") or []),
        "party": sorted(payload.get("party") or []),
    }


def same(fields: Mapping[str, Any], accepted: Mapping[str, Any] | None, state: str) -> bool:
    """Whether WeCom holds this already; rows written before states were compared hold ours."""
    if accepted is None:
        return False
    held = {**comparable(accepted), "state": accepted.get("state", state)}
    return comparable(fields) == held


def _userids(staff_ids: set[int]) -> dict[int, str]:
    if not staff_ids:
        return {}
    found = select(Staff.id, Staff.userid).where(Staff.id.in_(staff_ids))
    return dict(session().execute(found).all())


def _refused(code: ChannelCode, effect_id: int) -> Alert:
    return Alert(
        kind="channel_code_refused",
        key=f"channel_code_refused:{effect_id}",
        zh=f"企业微信拒绝了渠道活码「{code.name}」（{code.id}）的设置：{code.error}",
        en=f"WeCom refused the settings of channel code {code.name} ({code.id}): {code.error}",
        operators=True,
    )
