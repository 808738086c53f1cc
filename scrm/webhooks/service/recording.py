"""Writing what came of deliveries, and what it says about the health of their endpoints: two statements a batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import text

from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.settings import settings
from scrm.webhooks.models import DeliveryState, DisabledReason
from scrm.webhooks.service.claiming import CIRCUIT_FAILURES, Work
from scrm.webhooks.service.posting import Answer

log = structlog.get_logger(__name__)
RETRIES = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds to wait after each failed attempt (example schedule of Standard Webhooks 1.0.0): ten attempts in three days."""
JITTER = 0.1
MOST_TRIES = len(RETRIES) + 1
"""Attempts that a delivery remembers: all of one schedule; sent again by hand, the oldest go."""
TOLD_AFTER = timedelta(days=1)
"""An endpoint that fails for so long is told of, before it is disabled."""
GONE = 410
THROTTLED = frozenset({429, 503})  # Retry-After is about everything we send there, not this one delivery
FIRST_PAUSE, LONGEST_PAUSE = (
    5,
    300,
)  # seconds that an open circuit rests; twice as long after each further failure


@dataclass(frozen=True)
class Outcome:
    """A delivery and what came of it."""

    work: Work
    answer: Answer


def record(outcomes: Sequence[Outcome]) -> None:
    """Write a batch in the order in which the answers came; rows whose lease is no longer held stay as they are."""
    now = utcnow()
    rows = [_row(each, now) for each in outcomes]
    session().execute(_RECORD, {"rows": orjson.dumps(rows).decode(), "now": now, "most": MOST_TRIES})
    values = {
        "rows": orjson.dumps(_health(outcomes)).decode(), "now": now, "circuit": CIRCUIT_FAILURES,
        "first": FIRST_PAUSE, "longest": LONGEST_PAUSE, "most": now - timedelta(days=settings().webhooks.disable_days),
    }  # fmt: skip
    for row in session().execute(_HEALTH, values):
        if row.state == "disabled" and row.was == "active":
            _tell_disabled(row.id, DisabledReason(row.reason), now)
        elif row.failing_since is not None and row.failing_since < now - TOLD_AFTER:
            _tell_failing(row.id, row.failing_since)


def next_attempt(attempts: int, now: datetime, retry_after: float | None = None) -> datetime | None:
    """When to try again after ``attempts`` that failed; None: never, they are used up.

    The time grows by up to JITTER, so that what failed together does not come back together.
    """
    if attempts > len(RETRIES):
        return None
    seconds = RETRIES[attempts - 1] * (1 + random.random() * JITTER)
    return now + timedelta(seconds=max(seconds, retry_after or 0.0))


def _row(outcome: Outcome, now: datetime) -> dict[str, Any]:
    work, answer = outcome.work, outcome.answer
    again = next_attempt(work.attempts, now, answer.retry_after)
    final = answer.delivered or answer.status == GONE or again is None
    state = DeliveryState.DELIVERED if answer.delivered else DeliveryState.FAILED
    if not answer.delivered:
        log.info(
            "webhook failed", delivery_id=work.id, endpoint_id=work.endpoint_id, status=answer.status, error=answer.error
        )  # fmt: skip
    return {
        "id": work.id,
        "token": str(work.token),
        "state": state if final else DeliveryState.PENDING,
        "status": answer.status,
        "error": None if answer.delivered else answer.error or f"answered {answer.status}",
        "ms": answer.milliseconds,
        "next_at": None if final else again,
    }


