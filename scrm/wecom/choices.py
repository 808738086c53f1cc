"""What a person is asked about a parked effect, and what they may answer: words in Chinese and English, and the call."""

from __future__ import annotations

from typing import Any

from scrm.kernel.clock import utcnow
from scrm.wecom.effects import Resolution
from scrm.wecom.models import Effect, EffectState, Parked
from scrm.wecom.registry import QUESTION, kinds

Words = dict[str, str]

ANSWERS: dict[Resolution, tuple[str, str]] = {
    Resolution.CONFIRMED: ("已生效：记为完成，不再发送", "It took effect: note it as done, send nothing"),
    Resolution.FAILED: (
        "未生效，也不再需要：记为失败",
        "It did not, and need not any more: note it as failed",
    ),
    Resolution.AGAIN: ("未生效：重新发送", "It did not take effect: send it again"),
}
RETRY = ("重新发送", "Send it again")
TELL = (
    "再次通知系统内部各模块，不会再次发送到企业微信",
    "Tell the parts of this program again; nothing is sent to WeCom",
)


def question_for(effect: Effect) -> Words | None:
    """What to find out in WeCom about an effect that only a person can settle; None: nothing is asked."""
    if effect.state != EffectState.UNKNOWN or effect.parked is None:
        return None
    kind = kinds().get(effect.kind)
    zh, en = kind.question if kind else QUESTION
    return {"zh": zh, "en": en}


def choices_for(effect: Effect) -> list[dict[str, Any]]:
    """The answers this effect takes now: ``{"action", "outcome"?, "zh", "en"}``; action is the last part of the API's path."""
    in_time = effect.deadline_at is None or effect.deadline_at > utcnow()
    if effect.parked is Parked.UNTOLD:
        return [_choice("retry", *TELL)]
    if effect.state == EffectState.FAILED:
        return [_choice("retry", *RETRY)] if in_time else []
    if effect.state != EffectState.UNKNOWN:
        return []
    outcomes = [outcome for outcome in ANSWERS if in_time or outcome is not Resolution.AGAIN]
    return [_choice("resolve", *ANSWERS[outcome], outcome=outcome) for outcome in outcomes]


def _choice(action: str, zh: str, en: str, **more: Any) -> dict[str, Any]:
    return {"action": action, **more, "zh": zh, "en": en}
