"""Tags of relations as a full sync read them, thousands at a time, set against ours.

What WeCom shows and we do not have appears with the source ``wecom``; what we hold and WeCom no longer shows vanishes.
History keeps both; nothing is told as if a person had done it now: timelines and rules hear nothing from here. As
elsewhere, a call on its way and a change newer than the look decide for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from tags.catalog.service.refreshing import want_refresh
from tags.events import AssignmentsPending
from tags.models import RefreshKind
from tags.sync.service.sightings import LAG, LONG_AGO, WECOM
from tags.tagging.service.contests import every_exclusive_group
from tags.tagging.service.settling import settle_contests


@dataclass(frozen=True)
class Shown:
    """Tags that WeCom showed: SQL text of a select with ``follow_id, customer_id, tag_ids, seen_at``, and parameters.

    ``tag_ids`` are WeCom's ids as a text array; relations whose tags were not shown are left out.
    """

    sql: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Appeared:
    """How many tags WeCom showed, how many of them were new to us, and on whom."""

    seen: int
    new: int
    customer_ids: Sequence[int]


def take_appeared(shown: Shown) -> Appeared:
    """Assign what WeCom shows and we do not have; unknown tags are remembered until the tag list is fetched."""
    _remember_unknown(shown)
    row = session().execute(_sql(_APPEARED, shown), _values(shown)).one()
    _settle(row.customer_ids or [])
    return Appeared(row.seen, row.new, row.customer_ids or [])


def count_appeared(shown: Shown) -> Appeared:
    """What :func:`take_appeared` would do; writes nothing."""
    row = session().execute(_sql(_COUNT_APPEARED, shown), _values(shown)).one()
    return Appeared(row.seen, row.new, row.customer_ids or [])


def push_ours(shown: Shown) -> Appeared:
    """Mend WeCom's side instead: what it shows and we do not have is taken off there, in its turn."""
    row = session().execute(_sql(_UNWANTED, shown), _values(shown)).one()
    if row.new:
        publish(AssignmentsPending())
    return Appeared(row.seen, row.new, row.customer_ids or [])


def vanished_sql(source: str) -> str:
    """A select of assignments we hold and WeCom no longer shows: id, WeCom's tag id, staff id; parameters as of Shown."""
    return _VANISHED.format(source=source)


def drop_vanished(assignment_ids: Sequence[int]) -> list[int]:
    """Call these assignments removed, by WeCom; a rule's reason stays, so that it does not set the tag again at once.

    :returns: ids of the customers concerned
    """
    customer_ids = list(session().scalars(_DROP, {"ids": sorted(assignment_ids), "now": utcnow()}))
    _settle(customer_ids)
    return customer_ids


def _settle(customer_ids: Sequence[int]) -> None:
    """Exclusive groups keep one tag here too."""
    if customer_ids and every_exclusive_group():
        settle_contests(session().scalars(_FOLLOWS, {"ids": sorted(customer_ids)}))


def push_vanished(assignment_ids: Sequence[int]) -> list[int]:
    """Mend WeCom's side instead: tell it these tags again; returns the customers concerned."""
    found = list(session().scalars(_PUSH, {"ids": sorted(assignment_ids), "now": utcnow()}))
    if found:
        publish(AssignmentsPending())
    return found


def drop_of_lost(follow_ids: Sequence[int]) -> None:
    """Relations ended: WeCom keeps nothing of them, so their tags and all reasons are gone."""
    session().execute(_DROP_OF_LOST, {"ids": sorted(follow_ids), "now": utcnow()})


def _sql(template: str, shown: Shown) -> Any:
    return text(template.format(source=shown.sql))


def _values(shown: Shown) -> dict[str, Any]:
    return {**shown.values, "now": utcnow(), "lag": LAG, "long_ago": LONG_AGO}


def _remember_unknown(shown: Shown) -> None:
    unknown = session().scalars(_sql(_UNKNOWN, shown), dict(shown.values)).all()
    want_refresh(dict.fromkeys(unknown, RefreshKind.TAG))


_FOLLOWS = text("SELECT id FROM follows WHERE customer_id = ANY(CAST(:ids AS bigint[]))")
_UNKNOWN = """
WITH found AS (
  SELECT s.follow_id, w.wecom_id, max(s.seen_at) AS seen_at FROM ({source}) AS s
  CROSS JOIN LATERAL unnest(s.tag_ids) AS w(wecom_id)
  WHERE NOT EXISTS (SELECT FROM tags t WHERE t.wecom_id = w.wecom_id AND t.deleted_at IS NULL) GROUP BY 1, 2),
kept AS (
  INSERT INTO tag_sightings (follow_id, wecom_id, seen_at) SELECT * FROM found ORDER BY 1, 2
  ON CONFLICT (follow_id, wecom_id) DO UPDATE SET seen_at = excluded.seen_at
  WHERE tag_sightings.seen_at < excluded.seen_at)
SELECT DISTINCT wecom_id FROM found ORDER BY 1
"""
_PAIRS = """shown AS MATERIALIZED (
  SELECT DISTINCT ON (s.follow_id, t.id) s.follow_id, s.customer_id, s.seen_at, t.id AS tag_id
  FROM ({source}) AS s CROSS JOIN LATERAL unnest(s.tag_ids) AS w(wecom_id)
  JOIN tags t ON t.wecom_id = w.wecom_id AND t.deleted_at IS NULL ORDER BY s.follow_id, t.id)"""
