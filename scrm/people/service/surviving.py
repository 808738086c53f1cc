"""Which of several values of a field stands: worked out for many persons in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import text

from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.people.events import PersonChanged
from scrm.people.queries.fields import field_rules


def recompute_fields(person_ids: Iterable[int], fields: Sequence[str] | None = None) -> dict[int, list[str]]:
    """Bring ``person_fields`` of some persons up to ``person_values``; tells PersonChanged for real differences.

    :param fields: only these; all of them without
    :returns: names of the fields that changed, by person
    """
    ids = sorted(set(person_ids))
    if not ids:
        return {}
    rules = [{"field": r.field, "rule": r.rule, "trusted": list(r.trusted)} for r in field_rules(fields)]
    values = {
        "ids": ids,
        "rules": orjson.dumps(rules).decode(),
        "fields": None if fields is None else list(fields),
    }
    changed: dict[int, list[str]] = defaultdict(list)
    for row in session().execute(_RECOMPUTE, values):
        changed[row.person_id].append(row.field)
    publish(*(PersonChanged(person, tuple(sorted(changed[person]))) for person in sorted(changed)))
    return changed


_RECOMPUTE = text("""
WITH rules AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:rules AS jsonb)) AS r(field text, rule text, trusted text[])),
said AS (
  SELECT v.person_id, v.field, v.value, v.source, v.at, v.id, r.rule, r.trusted,
    count(*) OVER (PARTITION BY v.person_id, v.field, v.value) AS times
  FROM person_values v LEFT JOIN rules r USING (field)
  WHERE v.person_id = ANY(CAST(:ids AS bigint[]))
  AND (CAST(:fields AS text[]) IS NULL OR v.field = ANY(CAST(:fields AS text[])))),
standing AS MATERIALIZED (
  SELECT DISTINCT ON (person_id, field) person_id, field, value, source, at FROM said
  ORDER BY person_id, field,
    CASE WHEN rule = 'trusted' THEN COALESCE(array_position(trusted, source), 1000000) END,
    CASE WHEN rule = 'frequent' THEN -times END, at DESC, id DESC),
gone AS (
  DELETE FROM person_fields f WHERE f.person_id = ANY(CAST(:ids AS bigint[]))
  AND (CAST(:fields AS text[]) IS NULL OR f.field = ANY(CAST(:fields AS text[])))
  AND NOT EXISTS (SELECT FROM standing s WHERE s.person_id = f.person_id AND s.field = f.field AND s.value IS NOT NULL)
  RETURNING f.person_id, f.field),
written AS (
  INSERT INTO person_fields AS f (person_id, field, value, source, at)
  SELECT person_id, field, value, source, at FROM standing WHERE value IS NOT NULL ORDER BY person_id, field
  ON CONFLICT (person_id, field) DO UPDATE SET value = excluded.value, source = excluded.source, at = excluded.at
  WHERE (f.value, f.source, f.at) IS DISTINCT FROM (excluded.value, excluded.source, excluded.at)
  RETURNING new.person_id, new.field, old.value IS DISTINCT FROM new.value AS differs)
SELECT person_id, field FROM gone UNION ALL SELECT person_id, field FROM written WHERE differs
""")
