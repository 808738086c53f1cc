"""After a crash of PostgreSQL the staging tables begin empty (they are UNLOGGED); that must not look like an empty company.

A mark lies in them for the run. Nobody compares or writes while it is missing: what was lost is read again first, or, when
parts of the run were written already, left to the next run.
"""

from __future__ import annotations

import structlog
from sqlalchemy import text

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.sync.models import SyncRun
from scrm.sync.service.parts import MARK, read_again

log = structlog.get_logger(__name__)

LOST = "what was read got lost in a crash of PostgreSQL; the next sync reads it again"


def is_whole(run_id: int) -> bool:
    """Whether nothing that was staged for the run got lost."""
    return bool(session().scalar(_MARKED, {"run": str(run_id), "mark": MARK}))


def mend(run: SyncRun) -> None:
    """Put a (locked) run right whose staged rows are lost."""
    if is_whole(run.id):  # somebody else did
        return
    torn = list(session().scalars(_TORN, {"run": run.id}))
    if run.planned_at is None:
        read_again(torn)
    else:
        session().execute(_GIVE_UP, {"ids": torn, "error": LOST})
    mark(run.id)
    log.warning("staged rows were lost", run=run.id, parts=len(torn))


def mark(run_id: int) -> None:
    """Leave the mark by which a crash shows."""
    session().execute(_MARK, {"run": str(run_id), "mark": MARK, "now": utcnow()})


_MARK = text("""
INSERT INTO sync_items (part_id, page, asked_at, entity, key, body) VALUES (0, 0, :now, :mark, :run, '{}')
""")
_MARKED = text("SELECT EXISTS (SELECT FROM sync_items WHERE entity = :mark AND key = :run)")
_TORN = text("""
WITH staged AS (
  SELECT part_id, sum(n) AS n FROM (
    SELECT part_id, count(*) AS n FROM sync_follows GROUP BY 1
    UNION ALL SELECT part_id, count(*) FROM sync_items GROUP BY 1) AS both_tables GROUP BY 1)
SELECT p.id FROM sync_parts p LEFT JOIN staged ON staged.part_id = p.id
WHERE p.run_id = :run AND p.state IN ('read', 'compared') AND p.rows <> COALESCE(staged.n, 0) ORDER BY p.id
""")
_GIVE_UP = text("""
UPDATE sync_parts SET state = 'failed', error = :error, lease_token = NULL, lease_until = NULL
WHERE id = ANY(CAST(:ids AS bigint[]))
""")
