"""Which months have rows to copy, and how many rows there are about."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text

from scrm.behaviour.models import BehaviourEvent
from scrm.kernel.db import session
from scrm.kernel.detaching import months_of
from tags.columns.service.shelf import Source


def estimated_rows() -> int:
    """Events and orders, as PostgreSQL estimates."""
    return int(session().scalar(_ROWS) or 0)


_ROWS = text("""
SELECT sum(GREATEST(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)) FROM pg_class c
WHERE c.oid IN (SELECT relid FROM pg_partition_tree('behaviour_events') WHERE isleaf) OR c.oid = CAST('orders' AS regclass)
""")


def months_with_rows(source: Source) -> set[date]:
    """First days of the months (UTC) in which a source has rows that are copied."""
    if source is Source.ORDERS:
        return set(session().scalars(_ORDERS))
    attached = [month.name for month in months_of(BehaviourEvent.__tablename__) if month.attached]
    filled = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in attached]  # noqa: S608  # our names
    names = session().scalars(text(" UNION ALL ".join(filled))).all() if filled else ()
    months = {date(int(name[-7:-3]), int(name[-2:]), 1) for name in names}
    return months | set(session().scalars(_DEFAULT))


# From month to month on the index of moments: one look each, however many orders there are.
_ORDERS = text("""
WITH RECURSIVE months(first) AS (
  (SELECT date_trunc('month', timezone('UTC', placed_at)) FROM orders
   WHERE person_id IS NOT NULL ORDER BY placed_at LIMIT 1)
  UNION ALL
  SELECT (SELECT date_trunc('month', timezone('UTC', placed_at)) FROM orders
          WHERE person_id IS NOT NULL AND placed_at >= timezone('UTC', first + interval '1 month')
          ORDER BY placed_at LIMIT 1)
  FROM months WHERE first IS NOT NULL)
SELECT CAST(first AS date) FROM months WHERE first IS NOT NULL
""")
_DEFAULT = text("""
SELECT DISTINCT CAST(date_trunc('month', timezone('UTC', at)) AS date) FROM behaviour_events_default
""")