def _health(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """By endpoint: whether any got through, failures after the last that did, and what the receiver asked for."""
    found: dict[int, dict[str, Any]] = {}
    for each in outcomes:
        fresh = {"id": each.work.endpoint_id, "ok": False, "failed": 0, "rest": 0.0, "gone": False}
        row = found.setdefault(each.work.endpoint_id, fresh)
        if each.answer.delivered:
            row |= {"ok": True, "failed": 0}
        else:
            row["failed"] += 1
            row["gone"] |= each.answer.status == GONE
        if each.answer.status in THROTTLED:
            row["rest"] = max(row["rest"], each.answer.retry_after or 0.0)
    return [found[id_] for id_ in sorted(found)]


def _tell_disabled(endpoint_id: int, reason: DisabledReason, now: datetime) -> None:
    log.warning("webhook endpoint disabled", endpoint_id=endpoint_id, reason=reason)
    days = f"{settings().webhooks.disable_days:g}"
    zh = {"gone": "接收方返回 410", "failing": f"连续 {days} 天投递失败"}[reason]
    en = {"gone": "it answered 410 Gone", "failing": f"every delivery failed for {days} days"}[reason]
    told = Alert(
        "webhook_disabled",
        f"webhook_disabled:{endpoint_id}:{now.isoformat()}",
        f"外发 webhook {endpoint_id} 已停用：{zh}。修复后请重新启用。",
        f"Webhook endpoint {endpoint_id} was disabled: {en}. Activate it again once it is put right.",
        operators=True,
    )
    alert([told])


def _tell_failing(endpoint_id: int, since: datetime) -> None:
    """Once for each time of failing: the alert's key is the same until a success ends it."""
    told = Alert(
        "webhook_failing",
        f"webhook_failing:{endpoint_id}:{since.isoformat()}",
        f"外发 webhook {endpoint_id} 已连续一天投递失败；若持续失败将被停用。",
        f"Every delivery to webhook endpoint {endpoint_id} failed for a day; it will be disabled if this goes on.",
        operators=True,
    )
    alert([told])


_RECORD = text("""
UPDATE webhook_deliveries d SET state = r.state, status = r.status, error = r.error, milliseconds = r.ms,
  next_at = r.next_at, finished_at = CASE WHEN r.state <> 'pending' THEN CAST(:now AS timestamptz) END,
  lease_token = NULL, lease_until = NULL,
  tries = (CASE WHEN jsonb_array_length(d.tries) < :most THEN d.tries ELSE d.tries - 0 END) || jsonb_strip_nulls(
    jsonb_build_object('at', d.tried_at, 'status', r.status, 'error', left(r.error, 200), 'milliseconds', r.ms))
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, token uuid, state text, status bigint, error text, ms bigint,
  next_at timestamptz)
WHERE d.id = r.id AND d.lease_token = r.token
""")
_HEALTH = text("""
WITH told AS (
  SELECT e.id, e.state AS was, r.ok, r.failed, r.rest, r.gone,
    CASE WHEN r.ok THEN r.failed ELSE e.failures + r.failed END AS failures,
    CASE WHEN r.failed = 0 THEN NULL WHEN r.ok THEN CAST(:now AS timestamptz)
      ELSE COALESCE(e.failing_since, :now) END AS since
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id bigint, ok bool, failed int, rest float, gone bool)
  JOIN webhook_endpoints e ON e.id = r.id
  WHERE r.failed > 0 OR e.failures > 0 OR e.resume_at IS NOT NULL
  ORDER BY e.id FOR NO KEY UPDATE OF e),
judged AS (
  SELECT told.*, CASE WHEN was <> 'active' THEN NULL WHEN gone THEN 'gone' WHEN since < :most THEN 'failing' END AS why
  FROM told)
UPDATE webhook_endpoints e SET failures = t.failures, failing_since = t.since,
  resume_at = NULLIF(GREATEST(:now + t.rest * interval '1 second', :now + interval '1 second' * CASE
    WHEN t.failed > 0 AND t.failures >= :circuit THEN LEAST(:longest, :first * power(2, LEAST(t.failures - :circuit, 10)))
    ELSE 0 END), CAST(:now AS timestamptz)),
  state = CASE WHEN t.why IS NULL THEN e.state ELSE 'disabled' END,
  reason = COALESCE(t.why, e.reason),
  disabled_at = CASE WHEN t.why IS NULL THEN e.disabled_at ELSE :now END
FROM judged t WHERE e.id = t.id RETURNING e.id, e.state, e.reason, e.failing_since, t.was
""")
