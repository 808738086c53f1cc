"""What WeCom holds of entry welcomes, kept beside what we want; a difference is sent, one call at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from scrm.group_entry.models import EntryState, EntryWelcome
from scrm.kernel.clock import utcnow
from scrm.wecom.desired import ended_calls, send_calls
from scrm.wecom.effects import Intent
from scrm.wecom.models import EffectState

ADD, EDIT, DELETE = "add_welcome_template", "edit_welcome_template", "delete_welcome_template"
KINDS = (ADD, EDIT, DELETE)
SUBJECT = "entry_welcome:"
ONCE = ("template_id", "notify")  # notify is for the first call only
UNSEEN = "confirmed by hand; its template_id is unknown, so it cannot be managed from here"


def push(welcomes: Sequence[EntryWelcome]) -> None:
    """Send WeCom what differs from what it holds, unless a call is already under way."""
    wanted = [(one, intent) for one in welcomes if not one.effect_id and (intent := _intent(one))]
    send_calls(wanted)


def settle(effect_ids: Sequence[int]) -> list[int]:
    """Let templates know how their calls ended, and send what was changed meanwhile; returns those made just now."""
    told = ended_calls(EntryWelcome, SUBJECT, effect_ids)
    made = [welcome.id for welcome, effect in told if _learn(welcome, effect)]
    push([welcome for welcome, _ in told if not welcome.error])
    return made


def body_of(welcome: EntryWelcome) -> dict[str, Any]:
    """What the template says, as WeCom takes it."""
    body: dict[str, Any] = {}
    if welcome.text:
        body["text"] = {"content": welcome.text}
    if welcome.attachment:
        kind = welcome.attachment["msgtype"]
        body[kind] = welcome.attachment[kind]
    return body


def _learn(welcome: EntryWelcome, effect: Row[Any]) -> bool:
    """Take over how a call ended; whether the template became usable by it."""
    if effect.state is not EffectState.CONFIRMED:
        _fail(welcome, effect, effect.error or effect.state.value)
        return False
    welcome.error, welcome.drift = None, None
    welcome.accepted = {key: value for key, value in effect.payload.items() if key not in ONCE}
    welcome.accepted_at = utcnow()
    if effect.kind == DELETE:
        welcome.template_id = welcome.accepted = None
    elif effect.kind == ADD:
        return _learn_id(welcome, effect)
    return False


def _learn_id(welcome: EntryWelcome, effect: Row[Any]) -> bool:
    welcome.template_id, welcome.app = (effect.result or {}).get("template_id"), effect.app
    if not welcome.template_id:
        welcome.accepted = None
        _fail(welcome, effect, UNSEEN)
        return False
    if welcome.status is EntryState.DELETED:
        return False
    welcome.status = EntryState.ACTIVE
    return True


def _fail(welcome: EntryWelcome, effect: Row[Any], reason: str) -> None:
    welcome.error = f"{effect.errcode} {reason}" if effect.errcode else reason
    if effect.kind == ADD and welcome.status is not EntryState.DELETED:
        welcome.status = EntryState.FAILED


def _intent(welcome: EntryWelcome) -> Intent | None:
    body = body_of(welcome)
    payload: dict[str, Any]
    known: dict[str, Any] = {"template_id": welcome.template_id}
    if welcome.status is EntryState.DELETED:
        if not welcome.template_id:
            return None
        kind, payload = DELETE, known
    elif welcome.template_id:
        if body == welcome.accepted:
            return None
        kind, payload = EDIT, {**known, **body}
    else:
        kind, payload = ADD, {**body, "notify": int(welcome.notify)}
    return Intent(
        kind=kind,
        key=f"{kind}:{SUBJECT}{welcome.id}:v{welcome.version}",
        payload=payload,
        subject=f"{SUBJECT}{welcome.id}",
        app=welcome.app if kind != ADD else None,  # only who made it may change it (41058)
    )
