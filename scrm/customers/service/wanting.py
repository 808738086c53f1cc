"""Knowing customers by name, and asking for their details: at once, again, or later after a failure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import orjson
from sqlalchemy import text

from scrm.customers.events import CustomersFound, DetailsWanted
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish

ASK_AGAIN = timedelta(seconds=3)
EVENT_RESOLUTION = timedelta(seconds=1)
BACKOFF_BASE, BACKOFF_MAX = 5, 3600  # seconds; 5, 10, 20 … an hour


def ensure_customers(external_userids: Iterable[str]) -> dict[str, int]:
    """Ids of customers by external_userid; who was never heard of gets a row, whose details a job fetches."""
    wanted = {id_ for id_ in external_userids if id_}
    known = customer_ids(wanted)
    missing = sorted(wanted - known.keys())
    return {**known, **want_details(missing)} if missing else known


def customer_ids(external_userids: Iterable[str]) -> dict[str, int]:
    """Ids of the customers already known, by external_userid."""
    found = session().execute(_SELECT_IDS, {"ids": list(external_userids)})
    return {row.external_userid: row.id for row in found}


_SELECT_IDS = text(
    "SELECT external_userid, id FROM customers WHERE external_userid = ANY(CAST(:ids AS text[]))"
)


def want_refresh(external_userids: Iterable[str]) -> None:
    """Say that what we know of these customers is out of date; a job fetches it soon."""
    if wanted := {id_ for id_ in external_userids if id_}:
        want_details(wanted)


def want_refresh_after(seconds: Mapping[str, datetime]) -> None:
    """Like :func:`want_refresh`, but not before the second of the event is over.

    Two edits in one second make two callbacks with the same bytes, of which one row is kept: a fetch within that
    second could miss the second edit for good.

    :param seconds: the event's time (WeCom tells whole seconds) by external_userid
    """
    now = utcnow()
    if seconds:
        want_details(seconds, {id_: max(now, at + EVENT_RESOLUTION) for id_, at in seconds.items()})


def want_details(
    external_userids: Collection[str], moments: Mapping[str, datetime] | None = None
) -> dict[str, int]:
    """Make sure these customers exist and have their details fetched; returns their ids by external_userid.

    :param moments: when at the earliest; at once without
    """
    ids, now = sorted(external_userids), utcnow()
    rows = session().execute(_WANT, {"ids": ids, "at": [(moments or {}).get(id_, now) for id_ in ids]}).all()
    if new := tuple(row.id for row in rows if row.is_new):
        publish(CustomersFound(new))
    publish(DetailsWanted(tuple(row.id for row in rows)))
    return {row.external_userid: row.id for row in rows}


_WANT = text("""
INSERT INTO customers AS c (external_userid, refresh_wanted_at)
SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:at AS timestamptz[])) ORDER BY 1
ON CONFLICT (external_userid) DO UPDATE SET
  refresh_wanted_at = GREATEST(c.refresh_wanted_at, excluded.refresh_wanted_at)
RETURNING c.id, c.external_userid, old.id IS NULL AS is_new
""")


def ask_again(customer_ids: Iterable[int]) -> None:
    """Have these customers fetched once more in a moment: the answer was too fresh to be believed."""
    if ids := sorted(customer_ids):
        now = utcnow()
        session().execute(_ASK_AGAIN, {"ids": ids, "now": now, "after": now + ASK_AGAIN})


_ASK_AGAIN = text("""
UPDATE customers SET refresh_wanted_at = GREATEST(refresh_wanted_at, :now), refresh_after = :after
WHERE id = ANY(CAST(:ids AS bigint[]))
""")


def note_refresh_failures(reasons: Mapping[str, str], asked_at: datetime) -> None:
    """Keep why customers could not be fetched and try again later, later each time; nothing is concluded from it.

    :param reasons: by external_userid, errcode first
    """
    rows = [{"external_userid": key, "reason": reason} for key, reason in sorted(reasons.items())]
    values = {
        "rows": orjson.dumps(rows).decode(),
        "asked_at": asked_at,
        "base": BACKOFF_BASE,
        "most": BACKOFF_MAX,
    }
    session().execute(_NOTE_FAILURES, values)


_NOTE_FAILURES = text("""
WITH r AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(external_userid text, reason text)),
held AS MATERIALIZED (
  SELECT c.id, r.reason FROM customers c JOIN r USING (external_userid) ORDER BY external_userid FOR UPDATE OF c)
UPDATE customers SET refresh_failed = held.reason, refresh_attempts = refresh_attempts + 1,
  refresh_after = CAST(:asked_at AS timestamptz) + make_interval(secs =>
    LEAST(CAST(:most AS float), :base * power(2.0, LEAST(refresh_attempts, 20))))
FROM held WHERE customers.id = held.id
""")
