"""Which deliveries go next: by endpoint, each with its bounded share, its pace and its circuit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.leases import claim
from scrm.kernel.settings import settings
from scrm.kernel.signing import signature
from scrm.webhooks.models import DeliveryState, Payload, WebhookDelivery
from scrm.webhooks.service.bodies import Told, bodies
from scrm.webhooks.service.secrets import signing_secrets

LEASE_SECONDS = 60.0
"""Longer than any post, looking up the name included: time-out (at most 40); a killed worker's deliveries are sent again after it."""
CIRCUIT_FAILURES = 5
"""So many failures in a row open an endpoint's circuit; then one delivery at a time tries whether it is back."""
BURST_SECONDS = 2.0
"""Time that an endpoint with a pace may save up: the clock looks every two seconds."""
CONTENT_TYPE = "application/json"


@dataclass(frozen=True)
class Work:
    """A delivery in this worker's hands.

    :param attempts: including this one
    :param token: the lease that fences the outcome
    :param secrets: what signs it, the newest first; none could be opened: empty
    """

    id: int
    endpoint_id: int
    attempts: int
    token: uuid.UUID
    url: str
    message_id: str
    body: bytes
    secrets: tuple[str, ...]

    def headers(self, now: datetime) -> dict[str, str]:
        """Headers of an attempt at this moment: the id stays the same, the timestamp is that of the attempt."""
        timestamp = int(now.timestamp())
        signed = [signature(secret, self.message_id, timestamp, self.body) for secret in self.secrets]
        return {
            "Content-Type": CONTENT_TYPE,
            "webhook-id": self.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signed),
        }


def message_id(key: uuid.UUID) -> str:
    """``webhook-id`` of an event: the same for every attempt and every endpoint, without a full stop in it."""
    return f"evt_{key.hex}"


def need_not_last() -> None:
    """Do not wait until this transaction is on disk: if PostgreSQL dies within half a second, deliveries are repeated.

    They are made at least once anyhow; what is written of them only keeps them from being made again.
    """
    session().execute(text("SET LOCAL synchronous_commit = off"))


def has_work() -> bool:
    """Whether anything can be sent now; one short question, for the clock."""
    return bool(session().scalar(_HAS_WORK, {"now": utcnow()}))


def claim_deliveries(room: int, flying: Mapping[int, int]) -> list[Work]:
    """Take up to ``room`` deliveries, no endpoint more than its share; the caller commits at once.

    :param flying: by endpoint, how many this process is sending now
    """
    now = utcnow()
    ready = session().execute(_ENDPOINTS, {"now": now}).all()
    rooms = {row.id: _room(row, flying.get(row.id, 0), now) for row in ready}
    rooms = {id_: free for id_, free in rooms.items() if free > 0}
    if not rooms:
        return []
    values = {"endpoints": list(rooms), "rooms": list(rooms.values()), "now": now, "limit": room}
    picked = list(session().scalars(_PICK, values))
    if not picked:
        return []
    still = WebhookDelivery.id.in_(picked) & (WebhookDelivery.state == DeliveryState.PENDING)
    held = claim(
        WebhookDelivery, ready=still, order_by=WebhookDelivery.id, limit=room, seconds=LEASE_SECONDS,
        values={"tried_at": now},
    )  # fmt: skip
    _pace(held.rows, {row.id: row.max_per_second for row in ready}, now)
    return _works(held.token, held.ids)


def _room(row: Any, flying: int, now: datetime) -> int:
    share = 1 if row.failures >= CIRCUIT_FAILURES else settings().webhooks.share
    if row.max_per_second is None:
        return share - flying
    saved = min((now - row.paced_until).total_seconds(), BURST_SECONDS) if row.paced_until else BURST_SECONDS
    return min(share - flying, int(saved * row.max_per_second))


def _pace(rows: list[Any], limits: Mapping[int, int | None], now: datetime) -> None:
    """An endpoint that took n deliveries of a pace of r a second has used n/r seconds of its time."""
    taken: dict[int, int] = {}
    for row in rows:
        taken[row.endpoint_id] = taken.get(row.endpoint_id, 0) + 1
    paced = {id_: count / limit for id_, count in sorted(taken.items()) if (limit := limits.get(id_))}
    if paced:
        values = {
            "ids": list(paced),
            "seconds": list(paced.values()),
            "from": now - timedelta(seconds=BURST_SECONDS),
        }
        session().execute(_PACE, values)


def _works(token: uuid.UUID, ids: list[int]) -> list[Work]:
    rows = session().execute(_WORKS, {"ids": ids}).all()
    secrets = signing_secrets(sorted({row.endpoint_id for row in rows}))
    told = [Told(row.event_id, row.type, row.data, row.noted_at, row.payload == Payload.FAT) for row in rows]
    return [
        Work(
            row.id, row.endpoint_id, row.attempts, token, row.url, message_id(row.key), body,
            tuple(secrets.get(row.endpoint_id, ())),
        )
        for row, body in zip(rows, bodies(told), strict=True)
    ]  # fmt: skip


_READY = """e.state = 'active' AND (e.resume_at IS NULL OR e.resume_at <= :now)
  AND (e.paced_until IS NULL OR e.max_per_second IS NULL OR e.paced_until + interval '1 second' / e.max_per_second <= :now)"""
_FREE = "d.state = 'pending' AND d.next_at <= :now AND (d.lease_until IS NULL OR d.lease_until < :now)"
_HAS_WORK = text(f"""
SELECT EXISTS (SELECT FROM webhook_endpoints e WHERE {_READY}
  AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND {_FREE}))
""")  # noqa: S608  # constants of this module
_ENDPOINTS = text(f"""
SELECT e.id, e.failures, e.max_per_second, e.paced_until FROM webhook_endpoints e WHERE {_READY}
ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED
""")  # noqa: S608  # the lock keeps two workers from spending the same pace
_PICK = text(f"""
SELECT picked.id FROM unnest(CAST(:endpoints AS bigint[]), CAST(:rooms AS int[])) AS r(endpoint_id, room)
CROSS JOIN LATERAL (
  SELECT d.id, row_number() OVER (ORDER BY d.next_at, d.id) AS turn FROM webhook_deliveries d
  WHERE d.endpoint_id = r.endpoint_id AND {_FREE} ORDER BY d.next_at, d.id LIMIT r.room) picked
ORDER BY picked.turn, picked.id LIMIT :limit
""")  # noqa: S608
_PACE = text("""
UPDATE webhook_endpoints e SET paced_until = GREATEST(e.paced_until, :from) + r.seconds * interval '1 second'
FROM unnest(CAST(:ids AS bigint[]), CAST(:seconds AS float[])) AS r(id, seconds) WHERE e.id = r.id
""")
_WORKS = text("""
SELECT d.id, d.endpoint_id, d.attempts, d.event_id, e.url, e.payload, v.key, v.type, v.data, v.noted_at
FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id JOIN webhook_events v ON v.id = d.event_id
WHERE d.id = ANY(CAST(:ids AS bigint[])) ORDER BY d.id
""")
