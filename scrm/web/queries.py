"""What the overview page and the metrics show: counts, ages and last errors, read from the truth."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rq import Queue as RqQueue
from rq import Worker
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from sqlalchemy import text

from config.queues import Queue
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import session
from scrm.kernel.redis import redis
from scrm.kernel.settings import settings
from tags.columns.service.shelf import Source, folder, read_copy

TOTALS = {
    "customers": "SELECT count(*) FROM customers",
    "follows": "SELECT count(*) FROM follows WHERE status IN ('active', 'half')",
    "groups": "SELECT count(*) FROM customer_groups WHERE status = 'normal'",
    "group members": "SELECT count(*) FROM group_stays WHERE left_at IS NULL",
    "messages": "SELECT count(*) FROM messages",
    "tags": "SELECT count(*) FROM tags WHERE deleted_at IS NULL",
    "tagged": "SELECT count(*) FROM tag_assignments WHERE state IN ('active', 'pending_add')",
    "channel codes": "SELECT count(*) FROM channel_codes WHERE status = 'active'",
    "group codes": "SELECT count(*) FROM group_codes WHERE status = 'active'",
    "acquisition links": "SELECT count(*) FROM acquisition_links WHERE status = 'active'",
    "broadcasts": "SELECT count(*) FROM broadcasts",
    "losses, 24 h": "SELECT count(*) FROM losses WHERE lost_at > :day_ago",
}
ESTIMATED_FROM = (
    2_000_000  # counting more, on every look of the page, would keep PostgreSQL busy with nothing else
)
STATES = {
    "inbox": "SELECT state, count(*) AS n, extract(epoch FROM now() - min(received_at))::float AS age"
    " FROM callback_inbox GROUP BY state",
    "effects": "SELECT kind || ' ' || state AS state, count(*) AS n, extract(epoch FROM now() - min(created_at))::float"
    " AS age FROM effects GROUP BY kind, state",
    "broadcasts": "SELECT state, count(*) AS n, extract(epoch FROM now() - min(created_at))::float AS age"
    " FROM broadcasts GROUP BY state",
    # of two days: longer than any alert can wait
    "alerts": "SELECT coalesce(state || ' (' || reason || ')', state) AS state, count(*) AS n,"
    " extract(epoch FROM now() - min(created_at))::float AS age FROM (SELECT state, created_at,"
    " CASE WHEN state = 'silenced' THEN reason END AS reason FROM alerts"
    " WHERE created_at > :two_days_ago) a GROUP BY a.state, a.reason",
}
WELCOMES = """
SELECT count(*) FILTER (WHERE outcome = 'sent') AS sent, count(*) FILTER (WHERE outcome = 'missed') AS missed,
       count(*) FILTER (WHERE outcome = 'planned') AS planned,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - event_at))
           FILTER (WHERE outcome = 'sent') AS p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - event_at))
           FILTER (WHERE outcome = 'sent') AS p99
FROM welcomes WHERE created_at > now() - interval '1 hour'
"""
ERRORS = """
(SELECT 'effect ' || id AS what, kind AS kind, coalesce(errcode::text || ' ', '') || coalesce(error, state) AS why,
        coalesce(finished_at, created_at) AS at
 FROM effects WHERE state IN ('failed', 'unknown', 'expired') ORDER BY id DESC LIMIT 10)
UNION ALL
(SELECT 'inbox ' || id, coalesce(event, '?') || coalesce('/' || change_type, ''), coalesce(error, state),
        coalesce(finished_at, received_at)
 FROM callback_inbox WHERE state IN ('dead', 'failed') ORDER BY id DESC LIMIT 10)
UNION ALL
(SELECT 'alert ' || id, kind, coalesce(reason, state), created_at FROM alerts
 WHERE (state = 'failed' OR reason = 'no receiver') AND created_at > :week_ago ORDER BY id DESC LIMIT 10)
