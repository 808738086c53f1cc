"""What became of a welcome: sent, missed with its reason, or tried again without attachments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from scrm.acquisition.models import Welcome, WelcomeOutcome
from scrm.acquisition.service.greeting import EXPIRED
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.wecom.effects import Intent, plan
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.references import named_in

KIND = "welcome"
BAD_ATTACHMENT = frozenset(
    {40004, 40005, 40006, 40007, 40009, 40011, 41064, 41065, 41072, 41080, 41081, 41082, 41090}
)
"""errcodes that blame an attachment (wecom-api.md sections 1.3 and 4.5): the text alone may still go."""


def settle(effect_ids: Sequence[int]) -> None:
    """Write what WeCom did with these effects on their welcomes; doing it twice changes nothing."""
    columns = (
        Effect.id, Effect.state, Effect.errcode, Effect.error, Effect.payload, Effect.app, Effect.finished_at,
    )  # fmt: skip
    effects = {row.id: row for row in session().execute(select(*columns).where(Effect.id.in_(effect_ids)))}
    open_ = (
        select(Welcome)
        .where(Welcome.effect_id.in_(effects), Welcome.outcome != WelcomeOutcome.SENT)
        .order_by(Welcome.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    again = []
    for welcome in session().scalars(open_):
        effect = effects[welcome.effect_id or 0]
        if effect.state is EffectState.FAILED and _text_may_go(welcome, effect):
            again.append((welcome, _text_only(welcome, effect)))
        else:
            _finish(welcome, effect)
    ids = plan([intent for _, intent in again])
    for welcome, intent in again:
        welcome.effect_id, welcome.text_only = ids[intent.key], True
    session().flush()


def _finish(welcome: Welcome, effect: Row[Any]) -> None:
    welcome.finished_at = effect.finished_at or utcnow()
    if effect.state is EffectState.CONFIRMED:
        welcome.outcome, welcome.reason = WelcomeOutcome.SENT, None
    else:
        welcome.outcome, welcome.reason = WelcomeOutcome.MISSED, _reason(effect)


def _reason(effect: Row[Any]) -> str:
    if effect.state is EffectState.EXPIRED:
        return EXPIRED
    parts = [str(effect.errcode) if effect.errcode else "", effect.error or str(effect.state.value)]
    return " ".join(part for part in parts if part)


def _text_may_go(welcome: Welcome, effect: Row[Any]) -> bool:
    """A file that our own library lost (no errcode: the call never left) is blamed like one WeCom refuses."""
    lost = effect.errcode is None and bool(named_in(effect.payload))
    blamed = lost or effect.errcode in BAD_ATTACHMENT
    return (
        blamed
        and "attachments" in effect.payload
        and "text" in effect.payload
        and utcnow() < welcome.deadline_at
    )


def _text_only(welcome: Welcome, effect: Row[Any]) -> Intent:
    return Intent(
        kind=KIND,
        key=f"welcome:{welcome.code_digest}:text",
        payload={name: value for name, value in effect.payload.items() if name != "attachments"},
        subject=f"welcome:{welcome.id}",
        deadline_at=welcome.deadline_at,
        app=effect.app,
    )
