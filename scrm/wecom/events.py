"""What can happen to effects; ids only."""

from __future__ import annotations

from dataclasses import dataclass

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