UNION ALL
(SELECT 'loss alarm ' || id, 'mass_delete', deletions || ' deletions by staff ' || staff_id, crossed_at FROM loss_alarms
 WHERE acknowledged_at IS NULL AND withdrawn_at IS NULL ORDER BY id DESC LIMIT 10)
ORDER BY at DESC LIMIT 10
"""


def _limits() -> dict[str, datetime]:
    """Since when things are shown: 24 hours, and days as the corp's zone has them, one of which may have 23 or 25 hours."""
    now = in_zone(utcnow(), settings().corp.zone)
    days = {"two_days_ago": now - timedelta(days=2), "week_ago": now - timedelta(days=7)}
    return {"day_ago": utcnow() - timedelta(hours=24), **days}


def overview() -> dict[str, Any]:
    """Everything on the overview page, as plain values (ages and latencies in seconds)."""
    limits = _limits()
    return {
        "totals": {name: _total(question, limits) for name, question in TOTALS.items()},
        "states": {name: state_counts(name) for name in STATES},
        "queues": queue_depths(),
        "welcome": welcome_figures(),
        "errors": [dict(row) for row in session().execute(text(ERRORS), limits).mappings()],
    }


def _total(question: str, limits: dict[str, datetime]) -> int:
    """How many rows there are; of more than :data:`ESTIMATED_FROM` what the planner believes, mostly right to 1 in 100."""
    told: Any = session().scalar(
        text("EXPLAIN (FORMAT JSON) " + question.replace("count(*)", "1", 1)), limits
    )
    believed = int(told[0]["Plan"]["Plan Rows"])
    return believed if believed > ESTIMATED_FROM else session().scalar(text(question), limits) or 0


def welcome_figures() -> dict[str, Any]:
    """Welcomes of the last hour by outcome, and seconds from event to WeCom's acceptance (median, 99th percentile)."""
    return dict(session().execute(text(WELCOMES)).mappings().one())


def state_counts(name: str) -> list[dict[str, Any]]:
    """Rows by state with the age of the oldest, for ``inbox``, ``effects``, ``broadcasts`` or ``alerts``."""
    return [dict(row) for row in session().execute(text(STATES[name] + " ORDER BY 1"), _limits()).mappings()]


def errcode_counts() -> list[dict[str, Any]]:
    """Effects by kind, state and errcode."""
    question = (
        "SELECT kind, state, coalesce(errcode, 0) AS errcode, count(*) AS n FROM effects GROUP BY 1, 2, 3"
    )
    return [dict(row) for row in session().execute(text(question)).mappings()]


def queue_depths() -> list[dict[str, Any]]:
    """Waiting wake-ups with the seconds the oldest has waited (0 when none), failed jobs and living workers of each queue."""
    store = redis()
    workers = Worker.all(connection=store)
    return [
        {
            "queue": name.value,
            "waiting": (queue := RqQueue(name, connection=store, serializer=JSONSerializer)).count,
            "age": _oldest_seconds(queue),
            "failed": queue.failed_job_registry.count,
            "workers": sum(1 for worker in workers if name.value in worker.queue_names()),
        }
        for name in Queue
    ]


def copied_parts() -> list[dict[str, Any]]:
    """Parts of the copy in columns on this machine: how many, bytes and the age of the oldest in seconds, by source."""
    copy, found = read_copy(), []
    for source in Source if copy else ():
        chunks = copy.of(source) if copy else []
        paths = [folder() / each.file for each in chunks]
        size = sum(path.stat().st_size for path in paths if path.exists())
        age = max(((utcnow() - each.as_of).total_seconds() for each in chunks), default=0.0)
        found.append({"source": str(source), "parts": len(chunks), "bytes": size, "age": age})
    return found


def _oldest_seconds(queue: RqQueue) -> float:
    """How long the first wake-up has waited; 0 when a worker took it since we asked which it is."""
    jobs = RqJob.fetch_many(queue.get_job_ids(0, 1), connection=queue.connection, serializer=queue.serializer)
    since = next((job.enqueued_at for job in jobs if job), None)
    return max(0.0, (utcnow() - since).total_seconds()) if since else 0.0
