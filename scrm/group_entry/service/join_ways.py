"""What WeCom holds of group codes, kept beside what we want; a difference is sent.

One call at a time is under way for a code. When it ends the two are compared again, so a change made meanwhile is not
lost, and a change WeCom need not hear of (a name, tags, a cap) calls nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from scrm.group_entry.events import PicturesWanted
from scrm.group_entry.models import EntryState, GroupCode
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.wecom.desired import ended_calls, send_calls
from scrm.wecom.effects import Intent
from scrm.wecom.models import EffectState

if TYPE_CHECKING:
    from scrm.group_entry.service.rotation import Doors

ADD, UPDATE, DELETE = "add_join_way", "update_join_way", "delete_join_way"
KINDS = (ADD, UPDATE, DELETE)
QR_CODE = 2  # WeCom's scene
SUBJECT = "group_code:"  # how the subject of our effects names a code
UNKNOWN_CONFIG = 41044  # what is deleted there already counts as deleted
ALWAYS = ("scene", "config_id", "state")  # in every call, but no difference to send


def push(codes: Sequence[GroupCode], doors: Mapping[int, Doors]) -> None:
    """Send WeCom what differs from what it holds, unless a call is already under way."""
    wanted = [(c, intent) for c in codes if not c.effect_id and (intent := _intent(c, doors[c.id]))]
    send_calls(wanted)


def settle(effect_ids: Sequence[int]) -> list[int]:
    """Let codes know how their calls ended; returns those to be compared again: they may have changed meanwhile."""
    told = ended_calls(GroupCode, SUBJECT, effect_ids)
    for code, effect in told:
        _learn(code, effect)
    session().flush()
    return [code.id for code, _ in told if not code.error]


def _learn(code: GroupCode, effect: Row[Any]) -> None:
    if effect.kind == DELETE and (effect.state is EffectState.CONFIRMED or effect.errcode == UNKNOWN_CONFIG):
        forget_way(code)
    elif effect.state is EffectState.CONFIRMED and (effect.kind != ADD or _config_id(effect)):
        code.error, code.accepted, code.accepted_at = None, comparable(effect.payload), utcnow()
        if effect.kind == ADD:
            _learn_way(code, effect)
    else:
        reason = effect.error or effect.state.value
        code.error = f"{effect.errcode} {reason}" if effect.errcode else reason
        if effect.kind == ADD and code.status is not EntryState.DELETED:
            code.status = EntryState.FAILED


def forget_way(code: GroupCode) -> None:
    """WeCom has no join way of this code (any more)."""
    code.config_id = code.accepted = code.error = None
    code.qr_code = code.qr_content = code.qr_error = code.qr_wanted_at = None
    code.accepted_at = utcnow()


def _config_id(effect: Row[Any]) -> str | None:
    """None when a person confirmed a lost answer: the way is then somewhere, and ours it is not."""
    return (effect.result or {}).get("config_id")


def _learn_way(code: GroupCode, effect: Row[Any]) -> None:
    code.config_id, code.qr_code = _config_id(effect), effect.result.get("qr_code")
    if code.status is not EntryState.DELETED:
        code.status = EntryState.ACTIVE
    code.qr_wanted_at = utcnow()
    publish(PicturesWanted())


def _intent(code: GroupCode, doors: Doors) -> Intent | None:
    """The call that would make WeCom's side equal to ours; None when it is, or when there is nothing to show."""
    fields = _fields(code, doors)
    payload: dict[str, Any]
    if code.status is EntryState.DELETED:
        if not code.config_id:
            return None
        kind, payload = DELETE, {"config_id": code.config_id}
    elif not doors.chat_ids:
        return None
    elif code.config_id:
        if comparable(fields) == code.accepted:
            return None
        kind, payload = UPDATE, {"config_id": code.config_id, **fields}
    else:
        kind, payload = ADD, fields
    subject = f"{SUBJECT}{code.id}"
    return Intent(kind=kind, key=f"{kind}:{subject}:v{code.version}", payload=payload, subject=subject)


def _fields(code: GroupCode, doors: Doors) -> dict[str, Any]:
    """Every field: an update overwrites what it does not name.

    The serial number goes on behind the groups WeCom made already, so that a change does not name the next one like
    the first.
    """
    fields: dict[str, Any] = {
        "scene": QR_CODE,
        "remark": code.remark or "",
        "auto_create_room": int(code.auto_create_room),
        "chat_id_list": list(doors.chat_ids),
        "state": code.state,
    }
    if code.auto_create_room:
        fields["room_base_name"] = code.room_base_name or ""
        fields["room_base_id"] = (code.room_base_id or 1) + doors.made
    return fields


def comparable(way: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose difference WeCom has to hear of."""
    return {key: value for key, value in way.items() if key not in ALWAYS}
