"""Telling the end of an effect again, after somebody who hears of it failed; after the last time it is parked."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, and_, select

from config.queues import Queue
from scrm.kernel.apart import Apart
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.wecom.effects import settled
from scrm.wecom.events import EffectsParked
from scrm.wecom.models import Effect, Parked
from scrm.wecom.recording import TELL_AGAIN

log = structlog.get_logger(__name__)

AT_ONCE = 100  # told per run
LONGEST_PAUSE = timedelta(minutes=5)


def untold(queue: Queue, now: datetime) -> ColumnElement[bool]:
    """Settled, and to be told again now."""
    return and_(Effect.queue == queue, Effect.tell_at <= now)


def tell_again(queue: Queue) -> None:
    """Tell what is due, each in a transaction of its own, so that one defect does not hold up the others."""
    due = select(Effect.id).where(untold(queue, utcnow())).order_by(Effect.tell_at).limit(AT_ONCE)
    with transaction():
        ids = list(session().scalars(due))
    for effect_id in ids:
        _tell(effect_id)


def _tell(effect_id: int) -> None:
    with Apart() as telling, transaction():  # whatever a subscriber does wrong
        effect = _locked(effect_id)
        if effect is not None:
            effect.tell_at, effect.tellings = None, 0
            publish(settled(effect))
    if telling.error:
        log.error("outcome not told", effect_id=effect_id, exc_info=telling.error)
        with transaction():
            _again_or_park(effect_id)


def _again_or_park(effect_id: int) -> None:
    effect = _locked(effect_id)
    if effect is None:
        return
    effect.tellings += 1
    if effect.tellings < settings().effects.max_attempts:
        effect.tell_at = utcnow() + min(LONGEST_PAUSE, TELL_AGAIN * 2**effect.tellings)
        return
    effect.tell_at, effect.parked, effect.parked_at = None, Parked.UNTOLD, utcnow()
    publish(EffectsParked((effect.id,), effect.kind, Parked.UNTOLD))


def _locked(effect_id: int) -> Effect | None:
    """The row, unless another worker tells it now or has told it."""
    wanted = (
        select(Effect)
        .where(Effect.id == effect_id, Effect.tell_at <= utcnow())
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return session().scalars(wanted).one_or_none()
