"""Sending again what failed or got lost at the receiver, and forgetting what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.events import publish
from scrm.kernel.settings import settings
from scrm.webhooks.events import DeliveriesWanted
from scrm.webhooks.models import EndpointState, WebhookDelivery
from scrm.webhooks.service.endpoints import endpoint


@dataclass(frozen=True)
class Span:
    """When events were noted: from ``since`` on, before ``until`` (now, when there is none)."""

    since: datetime
    until: datetime | None = None


AT_ONCE = 50_000  # deliveries of one request; the answer says when there are more
FORGET_AT_ONCE = 5000


def redeliver(delivery_id: int) -> None:
    """Send one again, now and with a fresh schedule; a pending one is tried at once.

    :raises NotFound: for an unknown delivery
    :raises Conflict: when its endpoint is disabled or deleted
    """
    row = session().get(WebhookDelivery, delivery_id)
    if row is None:
        raise NotFound(f"there is no webhook delivery {delivery_id}")
    _active(row.endpoint_id)
    session().execute(_ONE, {"id": delivery_id, "now": utcnow()})
    session().expire(row)
    publish(DeliveriesWanted())


@dataclass(frozen=True)
class Again:
    """What a redelivery took.

    :param next_after: sequence to go on after, by asking again; None: that was all
    """

    redelivered: int
    next_after: int | None


def redeliver_since(endpoint_id: int, span: Span, states: Sequence[str], after: int = 0) -> Again:
    """Send again what failed (or also arrived) of the events of a time, in the order of their sequence.

    :param after: only events after this sequence
    """
    _active(endpoint_id)
    values = {
        "endpoint": endpoint_id, "since": span.since, "until": span.until or utcnow(), "states": sorted(states),
        "after": after, "now": utcnow(), "limit": AT_ONCE,
    }  # fmt: skip
    count, last = session().execute(_SINCE, values).one()
    if count:
        publish(DeliveriesWanted())
    return Again(count, last if count == AT_ONCE else None)


def _active(endpoint_id: int) -> None:
    if endpoint(endpoint_id).state != EndpointState.ACTIVE:
        raise Conflict("the endpoint is disabled; set its state to active first")


def forget_events() -> int:
    """Delete up to FORGET_AT_ONCE events older than ``webhooks.retention_days``; how many."""
    before = utcnow() - timedelta(days=settings().webhooks.retention_days)
    gone = session().execute(_FORGET, {"before": before, "limit": FORGET_AT_ONCE})
    return int(getattr(gone, "rowcount", 0))


_AGAIN = "state = 'pending', attempts = 0, next_at = :now, finished_at = NULL"
_ONE = text(f"""
UPDATE webhook_deliveries SET {_AGAIN} WHERE id = :id AND (lease_until IS NULL OR lease_until < :now)
""")  # noqa: S608  # a constant
_SINCE = text(f"""
WITH again AS (UPDATE webhook_deliveries SET {_AGAIN} WHERE id IN (
    SELECT d.id FROM webhook_deliveries d JOIN webhook_events v ON v.id = d.event_id
    WHERE d.endpoint_id = :endpoint AND d.state = ANY(CAST(:states AS text[])) AND v.noted_at >= :since
      AND v.noted_at < :until AND d.event_id > :after
    ORDER BY d.event_id LIMIT :limit FOR NO KEY UPDATE OF d SKIP LOCKED)
  RETURNING event_id)
SELECT count(*), max(event_id) FROM again
""")  # noqa: S608
_FORGET = text("""
DELETE FROM webhook_events WHERE id IN (
  SELECT id FROM webhook_events WHERE noted_at < :before ORDER BY noted_at LIMIT :limit)
""")
