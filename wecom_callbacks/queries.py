"""Reads of the inbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, text
from sqlalchemy.orm import defer

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import paginate
from wecom_callbacks.models import CallbackNotice, InboxRow, InboxState, Lane
from wecom_callbacks.reasons import Ignored

CODES = re.compile(r"(<(WelcomeCode|Token|ResponseCode|ChatKey)>).*?(</\2>)", re.DOTALL)

NOTICES_MAX = 200
FILTERS = ("state", "lane", "event", "change_type", "app", "reason")


def due_in(lane: Lane) -> ColumnElement[bool]:
    """The clause "open and its time has come"; the states are those of the partial index."""
    return and_(
        InboxRow.lane == lane,
        InboxRow.state.in_((InboxState.RECEIVED, InboxState.PROCESSING, InboxState.FAILED)),
        or_(InboxRow.next_at.is_(None), InboxRow.next_at <= utcnow()),
    )


def inbox_due(lane: Lane) -> bool:
    """Whether a worker would find something in this lane now."""
    free = or_(InboxRow.lease_until.is_(None), InboxRow.lease_until < utcnow())
    return bool(session().scalar(select(exists().where(due_in(lane), free))))


def inbox_page(query: Mapping[str, Any]) -> dict[str, Any]:
    """One page of callbacks, newest first, without their bodies.

    :param query: the loaded ``InboxQuery``: ``cursor``, ``limit`` and any of the filters
    """
    chosen = select(InboxRow).options(defer(InboxRow.body))
    for name in FILTERS:
        if (value := query.get(name)) is not None:
            chosen = chosen.where(getattr(InboxRow, name) == value)
    return paginate(chosen, InboxRow.id, query)


def inbox_row(row_id: int) -> InboxRow:
    """One callback with its body; raises NotFound."""
    row = session().get(InboxRow, row_id)
    if row is None:
        raise NotFound(
            f"there is no callback {row_id} in the inbox; done ones are kept for inbox.retention_days"
        )
    return row


def inbox_stats(since: datetime) -> list[dict[str, Any]]:
    """What came since then, by event and change type, the most frequent first.

    :returns: ``callbacks`` and how many are done, ignored, waiting, failed, dead; ``lag_p50``/``lag_p99``: seconds from
        receipt to the end of the handling; ``delay_p50``/``delay_p99``: seconds from the event (WeCom's clock, whole
        seconds) to its receipt; ``reasons``: ignored ones by reason. ``event`` is None for rows not yet worked on.
    """
    rows = session().execute(_STATS, {"since": since}).mappings()
    return [{**row, "reasons": row["reasons"] or {}} for row in rows]


_STATS = text("""
WITH r AS (
  SELECT event, change_type, state, reason, EXTRACT(epoch FROM finished_at - received_at) AS lag,
    EXTRACT(epoch FROM received_at - event_at) AS delay
  FROM callback_inbox WHERE received_at >= :since),
why AS (
  SELECT event, change_type, jsonb_object_agg(reason, n) AS reasons
  FROM (SELECT event, change_type, reason, count(*) AS n FROM r WHERE reason IS NOT NULL GROUP BY 1, 2, 3) c GROUP BY 1, 2)
SELECT r.event, r.change_type, count(*) AS callbacks, count(*) FILTER (WHERE state = 'done') AS done,
  count(*) FILTER (WHERE state = 'ignored') AS ignored,
  count(*) FILTER (WHERE state IN ('received', 'processing')) AS waiting,
  count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'dead') AS dead,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY lag) AS lag_p50, percentile_cont(0.99) WITHIN GROUP (ORDER BY lag) AS lag_p99,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY delay) AS delay_p50,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY delay) AS delay_p99, why.reasons
FROM r LEFT JOIN why ON why.event = r.event AND why.change_type IS NOT DISTINCT FROM r.change_type
GROUP BY r.event, r.change_type, why.reasons ORDER BY count(*) DESC, r.event, r.change_type
""")


def shown_body(row: InboxRow) -> str:
    """The decrypted XML as people may see it: codes that let their holder act are masked, as in effects."""
    return CODES.sub(r"\1***\3", row.body)


def shown_reason(row: InboxRow) -> str | None:
    """Why an ignored callback was ignored, as a sentence; a word that an older version wrote is shown as it is."""
    if row.reason is None:
        return None
    return Ignored(row.reason).sentence if row.reason in set(Ignored) else row.reason


def notices(event: str | None = None, app: str | None = None) -> list[CallbackNotice]:
    """What WeCom says there is to fetch, newest first: of one event and app, or all."""
    chosen = select(CallbackNotice)
    if event is not None:
        chosen = chosen.where(CallbackNotice.event == event)
    if app is not None:
        chosen = chosen.where(CallbackNotice.app == app)
    return list(session().scalars(chosen.order_by(CallbackNotice.told_at.desc()).limit(NOTICES_MAX)))
