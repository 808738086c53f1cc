"""Writing what a full sync read, thousands of relations at a time, and only where they differ.

Nothing here tells an add, a loss or a change as if it happened now: nobody is welcomed and no rule is woken. The caller
learns whom it touched, and so does whoever keeps rows for each customer (CustomersWritten). Rows that anybody wrote after WeCom was asked are left alone: they know better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from scrm.customers.events import ContactFact, CustomersWritten
from scrm.customers.models import FollowStatus
from scrm.customers.service.details import CONTACT_TYPES, LAG, SHOWN_TYPES
from scrm.customers.service.recording import tell_history
from scrm.kernel.db import session
from scrm.kernel.events import publish

LIVING = "('active', 'deleted_by_customer')"
"""Relations that WeCom lists: full ones, and those that only the customer ended."""


@dataclass(frozen=True)
class Source:
    """Relations as WeCom showed them: SQL text of a select, and its parameters.

    Its columns: ``staff_id, external_userid, asked_at, added_at, tag_ids``, those of ``customers`` that WeCom shows
    (CONTACT_TYPES) and those of ``follows`` (SHOWN_TYPES); one row for each relation.
    """

    sql: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Written:
    """What a bulk write came to.

    :param fields: how many rows differed in each column
    :param customer_ids: whose facts changed
    :param ids: rows written (customers or follows)
    :param new_ids: those of them that were not known
    """

    seen: int
    new: int
    changed: int
    fields: Mapping[str, int]
    customer_ids: Sequence[int]
    ids: Sequence[int]
    new_ids: Sequence[int]


def write_customers(source: Source) -> Written:
    """Write customers that are new or differ; what WeCom did not show of one is kept."""
    written = _written(
        session().execute(text(_CUSTOMERS.format(source=source.sql)), dict(source.values)).one()
    )
    if written.ids:
        publish(CustomersWritten(tuple(written.ids)))
    return written


def write_follows(source: Source) -> Written:
    """Write relations that are new or differ; their customers must be there."""
    return _written(session().execute(text(_FOLLOWS.format(source=source.sql)), dict(source.values)).one())


def _written(row: Row[Any]) -> Written:
    return Written(
        row.seen, row.new, row.changed, row.fields or {}, row.customer_ids or [], row.ids or [], row.new_ids or []
    )  # fmt: skip


_COUNTED = """
SELECT (SELECT count(*) FROM r) AS seen, count(*) FILTER (WHERE is_new) AS new,
  count(*) FILTER (WHERE NOT is_new) AS changed, array_agg(DISTINCT customer_id) AS customer_ids,
  array_agg(id) AS ids, array_agg(id) FILTER (WHERE is_new) AS new_ids,
  (SELECT jsonb_object_agg(name, n) FROM (
    SELECT name, count(*) AS n FROM w, unnest(w.differing) AS name WHERE NOT w.is_new GROUP BY name) AS f) AS fields
FROM w
"""


def _differing(names: Sequence[str]) -> str:
    columns = ", ".join(f"CASE WHEN old.{n} IS DISTINCT FROM new.{n} THEN '{n}' END" for n in names)
    return f"array_remove(ARRAY[{columns}], NULL) AS differing"


_CONTACT = ", ".join(CONTACT_TYPES)
_NEWER_CUSTOMER = "c.updated_at < {r}.{asked} AND COALESCE(c.refreshed_at <= {r}.{asked}, true)"
_CUSTOMERS = f"""
WITH r AS MATERIALIZED (
  SELECT DISTINCT ON (external_userid) s.* FROM ({{source}}) AS s ORDER BY external_userid, asked_at DESC),
differ AS MATERIALIZED (
  SELECT r.* FROM r LEFT JOIN customers c USING (external_userid) WHERE c.id IS NULL
  OR ({_NEWER_CUSTOMER.format(r="r", asked="asked_at")}
    AND ({", ".join(f"COALESCE(r.{n}, c.{n})" for n in CONTACT_TYPES)})
      IS DISTINCT FROM ({", ".join(f"c.{n}" for n in CONTACT_TYPES)}))),
w AS (
  INSERT INTO customers AS c (external_userid, refreshed_at, {_CONTACT})
  SELECT external_userid, asked_at, {_CONTACT} FROM differ ORDER BY external_userid
  ON CONFLICT (external_userid) DO UPDATE SET
    {", ".join(f"{n} = COALESCE(excluded.{n}, c.{n})" for n in CONTACT_TYPES)},
    refreshed_at = excluded.refreshed_at, updated_at = now()
  WHERE {_NEWER_CUSTOMER.format(r="excluded", asked="refreshed_at")}
  RETURNING new.id, new.id AS customer_id, old.id IS NULL AS is_new, {_differing(tuple(CONTACT_TYPES))})
{_COUNTED}
"""  # noqa: S608  # names of this package's own constants

_SHOWN = ", ".join(SHOWN_TYPES)
_OVERWRITTEN = [name for name in SHOWN_TYPES if name != "state"]
_KNOWS_LESS = "COALESCE(f.confirmed_at <= {second}, true) AND f.updated_at < {asked}"
_FOLLOWS = f"""
WITH r AS MATERIALIZED (
  SELECT DISTINCT ON (c.id, s.staff_id) c.id AS customer_id, date_trunc('second', s.asked_at) AS second, s.*
  FROM ({{source}}) AS s JOIN customers c USING (external_userid) ORDER BY c.id, s.staff_id, s.asked_at DESC),
