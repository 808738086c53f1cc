"""Channel codes: what we want is kept here, what WeCom holds is kept beside it, and a difference is sent.

One call at a time is under way for a code. When it ends the two are compared again, so a change made meanwhile is not
lost, and a change WeCom need not hear of (a name, tags, a welcome) calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, text

from scrm.acquisition.models import ChannelCode, CodeState
from scrm.acquisition.service.checks import check_staff, check_tags, check_welcome
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.staff.models import Staff
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import Effect, EffectState

ADD, UPDATE, DELETE = "add_contact_way", "update_contact_way", "delete_contact_way"
KINDS = (ADD, UPDATE, DELETE)
ONE_MEMBER, SEVERAL_MEMBERS = 1, 2  # WeCom's type
QR_CODE = 2  # WeCom's scene
SUBJECT = "channel_code:"  # how the subject of our effects names a code
UNKNOWN_CONFIG = 41044  # what is deleted there already counts as deleted


def create_channel_code(values: Mapping[str, Any]) -> ChannelCode:
    """A new code; WeCom makes its picture soon after (``status`` becomes ``active``).

    :raises InvalidInput: when staff, a tag or the welcome message does not exist
    """
    _check(values)
    id_ = session().scalar(text("SELECT nextval(pg_get_serial_sequence('channel_codes', 'id'))"))
    several = len(values["staff_ids"]) > 1
    code = ChannelCode(
        **{"tag_ids": [], **values},
        id=id_,
        state=f"ch{id_}",
        contact_type=SEVERAL_MEMBERS if several else ONE_MEMBER,
        version=1,
    )
    session().add(code)
    session().flush()
    push([code])
    return code


def change_channel_code(code_id: int, values: Mapping[str, Any]) -> ChannelCode:
    """Change the given fields; WeCom hears of it only when staff, remark or skip_verify really differ.

    :raises NotFound: when there is no such code, or it was deleted
    :raises InvalidInput: when something named does not exist, or a one-member code would get several
    """
    code = _get(code_id)
    _check(values)
    if code.contact_type == ONE_MEMBER and len(values.get("staff_ids", [0])) > 1:
        raise InvalidInput.field(
            "staff_ids", "WeCom keeps a code of one member so; make a new code for several"
        )
    for name, value in values.items():
        setattr(code, name, value)
    session().flush()
    push([code])
    return code


def delete_channel_code(code_id: int) -> None:
    """Take a code away here and at WeCom; people who came through it keep their tags.

    :raises NotFound: when there is no such code, or it was deleted before
    """
    code = _get(code_id)
    code.status = CodeState.DELETED
    session().flush()
    push([code])


def push(codes: Sequence[ChannelCode]) -> None:
    """Send WeCom what differs from what it holds, unless a call is already under way."""
    userids = _userids({id_ for code in codes for id_ in code.staff_ids})
    wanted = [(code, intent) for code in codes if not code.effect_id and (intent := _intent(code, userids))]
    for code, _ in wanted:
        code.version += 1
    planned = plan([intent for _, intent in wanted])
    for code, intent in wanted:
        code.effect_id = planned[intent.key]
    session().flush()


def settle(effect_ids: Sequence[int]) -> None:
    """Let codes know how their calls ended, and send what was changed meanwhile."""
    columns = (
        Effect.id, Effect.kind, Effect.state, Effect.payload, Effect.result, Effect.errcode, Effect.error, Effect.subject
    )  # fmt: skip
    wanted = select(*columns).where(Effect.id.in_(effect_ids), Effect.subject.startswith(SUBJECT))
    ended = {
        int(row.subject.removeprefix(SUBJECT)): row for row in session().execute(wanted.order_by(Effect.id))
    }
    codes = session().scalars(
        select(ChannelCode)
        .where(ChannelCode.id.in_(ended))
        .order_by(ChannelCode.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    told = [code for code in codes if code.effect_id in {None, ended[code.id].id}]
    for code in told:
        code.effect_id = None
        _learn(code, ended[code.id])
    push([code for code in told if not code.error])


def _learn(code: ChannelCode, effect: Row[Any]) -> None:
    if effect.kind == DELETE and (effect.state is EffectState.CONFIRMED or effect.errcode == UNKNOWN_CONFIG):
        code.config_id, code.accepted, code.error = None, None, None
    elif effect.state is EffectState.CONFIRMED:
        code.error, code.accepted = None, _comparable(effect.payload)
        if effect.kind == ADD:
            code.config_id, code.qr_code = effect.result["config_id"], effect.result.get("qr_code")
            code.status = CodeState.DELETED if code.status is CodeState.DELETED else CodeState.ACTIVE
    else:
        reason = effect.error or effect.state.value
        code.error = f"{effect.errcode} {reason}" if effect.errcode else reason
        if effect.kind == ADD and code.status is not CodeState.DELETED:
            code.status = CodeState.FAILED


def _intent(code: ChannelCode, userids: Mapping[int, str]) -> Intent | None:
    """The call that would make WeCom's side equal to ours; None when it is."""
    fields = _fields(code, userids)
    payload: dict[str, Any]
    if code.status is CodeState.DELETED:
        kind, payload = DELETE, {"config_id": code.config_id}
        if not code.config_id:
            return None
    elif code.config_id:
        kind, payload = UPDATE, {"config_id": code.config_id, **fields}
        if _comparable(fields) == code.accepted:
            return None
    else:
        kind, payload = ADD, {"type": code.contact_type, "scene": QR_CODE, **fields}
    subject = f"{SUBJECT}{code.id}"
    return Intent(kind=kind, key=f"{kind}:{subject}:v{code.version}", payload=payload, subject=subject)


def _fields(code: ChannelCode, userids: Mapping[int, str]) -> dict[str, Any]:
    return {
        "remark": code.remark or "",
        "skip_verify": code.skip_verify,
        "state": code.state,
        "user": list(dict.fromkeys(userids[id_] for id_ in code.staff_ids if id_ in userids)),
    }


def _comparable(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose difference WeCom has to hear of; the order of members is none."""
    return {
        "remark": payload.get("remark"),
        "skip_verify": payload.get("skip_verify"),
        "user": sorted(payload.get("user", [])),
    }


def _userids(staff_ids: set[int]) -> dict[int, str]:
    found = select(Staff.id, Staff.userid).where(Staff.id.in_(staff_ids))
    return dict(session().execute(found).all())


def _get(code_id: int) -> ChannelCode:
    code = session().get(ChannelCode, code_id, with_for_update=True, populate_existing=True)
    if code is None or code.status is CodeState.DELETED:
        raise NotFound(f"there is no channel code {code_id}")
    return code


def _check(values: Mapping[str, Any]) -> None:
    check_staff(values.get("staff_ids", []))
    check_tags(values.get("tag_ids", []))
    check_welcome(values.get("welcome_id"))
