"""What can happen to effects and to the way to WeCom; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from config.queues import Queue
from scrm.wecom.models import EffectState


@dataclass(frozen=True)
class EffectSettled:
    """An effect reached a final state (confirmed, failed, expired, cancelled); told in the same transaction."""

    effect_id: int
    kind: str
    key: str
    subject: str | None
    state: EffectState
    errcode: int | None


@dataclass(frozen=True)
class EffectsPlanned:
    """A lane has something to send."""

    queue: Queue


@dataclass(frozen=True)
class EffectsParked:
    """Dead letters: nothing more happens to these effects of one kind until a person says what.

    :param reason: value of a :class:`~scrm.wecom.models.Parked`
    """

    effect_ids: tuple[int, ...]
    kind: str
    reason: str


@dataclass(frozen=True)
class CircuitOpened:
    """WeCom does not answer at ``api``; nothing is tried there before ``until``, then one call at a time."""

    app: str
    api: str
    until: datetime


@dataclass(frozen=True)
class CircuitClosed:
    """WeCom answers again at ``api``."""

    app: str
    api: str
