"""What can happen in conversations; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scrm.conversations.models import Channel, Direction


@dataclass(frozen=True)
class MessageStored:
    """A message was stored for the first time."""

    message_id: int
    sent_at: datetime
    channel: Channel
    direction: Direction
    customer_id: int | None
    staff_id: int | None


@dataclass(frozen=True)
class MessageLinked:
    """A stored message of a stranger was given to the customer they became; it is history, nobody answers it now."""

    message_id: int
    sent_at: datetime
    channel: Channel
    direction: Direction
    customer_id: int
    staff_id: int | None


@dataclass(frozen=True)
class KfPullWanted:
    """A customer-service account has messages we have not read yet."""

    open_kfid: str