_MISSED = """missed AS MATERIALIZED (
  SELECT s.*, a.id FROM shown s LEFT JOIN tag_assignments a ON a.follow_id = s.follow_id AND a.tag_id = s.tag_id
  WHERE a.id IS NULL OR (a.state IN ('removed', 'failed', 'pending_add') AND a.effect_id IS NULL
    AND a.changed_at < s.seen_at - CAST(:lag AS interval)))"""
_RESULT = (
    "(SELECT count(*) FROM shown) AS seen, count(*) AS new, array_agg(DISTINCT customer_id) AS customer_ids"
)
_COUNT_APPEARED = f"WITH {_PAIRS}, {_MISSED} SELECT {_RESULT} FROM missed"  # noqa: S608  # constants of this package


def _write_assignments(state: str) -> str:
    return f"""
WITH {_PAIRS}, {_MISSED},
held AS MATERIALIZED (
  SELECT a.id FROM tag_assignments a JOIN missed USING (id) WHERE a.effect_id IS NULL ORDER BY a.id FOR UPDATE OF a),
again AS (
  UPDATE tag_assignments a SET state = '{state}', version = version + 1, changed_at = :now, error = NULL
  FROM held WHERE a.id = held.id RETURNING a.id, a.customer_id, a.follow_id, a.tag_id),
fresh AS (
  INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, version, changed_at)
  SELECT customer_id, follow_id, tag_id, '{state}', 1, :now FROM missed WHERE id IS NULL ORDER BY follow_id, tag_id
  ON CONFLICT (follow_id, tag_id) DO NOTHING RETURNING id, customer_id, follow_id, tag_id),
w AS (SELECT * FROM again UNION ALL SELECT * FROM fresh)"""  # noqa: S608  # constants of this package


_APPEARED = f"""{_write_assignments("active")},
sources AS (
  INSERT INTO tag_sources (assignment_id, source, since) SELECT id, '{WECOM}', :now FROM w ORDER BY id
  ON CONFLICT (assignment_id, source) DO NOTHING RETURNING assignment_id),
history AS (
  INSERT INTO tag_history (customer_id, follow_id, tag_id, change, source, at)
  SELECT w.customer_id, w.follow_id, w.tag_id, 'added', '{WECOM}', :now FROM w JOIN sources s ON s.assignment_id = w.id)
SELECT {_RESULT} FROM w
"""  # noqa: S608  # constants of this package
_UNWANTED = f"{_write_assignments('pending_remove')} SELECT {_RESULT} FROM w"  # noqa: S608  # same

_VANISHED = """
SELECT a.id, t.wecom_id, f.staff_id FROM ({source}) AS s
JOIN tag_assignments a ON a.follow_id = s.follow_id JOIN tags t ON t.id = a.tag_id JOIN follows f ON f.id = s.follow_id
WHERE a.effect_id IS NULL AND a.changed_at < s.seen_at - CAST(:lag AS interval) AND t.deleted_at IS NULL
AND (a.state IN ('active', 'pending_remove') OR (a.state = 'failed' AND a.effect_adds IS NOT TRUE))
AND NOT t.wecom_id = ANY(s.tag_ids)
"""
_GONE = """held AS MATERIALIZED (
  SELECT id, customer_id, follow_id, tag_id, state FROM tag_assignments
  WHERE {which} AND effect_id IS NULL AND state <> 'removed' ORDER BY id FOR UPDATE),
dropped AS (DELETE FROM tag_sources s USING held WHERE s.assignment_id = held.id{kept} RETURNING s.assignment_id, s.source),
history AS (
  INSERT INTO tag_history (customer_id, follow_id, tag_id, change, source, by, at)
  SELECT h.customer_id, h.follow_id, h.tag_id, 'removed', COALESCE(d.source, '{wecom}'), {by}, :now
  FROM held h LEFT JOIN dropped d ON d.assignment_id = h.id WHERE d.source IS NOT NULL OR h.state = 'active'),
w AS (
  UPDATE tag_assignments a SET state = 'removed', version = version + 1, changed_at = :now, error = NULL
  FROM held WHERE a.id = held.id RETURNING a.customer_id)
SELECT DISTINCT customer_id FROM w"""
_DROP = text(
    "WITH "
    + _GONE.format(
        which="id = ANY(CAST(:ids AS bigint[]))",
        kept=" AND s.source NOT LIKE 'rule:%'",
        wecom=WECOM,
        by=f"CASE WHEN d.source IS NOT NULL THEN '{WECOM}' END",
    )
)
_DROP_OF_LOST = text(
    "WITH "
    + _GONE.format(
        which="follow_id = ANY(CAST(:ids AS bigint[]))", kept="", wecom=WECOM, by="'relation ended'"
    )
)
_PUSH = text("""
WITH held AS MATERIALIZED (
  SELECT id FROM tag_assignments WHERE id = ANY(CAST(:ids AS bigint[])) AND effect_id IS NULL AND state = 'active'
  ORDER BY id FOR UPDATE)
UPDATE tag_assignments a SET state = 'pending_add', version = version + 1, changed_at = :now, error = NULL
FROM held WHERE a.id = held.id RETURNING a.customer_id
""")