differ AS MATERIALIZED (
  SELECT r.* FROM r LEFT JOIN follows f ON f.customer_id = r.customer_id AND f.staff_id = r.staff_id
  WHERE f.id IS NULL OR ({_KNOWS_LESS.format(second="r.second", asked="r.asked_at")} AND (
    ({", ".join(f"r.{n}" for n in _OVERWRITTEN)}) IS DISTINCT FROM ({", ".join(f"f.{n}" for n in _OVERWRITTEN)})
    OR (r.state IS NOT NULL AND r.state IS DISTINCT FROM f.state)
    OR f.added_at IS NULL OR r.added_at > f.added_at
    OR (f.status = 'deleted_by_staff' AND f.deleted_by_staff_at < r.second)
    OR (f.status = 'half' AND f.half_added_at <= r.second)))),
w AS (
  INSERT INTO follows AS f (customer_id, staff_id, added_at, confirmed_at, {_SHOWN}, state_at)
  SELECT customer_id, staff_id, added_at, second, {_SHOWN}, CASE WHEN state IS NOT NULL THEN added_at END
  FROM differ ORDER BY customer_id, staff_id
  ON CONFLICT (customer_id, staff_id) DO UPDATE SET {", ".join(f"{n} = excluded.{n}" for n in _OVERWRITTEN)},
    state = COALESCE(excluded.state, f.state), state_at = GREATEST(f.state_at, excluded.state_at),
    added_at = GREATEST(f.added_at, excluded.added_at), confirmed_at = excluded.confirmed_at, updated_at = now()
  WHERE {_KNOWS_LESS.format(second="excluded.confirmed_at", asked="excluded.confirmed_at + interval '1 second'")}
  RETURNING new.id, new.customer_id, old.id IS NULL AS is_new,
    {_differing((*SHOWN_TYPES, "added_at", "status"))})
{_COUNTED}
"""  # noqa: S608  # names of this package's own constants


MISSING_FOLLOWS = f"""
SELECT f.id, c.external_userid, f.staff_id FROM follows f JOIN customers c ON c.id = f.customer_id
WHERE f.staff_id = ANY(CAST(:staff AS bigint[])) AND f.status IN {LIVING}
AND f.updated_at < :started_at AND COALESCE(f.confirmed_at <= date_trunc('second', CAST(:started_at AS timestamptz)), true)
AND COALESCE(GREATEST(f.added_at, f.half_added_at) < :recent, true)
AND (f.staff_id, c.external_userid) NOT IN (SELECT s.staff_id, s.external_userid FROM ({{source}}) AS s)
"""  # noqa: S608  # names of this package's own constants
"""Relations of ``:staff`` that the source does not show; ``:recent`` is ``:started_at`` less :data:`LAG`.

NOT IN, because PostgreSQL answers it with a hash whatever it believes of the source's size: an anti-join of a freshly
staged part was planned as nested loops, a hundred times slower.
"""


def close_follows(follow_ids: Sequence[int], started_at: datetime) -> list[Any]:
    """End relations that no page of a complete answer showed, unless somebody wrote them since it was begun.

    Histories are told that it was found out; nobody is alerted, because when it happened is not known.

    :returns: rows with id, customer_id, staff_id of those ended
    """
    values = {"ids": sorted(follow_ids), "started_at": started_at, "recent": started_at - LAG}
    rows = session().execute(_CLOSE, {**values, "second": started_at.replace(microsecond=0)}).all()
    for row in rows:
        tell_history(row, [(ContactFact.LOST_BY_STAFF, row.at, None)], found=True)
    return list(rows)


_CLOSE = text(f"""
WITH held AS MATERIALIZED (
  SELECT id FROM follows WHERE id = ANY(CAST(:ids AS bigint[])) AND status IN {LIVING}
  AND updated_at < :started_at AND COALESCE(confirmed_at <= :second, true)
  AND COALESCE(GREATEST(added_at, half_added_at) < :recent, true) ORDER BY customer_id, staff_id FOR UPDATE)
UPDATE follows f SET deleted_by_staff_at = :second, delete_source = NULL, updated_at = now()
FROM held WHERE f.id = held.id AND f.status <> '{FollowStatus.DELETED_BY_STAFF}'
RETURNING f.id, f.customer_id, f.staff_id, f.deleted_by_staff_at AS at
""")  # noqa: S608  # names of this package's own constants
