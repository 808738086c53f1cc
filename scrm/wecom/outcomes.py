"""What becomes of an effect after a call: decided by the class of the answer only, without database or network."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from scrm.wecom.error_table import RETRIES_OF_BUSY_SYSTEM
from scrm.wecom.errors import ErrorKind, Retryable, Unclear, WecomError
from scrm.wecom.models import EffectState, Parked
from scrm.wecom.registry import Answer, Kind, Verdict

SYSTEM_BUSY = -1
NETWORK_PAUSE_FACTOR = 4  # first pauses to wait while WeCom cannot be reached at all
ASK_PAUSE_SECONDS = 30.0  # between two questions about one effect, at the most
ASK_PAUSE_FACTOR = 5
ASKS_BEYOND_SENDS = 10  # inconclusive answers before a person is asked
ASK_DAYS = 3  # how long WeCom is asked when asking itself fails
JITTER = 0.25
NEVER_ARRIVED = "never arrived at WeCom; attempts used up"
FINAL = frozenset({EffectState.CONFIRMED, EffectState.FAILED, EffectState.EXPIRED, EffectState.CANCELLED})
PUT_OFF = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.BUSY, ErrorKind.TOKEN_EXPIRED})


@dataclass(frozen=True)
class Work:
    """An effect in this worker's hands.

    :param attempts: including this one
    :param token: the lease that fences the outcome
    :param until: when the lease ends
    """

    id: int
    kind: Kind
    app: str
    payload: dict[str, Any]
    attempts: int
    sent_at: datetime | None
    deadline_at: datetime | None
    token: uuid.UUID
    until: datetime


@dataclass(frozen=True)
class Outcome:
    """What to write on the row.

    :param counted: whether this attempt counts towards the maximum
    :param parked: why a person has to say what happens next; None: nobody has to
    """

    id: int
    token: uuid.UUID
    state: EffectState
    result: dict[str, Any] | None = None
    errcode: int | None = None
    error: str | None = None
    next_at: datetime | None = None
    counted: bool = True
    parked: Parked | None = None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINAL


def after_sending(work: Work, answer: dict[str, Any] | WecomError, now: datetime, most: int) -> Outcome:
    """The outcome of ``kind.send``; ``most``: attempts before it fails."""
    base = Outcome(work.id, work.token, EffectState.CONFIRMED)
    if not isinstance(answer, WecomError):
        return replace(base, result=answer)
    told = replace(base, errcode=answer.errcode, error=answer.errmsg)
    if answer.errcode in work.kind.already:
        return replace(told, result={})
    if isinstance(answer, Unclear):
        return _unknown(work, replace(told, counted=not answer.outage), now)
    if _passes(answer):
        pause = answer.retry_after or work.kind.backoff[0] * NETWORK_PAUSE_FACTOR
        return _later(work, replace(told, counted=False), now, pause)
    if isinstance(answer, Retryable):
        if work.attempts < _most(answer, most):
            return _later(work, told, now, _backoff(work))
        return replace(told, state=EffectState.FAILED, parked=Parked.EXHAUSTED)
    return replace(told, state=EffectState.FAILED)


def not_ready(work: Work, error: WecomError, now: datetime, most: int) -> Outcome:
    """The outcome when something the call needs could not be had: the call itself never left."""
    if isinstance(error, Unclear):
        error = Retryable(error.api, None, error.errmsg, retry_after=error.retry_after)
    return after_sending(work, error, now, most)


def _passes(answer: WecomError) -> bool:
    """Whether it goes by without fault of this effect: limits, no connection, an outage of the whole API."""
    unreached = isinstance(answer, Retryable) and (answer.errcode is None or answer.outage)
    return answer.kind in PUT_OFF or unreached


def after_asking(work: Work, answer: Answer | WecomError, now: datetime, most: int) -> Outcome:
    """The outcome of ``kind.ask``."""
    if isinstance(answer, WecomError):
        return _asked_in_vain(work, answer, now)
    told = Outcome(work.id, work.token, EffectState.UNKNOWN, errcode=answer.errcode, error=answer.reason)
    if answer.verdict == Verdict.DONE:
        return replace(
            told, state=EffectState.CONFIRMED, result=answer.result or {}, errcode=None, error=None
        )
    if answer.verdict == Verdict.REFUSED:
        return replace(told, state=EffectState.FAILED)
    if answer.verdict == Verdict.NOT_DONE:
        if work.attempts < most:
            return replace(told, state=EffectState.PLANNED)
        return replace(told, state=EffectState.FAILED, error=NEVER_ARRIVED, parked=Parked.EXHAUSTED)
    if answer.verdict == Verdict.OPEN and work.attempts < most + ASKS_BEYOND_SENDS:
        return replace(told, next_at=now + _jittered(_ask_pause(work)))
    return replace(told, parked=Parked.PERSON)


def _asked_in_vain(work: Work, error: WecomError, now: datetime) -> Outcome:
    told = Outcome(work.id, work.token, EffectState.UNKNOWN, errcode=error.errcode, counted=False)
    told = replace(told, error=f"asking failed: {error.errmsg}")
    old = work.sent_at is not None and now - work.sent_at > timedelta(days=ASK_DAYS)
    if old or not error.passing:
        return replace(told, parked=Parked.PERSON)
    return replace(told, next_at=now + _jittered(error.retry_after or _ask_pause(work)))


def expired(work: Work) -> Outcome:
    """Its moment passed before it could be sent."""
    return Outcome(work.id, work.token, EffectState.EXPIRED, error="the deadline passed before it was sent")


def handed_back(work: Work) -> Outcome:
    """Not sent, because the lease would not have lasted for the call."""
    return Outcome(work.id, work.token, EffectState.PLANNED, counted=False)


def defective(work: Work, error: BaseException, now: datetime, most: int) -> Outcome:
    """The program itself failed around the call: WeCom is asked what it has seen, and after the last attempt a person."""
    told = Outcome(work.id, work.token, EffectState.UNKNOWN, error=f"defect: {type(error).__name__}")
    if work.kind.ask is None or work.attempts >= most:
        return replace(told, parked=Parked.DEFECT)
    return replace(told, next_at=now + _jittered(_ask_pause(work)))


def not_configured(work: Work) -> Outcome:
    """The app that should send it is no longer configured."""
    return Outcome(
        work.id, work.token, EffectState.FAILED, error=f"the app {work.app!r} is not configured any more"
    )


def unaskable(work: Work) -> Outcome:
    """Nobody can ask WeCom about this kind; for a person."""
    told = Outcome(work.id, work.token, EffectState.UNKNOWN, error="sent, and the answer was lost")
    return replace(told, parked=Parked.PERSON)


def _unknown(work: Work, told: Outcome, now: datetime) -> Outcome:
    told = replace(told, state=EffectState.UNKNOWN)
    if work.kind.ask is None:
        return replace(told, parked=Parked.PERSON)
    return replace(told, next_at=now + timedelta(seconds=work.kind.ask_after))


def _later(work: Work, told: Outcome, now: datetime, seconds: float) -> Outcome:
    next_at = now + _jittered(seconds)
    if work.deadline_at and next_at > work.deadline_at:
        next_at = max(now, work.deadline_at)  # so that it expires without delay
    return replace(told, state=EffectState.PLANNED, next_at=next_at)


def _most(error: WecomError, most: int) -> int:
    return min(most, 1 + RETRIES_OF_BUSY_SYSTEM) if error.errcode == SYSTEM_BUSY else most


def _ask_pause(work: Work) -> float:
    return min(ASK_PAUSE_SECONDS, ASK_PAUSE_FACTOR * work.kind.ask_after)


def _backoff(work: Work) -> float:
    first, longest = work.kind.backoff
    return float(min(longest, first * 2 ** (work.attempts - 1)))


def _jittered(seconds: float) -> timedelta:
    return timedelta(seconds=seconds * (1 + random.random() * JITTER))
